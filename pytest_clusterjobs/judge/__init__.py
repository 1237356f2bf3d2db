"""Observations to an outcome, an outcome to a verdict."""
