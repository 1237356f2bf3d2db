"""The runner's clock: a time of day that nobody sets back in the middle of a job."""

from __future__ import annotations

import time


class SteadyClock:
    """The time of day when it was made, and what has passed since, a machine's sleep included.

    A job's times are differences to their readers: a clock that is set while it runs, if only by milliseconds, would
    have a job that was ended by its limit of 3 s run for less.
    """

    def __init__(self) -> None:
        self._offset = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)

    def time(self) -> float:
        """Seconds since the epoch, to the microsecond."""
        return round(self._offset + time.clock_gettime(time.CLOCK_BOOTTIME), 6)
