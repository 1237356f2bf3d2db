"""Ends the processes that jobs leave behind."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from . import processes
from .alarms import Alarms

if TYPE_CHECKING:
    from .scheduler import ScheduledJob

SWEEP_DELAY_SECONDS = 0.2
"""The time from a normal end to the search for its leftovers: one search serves many ends."""

KILL_DELAY_SECONDS = 1.0
"""The time from TERM to KILL."""


class Leftovers:
    """Processes without a living parent in their job, which this process has adopted."""

    def __init__(
        self,
        tag: processes.EnvironmentTag,
        jobs: dict[str, ScheduledJob],
        own: set[int],
        alarms: Alarms,
    ) -> None:
        self._tag = tag
        self._jobs = jobs
        self._own = own
        self._alarms = alarms
        self._terminated: set[int] = set()
        self._is_sweep_due = False

    def signal(self, token: str, number: int) -> list[int]:
        """The leftovers of one job, after sending them a signal (0: none)."""
        found = [pid for pid in self._orphans() if self._tag.token(pid) == token]
        for pid in found:
            if number:
                processes.send(pid, number)
        return found

    def sweep_soon(self) -> None:
        """Have :meth:`sweep` called soon."""
        if not self._is_sweep_due:
            self._is_sweep_due = True
            self._alarms.after(SWEEP_DELAY_SECONDS, self.sweep)

    def sweep(self) -> None:
        """End the leftovers of ended jobs: TERM at first, KILL a second later."""
        self._is_sweep_due = False
        found = {pid for pid in self._orphans() if self._is_ended(pid)}
        for pid in found:
            processes.send(pid, signal.SIGKILL if pid in self._terminated else signal.SIGTERM)
        self._terminated = found
        if found:
            self._is_sweep_due = True
            self._alarms.after(KILL_DELAY_SECONDS, self.sweep)

    def _is_ended(self, pid: int) -> bool:
        """Whether the job of a process has ended."""
        token = self._tag.token(pid)
        # A process that has cleared its environment may belong to any job that still runs.
        return not self._jobs if token is None else token not in self._jobs

    def _orphans(self) -> list[int]:
        return processes.orphans({pid for job in self._jobs.values() for pid in job.live} | self._own)
