"""The SQLite file of a run, and the folder that it lies in."""
