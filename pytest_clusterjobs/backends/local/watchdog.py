"""The watchdog: a small process beside the runner that ends the runner's jobs if the runner is killed."""

from __future__ import annotations

import os
import signal

from . import processes

DEFAULT_GRACE_SECONDS = 10.0
"""Seconds that a job has to end after its runner died."""
STOP_MARGIN_SECONDS = 2.0
"""Additional seconds, in which sentinels kill processes that ignored TERM."""


def start(tag: processes.EnvironmentTag) -> tuple[int, int]:
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
        _close_inherited(listen)
        end_all(tag, _longest_grace(listen) + STOP_MARGIN_SECONDS)
    finally:
        os._exit(0)


def _longest_grace(listen: int) -> float:
    """Read until the runner is dead: the longest grace period that it reported, one a line."""
    reports = b""
    while data := os.read(listen, 4096):
        reports += data
    return max([DEFAULT_GRACE_SECONDS, *map(float, reports.split())])


def _close_inherited(keep: int) -> None:
    """Close everything inherited from the runner, including its lock and its connections."""
    null = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(null, standard)
    os.closerange(3, keep)
    os.closerange(keep + 1, 4096)


def end_all(tag: processes.EnvironmentTag, grace: float) -> None:
    """End every process with this tag: TERM to sentinels and strays, KILL to the rest after ``grace``."""
    signalled: set[int] = set()
    seconds = grace
    while roots := set(tag.roots()):
        for pid in roots - signalled:
            processes.send(pid, signal.SIGTERM)
        signalled |= roots
        if not processes.gone(roots, seconds):
            break
        # When a root ends, its children become roots.
    for _ in range(50):
        left = tag.all()
        if not left:
            return
        for pid in left:
            processes.send(pid, signal.SIGKILL)
        processes.gone(left, 0.1)
