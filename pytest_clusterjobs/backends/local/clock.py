"""The runner's clock: a time of day that is never set back during a job."""

from __future__ import annotations

import time


class SteadyClock:
    """The time of day at its creation plus the time elapsed since, including a machine's sleep.

    Readers of a job's times compute differences. If the clock were set while the job runs, even by
    milliseconds, a job that its limit of 3 s ended could appear to have run for less.
    """

    def __init__(self) -> None:
        self._offset = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)

    def time(self) -> float:
        """Seconds since the epoch, to the microsecond."""
        return round(self._offset + time.clock_gettime(time.CLOCK_BOOTTIME), 6)
