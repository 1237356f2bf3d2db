"""Rule (e2): an end that a cluster has reported to a session is polled at once, unless faults disturb it."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field

from .facts import Fact
from .facts import Violation

QUIET_SECONDS = 60.0
"""How long before a notice no fault may have lasted, because pauses after errors grow."""
SPARE_SECONDS = 1.0


@dataclass(slots=True)
class Notice:
    """The end of a job, as it was reported to one process."""

    at: float
    calls: int
    """How many calls the process had made."""


@dataclass(slots=True)
class Timeliness:
    """What was reported to one process. ``min_poll_interval`` and ``typical`` are in seconds.

    ``typical``: the longest ordinary delay before and after the effect of a call.
    """

    min_poll_interval: float
    ids_per_poll: int
    typical: float
    _notices: dict[str, Notice] = field(default_factory=dict)
    _done: dict[str, None] = field(default_factory=dict)

    def reported(self, token: str, at: float, calls: int) -> None:
        """The cluster says that a job has changed, and it has ended."""
        if token not in self._done:
            self._done[token] = None
            self._notices[token] = Notice(at, calls)

    def polled(
        self,
        tokens: Iterable[str],
        given_at: float,
        disturbed_at: float,
        calls: int,
        jobs: int,
        disturbances: Callable[[], Iterable[Fact]],
    ) -> Iterator[Violation]:
        """Jobs are polled; ``jobs`` is how many the cluster has had. Only the first poll counts.

        ``disturbed_at``: when the last call failed.
        """
        for token in tokens:
            notice = self._notices.pop(token, None)
            if notice is None:
                continue
            batches = -(-jobs // self.ids_per_poll)
            most = self.min_poll_interval * (batches + 1)
            most += (calls - notice.calls + 2) * 2.0 * self.typical + SPARE_SECONDS
            since = notice.at - QUIET_SECONDS
            if disturbed_at >= since:
                continue
            if given_at - notice.at > most and all(
                fact.until < since or fact.at > given_at for fact in disturbances()
            ):
                text = f"{token}: reported at {notice.at:.3f} s that it has ended, polled at {given_at:.3f} s"
                yield Violation("e2", text)
