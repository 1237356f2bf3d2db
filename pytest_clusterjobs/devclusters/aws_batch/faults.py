"""Faults on request (errors, lost responses, throttling), and the number of calls of each operation."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass

from . import texts
from .model import Json

DROP = 0
"""A status: the connection is closed without a response."""


@dataclass(slots=True, kw_only=True)
class Fault:
    """An error that replaces the response of some calls."""

    operation: str
    """In lower case, such as ``describejobs``; ``*`` is any operation of Batch and CloudWatch Logs."""
    status: int
    code: str
    message: str
    times: int
    key: str | None = None
    """Only for callers with this access key."""
    about: str = ""
    """Only for calls whose request contains this text, such as the name of a log stream."""
    after: bool = False
    """The operation is carried out; only its response is lost."""

    def applies_to(self, operation: str, key: str, request: str) -> bool:
        """Whether a call gets this fault."""
        called = self.operation in ("*", operation) and self.key in (None, key)
        return self.times > 0 and called and self.about in request


class Limit:
    """A rate limiter: a token bucket of one second."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._left = per_second
        self._at = time.monotonic()

    def allows(self) -> bool:
        """Count a call; False if it exceeds the limit."""
        now = time.monotonic()
        self._left = min(self._per_second, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Faults:
    """The faults, limits and call counts of one server."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._limits: dict[tuple[str, str | None], Limit] = {}
        self._calls: Counter[tuple[str, str]] = Counter()
        self._throttled: Counter[tuple[str, str]] = Counter()

    def add(self, fault: Fault) -> None:
        """Add a fault."""
        with self._lock:
            self._faults.append(fault)

    def limit(self, operation: str, per_second: float | None, key: str | None) -> None:
        """Answer calls above a rate with 429; ``None`` lifts the limit."""
        with self._lock:
            self._limits.pop((operation, key), None)
            if per_second is not None:
                self._limits[operation, key] = Limit(per_second)

    def clear(self, key: str | None) -> None:
        """Remove the faults and limits of one caller, or of all."""
        with self._lock:
            self._faults = [each for each in self._faults if key not in (None, each.key)]
            for each in [each for each in self._limits if key in (None, each[1])]:
                del self._limits[each]

    def next(self, operation: str, key: str, request: str) -> Fault | None:
        """Count a call with its request in JSON; return its fault, if there is one."""
        with self._lock:
            self._calls[operation, key] += 1
            limits = [self._limits.get((operation, each)) for each in (key, None)]
            if not all(limit.allows() for limit in limits if limit is not None):
                self._throttled[operation, key] += 1
                return throttled(operation)
            for fault in self._faults:
                if fault.applies_to(operation, key, request):
                    fault.times -= 1
                    self._throttled[operation, key] += fault.status == 429
                    return fault
            return None

    def counts(self, key: str | None) -> Json:
        """For each operation, the calls of one caller or of all, and those answered with 429."""
        found: Json = {}
        with self._lock:
            for (operation, each), count in self._calls.items():
                if key in (None, each):
                    sums = found.setdefault(operation, {"calls": 0, "throttled": 0})
                    sums["calls"] += count
                    sums["throttled"] += self._throttled[operation, each]
        return found


def throttled(operation: str) -> Fault:
    """The service's error for calls above its rate."""
    code, message = "TooManyRequestsException", texts.TOO_MANY_REQUESTS
    return Fault(operation=operation, status=429, code=code, message=message, times=1)
