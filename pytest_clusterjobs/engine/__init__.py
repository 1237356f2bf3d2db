"""Submitting, polling, recording and cancelling the jobs of a run."""
