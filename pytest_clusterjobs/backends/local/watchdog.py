"""The watchdog: a small process beside the runner that ends the runner's jobs if the runner is killed."""

from __future__ import annotations

import os
import signal

from . import processes

DEFAULT_GRACE = 10.0
"""Seconds that a job has to end after its runner died."""
SLACK = 2.0
"""Additional seconds, in which sentinels kill processes that ignored TERM."""


def start(mark: processes.EnvironmentTag) -> tuple[int, int]:
    """Fork the watchdog; returns its pid, and a descriptor.

    Closing the descriptor, at the latest by this process's death, makes the watchdog end the jobs.
    """
    listen, lifeline = os.pipe()
    pid = os.fork()
    if pid:
        os.close(listen)
        return pid, lifeline
    try:
        os.close(lifeline)
        os.setsid()
        _let_go(listen)
        end_all(mark, _graces(listen) + SLACK)
    finally:
        os._exit(0)


def _graces(listen: int) -> float:
    """Read until the runner is dead: the longest grace period that it reported, one a line."""
    told = b""
    while data := os.read(listen, 4096):
        told += data
    return max([DEFAULT_GRACE, *map(float, told.split())])


def _let_go(keep: int) -> None:
    """Close everything inherited from the runner, including its lock and its connections."""
    null = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(null, standard)
    os.closerange(3, keep)
    os.closerange(keep + 1, 4096)


def end_all(mark: processes.EnvironmentTag, grace: float) -> None:
    """End every process with this mark: TERM to sentinels and strays, KILL to the rest after ``grace``."""
    told: set[int] = set()
    seconds = grace
    while roots := set(mark.roots()):
        for pid in roots - told:
            processes.send(pid, signal.SIGTERM)
        told |= roots
        if not processes.gone(roots, seconds):
            break
        # When a root ends, its children become roots.
    for _ in range(50):
        left = mark.all()
        if not left:
            return
        for pid in left:
            processes.send(pid, signal.SIGKILL)
        processes.gone(left, 0.1)
