"""The clock of one simulated process."""

from __future__ import annotations

import threading
from collections.abc import Callable

from .world import World


class WorldClock:
    """The world's time as one process reads it: its monotonic clock may start anywhere."""

    __slots__ = ("_offset", "_world")

    def __init__(self, world: World, offset: float = 0.0) -> None:
        self._world = world
        self._offset = offset

    def time(self) -> float:
        """Seconds since the epoch; jumps when the world's epoch is stepped."""
        return self._world.epoch + self._world.now

    def monotonic(self) -> float:
        """Seconds since an arbitrary start."""
        return self._world.now + self._offset

    def wait(self, condition: threading.Condition, timeout: float | None) -> bool:
        """Never called: the simulation has no threads that wait."""
        raise AssertionError("nothing waits in virtual time")

    def start(self, name: str, work: Callable[[], None]) -> None:
        """Never called: the simulation has no threads."""
        raise AssertionError("no thread is started in virtual time")

    def world_time(self, monotonic: float) -> float:
        """The world's time for a time of this clock."""
        return monotonic - self._offset
