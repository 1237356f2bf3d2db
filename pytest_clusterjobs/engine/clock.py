"""Time as the engine sees it: injected, so that tests turn it by hand."""

from __future__ import annotations

import threading
from time import monotonic as _monotonic
from time import time as _time
from typing import Protocol


class Clock(Protocol):
    """Everything that the engine knows of time; it calls nothing else that tells or takes time."""

    def time(self) -> float:
        """Seconds since the epoch; may jump."""

    def monotonic(self) -> float:
        """Seconds that never jump, from an arbitrary start."""

    def wait(self, condition: threading.Condition, timeout: float | None) -> bool:
        """Wait on a condition that the caller has acquired, for at most ``timeout`` seconds.

        True if notified, False if the time passed first. As with ``threading.Condition``, look
        again at what you wait for: True may be meant for another waiter.
        """


class SystemClock:
    """The machine's own clock, bound at import so that tests which patch ``time`` do not reach it."""

    time = staticmethod(_time)
    monotonic = staticmethod(_monotonic)

    def wait(self, condition: threading.Condition, timeout: float | None) -> bool:
        """Wait on an acquired condition, for at most ``timeout`` seconds."""
        return condition.wait(timeout)
