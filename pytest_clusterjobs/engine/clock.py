"""The engine's clock, which is injected so that tests can control time and threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic as _monotonic
from time import time as _time
from typing import Protocol


class Clock(Protocol):
    """The engine's only source of time and threads.

    It calls no other function that reads the time, waits or starts a thread.
    """

    def time(self) -> float:
        """Seconds since the epoch. May jump."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary start, without jumps."""

    def wait(self, condition: threading.Condition, timeout: float | None) -> bool:
        """Wait on a condition that the caller has acquired, at most ``timeout`` seconds.

        True if notified, False on a timeout. As with ``threading.Condition``, check again what you
        wait for: the notification may be meant for another waiter.
        """

    def start(self, name: str, work: Callable[[], None]) -> None:
        """Run ``work`` on a daemon thread of that name. Returns at once."""


class SystemClock:
    """The machine's own clock, bound at import so that tests that patch ``time`` do not affect it."""

    time = staticmethod(_time)
    monotonic = staticmethod(_monotonic)

    def wait(self, condition: threading.Condition, timeout: float | None) -> bool:
        """Wait on an acquired condition, for at most ``timeout`` seconds."""
        return condition.wait(timeout)

    def start(self, name: str, work: Callable[[], None]) -> None:
        """Run ``work`` on a new thread."""
        threading.Thread(target=work, name=name, daemon=True).start()
