"""Rule (g): how often a history called each cluster's API."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field

from .facts import Violation

MIN_SPACING_SECONDS = 0.05
"""No two polls of a backend follow each other faster, whatever the cluster reports as changed."""
SPARE_POLLS = 10
"""Polls of a session above one per ``min_poll_interval``: the first one, and those after notifications."""
TAKEOVER_SECONDS = 1.0
"""How long after a session was taken over its last calls may be made."""
MAX_SUBMITS = 3
"""Calls of ``submit`` for one attempt in one session, without those that were throttled."""

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
    _news: dict[int, tuple[float, int]] = field(default_factory=dict)
    """When each session was last notified of changes, and at how many times."""
    _submitted_at: dict[int, float] = field(default_factory=dict)
    _submits: dict[tuple[int, str], int] = field(default_factory=dict)
    _broken: list[Violation] = field(default_factory=list)

    def poll(self, backend: str, session: int, at: float, tokens: Sequence[str]) -> None:
        """Count one call of ``poll``."""
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
        for (_, token), count in self._submits.items():
            if count > MAX_SUBMITS:
                yield Violation("g", f"{token}: {count} submissions, at most {MAX_SUBMITS} are allowed")
