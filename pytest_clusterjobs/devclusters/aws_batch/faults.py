"""Trouble on demand: errors, lost answers, throttling; and how often what was called."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass

from . import texts
from .model import Json

DROP = 0
"""As a status: the connection ends without an answer."""


@dataclass(slots=True, kw_only=True)
class Fault:
    """What some of the next calls get instead of an answer."""

    operation: str
    """In lower case, such as ``describejobs``; ``*`` is all of Batch and CloudWatch Logs."""
    status: int
    code: str
    message: str
    times: int
    key: str | None = None
    """Only for callers with this access key."""
    about: str = ""
    """Only for calls with this text in what they ask, such as the name of a log stream."""
    after: bool = False
    """The operation is carried out; only its answer is lost."""

    def meets(self, operation: str, key: str, asked: str) -> bool:
        """Whether a call is one of those."""
        called = self.operation in ("*", operation) and self.key in (None, key)
        return self.times > 0 and called and self.about in asked


class Limit:
    """So many calls a second, and as many at once."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._left = per_second
        self._at = time.monotonic()

    def allows(self) -> bool:
        """Count a call; False if it is one too many."""
        now = time.monotonic()
        self._left = min(self._per_second, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Faults:
    """All that is to go wrong."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._limits: dict[tuple[str, str | None], Limit] = {}
        self._calls: Counter[tuple[str, str]] = Counter()
        self._throttled: Counter[tuple[str, str]] = Counter()

    def add(self, fault: Fault) -> None:
        """Let something go wrong."""
        with self._lock:
            self._faults.append(fault)

    def limit(self, operation: str, per_second: float | None, key: str | None) -> None:
        """Answer 429 to what is above a rate; ``None`` lifts the limit."""
        with self._lock:
            self._limits.pop((operation, key), None)
            if per_second is not None:
                self._limits[operation, key] = Limit(per_second)

    def clear(self, key: str | None) -> None:
        """Let nothing go wrong any more, for one caller or for all."""
        with self._lock:
            self._faults = [each for each in self._faults if key not in (None, each.key)]
            for each in [each for each in self._limits if key in (None, each[1])]:
                del self._limits[each]

    def next(self, operation: str, key: str, asked: str) -> Fault | None:
        """Count a call, and what it asks as JSON: what goes wrong with it."""
        with self._lock:
            self._calls[operation, key] += 1
            limits = [self._limits.get((operation, each)) for each in (key, None)]
            if not all(limit.allows() for limit in limits if limit is not None):
                self._throttled[operation, key] += 1
                return throttled(operation)
            for fault in self._faults:
                if fault.meets(operation, key, asked):
                    fault.times -= 1
                    self._throttled[operation, key] += fault.status == 429
                    return fault
            return None

    def counts(self, key: str | None) -> Json:
        """How often what was called, by one caller or by all, and refused with 429."""
        found: Json = {}
        with self._lock:
            for (operation, each), count in self._calls.items():
                if key in (None, each):
                    sums = found.setdefault(operation, {"calls": 0, "throttled": 0})
                    sums["calls"] += count
                    sums["throttled"] += self._throttled[operation, each]
        return found


def throttled(operation: str) -> Fault:
    """What the service says to those who ask too often."""
    code, message = "TooManyRequestsException", texts.TOO_MANY_REQUESTS
    return Fault(operation=operation, status=429, code=code, message=message, times=1)
