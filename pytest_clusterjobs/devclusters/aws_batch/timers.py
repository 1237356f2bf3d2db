"""Delayed calls, made by one thread."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
import traceback
from collections.abc import Callable


class Timers:
    """Calls functions when they are due, one after the other."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="timers", daemon=True).start()

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Call ``call`` after ``seconds``; calls that are due at the same time keep their order."""
        with self._changed:
            heapq.heappush(self._due, (time.monotonic() + seconds, next(self._count), call))
            self._changed.notify()

    def _run(self) -> None:
        while True:
            try:
                self._next()()
            except Exception:
                traceback.print_exc()

    def _next(self) -> Callable[[], None]:
        with self._changed:
            while not self._due or (rest := self._due[0][0] - time.monotonic()) > 0:
                self._changed.wait(rest if self._due else None)
            return heapq.heappop(self._due)[2]
