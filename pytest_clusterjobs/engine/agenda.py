"""Due times by name."""

from __future__ import annotations

from heapq import heappop
from heapq import heappush


class Agenda:
    """Due times by name, in monotonic seconds. Each operation costs O(log n), amortised."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, str]] = []
        self._at: dict[str, tuple[float, int]] = {}
        self._order = 0

    def __contains__(self, name: str) -> bool:
        return name in self._at

    def __len__(self) -> int:
        return len(self._at)

    def set(self, name: str, at: float) -> None:
        """Set the time of a name, also if it has one."""
        self._order += 1
        self._at[name] = (at, self._order)
        heappush(self._heap, (at, self._order, name))

    def at_most(self, name: str, at: float) -> None:
        """Set the time of a name, unless it has an earlier one."""
        known = self._at.get(name)
        if known is None or at < known[0]:
            self.set(name, at)

    def drop(self, name: str) -> None:
        """Remove a name, if it is there."""
        self._at.pop(name, None)

    def clear(self) -> None:
        """Remove all names."""
        self._heap.clear()
        self._at.clear()

    @property
    def next_at(self) -> float | None:
        """The earliest time, or None."""
        while self._heap:
            at, order, name = self._heap[0]
            if self._at.get(name) == (at, order):
                return at
            heappop(self._heap)
        return None

    def take(self, until: float) -> list[str]:
        """Remove and return the names that are due by then, by time and in the order of their setting."""
        names = []
        while (at := self.next_at) is not None and at <= until:
            name = heappop(self._heap)[2]
            del self._at[name]
            names.append(name)
        return names

    def take_one(self, until: float) -> str | None:
        """Remove and return the first name that is due by then, or None."""
        at = self.next_at
        if at is None or at > until:
            return None
        name = heappop(self._heap)[2]
        del self._at[name]
        return name
