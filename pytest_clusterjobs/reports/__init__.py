"""The reports of a run, for people and programs."""
