"""Runs the engine under virtual time against a simulated cluster whose true state is known.

A seed determines a history completely: the jobs, the faults and every time.
"""
