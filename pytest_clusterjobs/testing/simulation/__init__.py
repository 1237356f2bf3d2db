"""The simulation: the engine under virtual time, against a cluster with ground truth."""
