"""Rule (g): how often a history called each cluster's API."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from math import log

from .facts import Violation

MIN_SPACING_SECONDS = 0.05
"""No two polls of a backend follow each other faster, whatever the cluster reports as changed."""
SPARE_POLLS = 10
"""Polls of a session above one per ``min_poll_interval``: the first one, and those after notifications."""
TAKEOVER_SECONDS = 1.0
"""How long after a session was taken over its last calls may be made."""
MAX_SUBMITS = 3
"""Calls of ``submit`` for one attempt in one session, without those that were throttled."""

AGE_FRACTION = 0.05
MAX_POLL_INTERVAL_SECONDS = 30.0
"""A job is polled again after this fraction of the time for which it is waited for, at most after so long."""
MAX_WAITS = 3
"""For the end of a job, its return, and the effect of a cancel."""

_ROUNDING_SECONDS = 1e-6
_RATE_ROUNDING_SECONDS = 1e-3


@dataclass(slots=True)
class _Polls:
    first: float
    last: float
    count: int = 1
    tokens: Sequence[str] = ()
    """Of the last call."""
    jobs: dict[str, None] = field(default_factory=dict)
    """All jobs that were polled."""


@dataclass(slots=True)
class Budgets:
    """Counts the calls, in constant memory for each backend, session and attempt."""

    min_poll_interval: float
    ids_per_poll: int
    _polls: dict[tuple[str, int], _Polls] = field(default_factory=dict)
    _of_job: dict[tuple[int, str], tuple[float, float, int]] = field(default_factory=dict)
    """When a session first and last polled a job, and how often."""
    _news: dict[int, tuple[float, int]] = field(default_factory=dict)
    """When each session was last notified of changes, and at how many times."""
    _submitted_at: dict[int, float] = field(default_factory=dict)
    _submits: dict[tuple[int, str], int] = field(default_factory=dict)
    _broken: list[Violation] = field(default_factory=list)

    def poll(self, backend: str, session: int, at: float, tokens: Sequence[str]) -> None:
        """Count one call of ``poll``."""
        self._count_jobs(session, at, tokens)
        polls = self._polls.get((backend, session))
        if polls is None:
            self._polls[backend, session] = _Polls(at, at, tokens=tokens, jobs=dict.fromkeys(tokens))
            return
        polls.jobs.update(dict.fromkeys(tokens))
        if at - polls.last < MIN_SPACING_SECONDS - _ROUNDING_SECONDS:
            # Jobs that have ended meanwhile are left out of the batches of a round.
            is_next_batch = not any(token in polls.tokens for token in tokens)
            if is_next_batch:
                polls.tokens = tokens
                return
            text = f"{backend}: polled at {polls.last:.3f} s and again at {at:.3f} s"
            self._broken.append(Violation("g", text))
        polls.last, polls.tokens = at, tokens
        polls.count += 1

    def _count_jobs(self, session: int, at: float, tokens: Sequence[str]) -> None:
        for token in tokens:
            known = self._of_job.get((session, token))
            if known is None:
                self._of_job[session, token] = (at, at, 1)
            else:
                self._of_job[session, token] = (known[0], at, known[2] + 1)

    def notified(self, session: int, at: float) -> None:
        """Count the times at which a session was notified of changes."""
        last, count = self._news.get(session, (-1.0, 0))
        self._news[session] = (at, count + (at > last))

    def was_polling(self, since: float, until: float) -> bool:
        """Whether a session was at work between these times, apart from one that ended at their begin."""
        return any(
            polls.first <= until and polls.last > since + TAKEOVER_SECONDS for polls in self._polls.values()
        )

    def submit(self, session: int, token: str, *, throttled: bool) -> None:
        """Count one call of ``submit``; ``throttled``: the cluster asked for fewer calls."""
        if not throttled:
            self._submits[session, token] = self._submits.get((session, token), 0) + 1

    def submissions(self, session: int, at: float, count: int, rate: float) -> None:
        """Count jobs that are submitted now, at most ``rate`` in a second."""
        last = self._submitted_at.get(session)
        early = last is not None and at - last < 1.0 / rate - _RATE_ROUNDING_SECONDS
        if early or count > 1:
            text = f"session {session}: submits {count} jobs at {at:.3f} s, {rate:g} per second are allowed"
            self._broken.append(Violation("g", text))
        self._submitted_at[session] = at

    def _polls_of_a_wait(self, seconds: float) -> float:
        """How often a job is polled in this time, if each poll waits longer than the last one."""
        least, fraction = self.min_poll_interval, AGE_FRACTION
        until_growth = min(seconds, least / fraction)
        growing = max(0.0, log(max(seconds, 1e-9) * fraction / least))
        return 2 + until_growth / least + growing / fraction + seconds / MAX_POLL_INTERVAL_SECONDS

    def violations(self) -> Iterator[Violation]:
        """The budgets that were exceeded."""
        yield from self._broken[:3]
        for (backend, session), polls in self._polls.items():
            # News of a job, and its cancellation, are followed by polls at once. If the news arrives during a
            # poll, the next one follows.
            batches = -(-len(polls.jobs) // self.ids_per_poll)
            most = ((polls.last - polls.first) / self.min_poll_interval + 1 + SPARE_POLLS) * batches
            most += max(3 * len(polls.jobs), 2 * self._news.get(session, (0.0, 0))[1])
            if polls.count > most:
                text = f"{backend}: {polls.count} polls in session {session}, at most {most:.0f} are allowed"
                yield Violation("g", text)
        for (session, token), (first, last, count) in self._of_job.items():
            # A poll of another job may take it along.
            others = sum(len(polls.jobs) for (_, number), polls in self._polls.items() if number == session)
            most = MAX_WAITS * self._polls_of_a_wait(last - first) + SPARE_POLLS + 2 * others
            most += 2 * self._news.get(session, (0.0, 0))[1]
            if count > most:
                yield Violation(
                    "g", f"{token}: {count} polls in session {session}, at most {most:.0f} are allowed"
                )
        for (_, token), count in self._submits.items():
            if count > MAX_SUBMITS:
                yield Violation("g", f"{token}: {count} submissions, at most {MAX_SUBMITS} are allowed")
