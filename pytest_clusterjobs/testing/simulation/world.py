"""Virtual time: callbacks in the order of their times."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop
from heapq import heappush

START_EPOCH = 1_750_000_000.0
"""The wall clock at the start of every history."""


class Timer:
    """A callback that is due at a time."""

    __slots__ = ("callback", "time")

    def __init__(self, time: float, callback: Callable[[], None]) -> None:
        self.time = time
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Prevent the callback; has no effect after it was called."""
        self.callback = None


class World:
    """A clock and its timers. Timers of the same time are called in the order in which they were set."""

    __slots__ = ("_heap", "_order", "epoch", "now", "timeline")

    def __init__(self, epoch: float = START_EPOCH) -> None:
        self.now = 0.0
        """Monotonic seconds."""
        self.epoch = epoch
        """The wall clock is ``epoch`` + ``now``; it changes when the clock is stepped."""
        self.timeline: list[tuple[float, str, str]] = []
        """What was noted: time, kind and text."""
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = 0

    def time(self) -> float:
        """The wall clock."""
        return self.epoch + self.now

    def at(self, time: float, callback: Callable[[], None]) -> Timer:
        """Call ``callback`` at ``time``; a time in the past is now."""
        timer = Timer(time if time > self.now else self.now, callback)
        self._order += 1
        heappush(self._heap, (timer.time, self._order, timer))
        return timer

    def run(self, until: float) -> None:
        """Call all that is due up to ``until``, then let it be ``until``."""
        heap = self._heap
        while heap and heap[0][0] <= until:
            time, _, timer = heappop(heap)
            callback = timer.callback
            if callback is not None:
                self.now, timer.callback = time, None
                callback()
        self.now = max(self.now, until)

    def step(self) -> bool:
        """Call the next timer; false if there was none."""
        while self._heap:
            time, _, timer = heappop(self._heap)
            callback = timer.callback
            if callback is None:
                continue
            self.now = time
            timer.callback = None
            callback()
            return True
        return False

    @property
    def next_time(self) -> float | None:
        """When the next callback is due; ``None`` if there is none."""
        while self._heap and self._heap[0][2].callback is None:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def note(self, kind: str, text: str) -> None:
        """Add a line to the timeline."""
        self.timeline.append((self.now, kind, text))
