"""Functions that an event loop calls later."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable


class Alarms:
    """Calls functions when they are due, in the order of their times."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def after(self, seconds: float, function: Callable[[], None]) -> None:
        """Schedule a function, which the first :meth:`tick` after this many seconds calls."""
        self._count += 1
        heapq.heappush(self._heap, (time.monotonic() + seconds, self._count, function))

    @property
    def next(self) -> float | None:
        """When ``tick`` must be called next, in ``time.monotonic()`` seconds."""
        return self._heap[0][0] if self._heap else None

    def tick(self) -> None:
        """Call the functions that are due."""
        while self._heap and self._heap[0][0] <= time.monotonic():
            heapq.heappop(self._heap)[2]()
