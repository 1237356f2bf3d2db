"""The guardian: a small process beside the runner that ends the runner's jobs should the runner be killed."""

from __future__ import annotations

import os
import signal

from . import processes

DEFAULT_GRACE = 10.0
"""Seconds that a job has to end after its runner died."""
SLACK = 2.0
"""Seconds on top, in which sentinels kill what did not heed them."""


def start(mark: processes.EnvironmentTag) -> tuple[int, int]:
    """Fork the guardian: its pid, and the descriptor whose closing (by our death, at the latest) calls it."""
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
    """Read until the runner is dead: the longest grace period that it told us of, one a line."""
    told = b""
    while data := os.read(listen, 4096):
        told += data
    return max([DEFAULT_GRACE, *map(float, told.split())])


def _let_go(keep: int) -> None:
    """Hold nothing of the runner's: neither its lock nor its clients."""
    null = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(null, standard)
    os.closerange(3, keep)
    os.closerange(keep + 1, 4096)


def end_all(mark: processes.EnvironmentTag, grace: float) -> None:
    """End every process that bears the mark: TERM to sentinels and strays, KILL to all that is left after ``grace``."""
    told: set[int] = set()
    seconds = grace
    while roots := set(mark.roots()):
        for pid in roots - told:
            processes.send(pid, signal.SIGTERM)
        told |= roots
        if not processes.gone(roots, seconds):
            break
        # What a root leaves behind when it ends is a root now.
    for _ in range(50):
        left = mark.all()
        if not left:
            return
        for pid in left:
            processes.send(pid, signal.SIGKILL)
        processes.gone(left, 0.1)
