"""A part of rule (f): an end that a poll has shown to a process is in its next transaction."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence

from ...engine import messages as m
from ...engine.attempt import HAS_ENDED
from ...engine.core import Core
from ...ledger.batch import Batch
from ...model import Phase


class SeenEnds:
    """The ends that a core has learned and not written yet. ``missing(token)`` reports a violation."""

    __slots__ = ("_core", "_due", "_last", "_missing")

    def __init__(self, core: Core, missing: Callable[[str], None]) -> None:
        self._core = core
        self._missing = missing
        self._due: dict[str, None] = {}
        self._last: Batch | None = None

    def watch(self) -> None:
        """Check each turn of the core."""
        handle = self._core.handle

        def checked(event: m.AnyEvent, now: m.Now) -> Sequence[m.Command]:
            shown = list(self._shown(event)) if type(event) is m.Polled else ()
            commands = handle(event, now)
            self._due.update(dict.fromkeys(token for token in shown if self._has_ended(token)))
            for command in commands:
                if type(command) is m.Commit and command.batch is not self._last:
                    self._check(command.batch)
            return commands

        self._core.handle = checked  # type: ignore[method-assign]

    def _shown(self, event: m.Polled) -> Iterator[str]:
        """The attempts whose end this poll is the first to show."""
        for token, seen in event.seen.items():
            job = self._core.state.attempts.get(token)
            if job is None or job.is_stray or job.life in HAS_ENDED:
                continue
            if seen.phase is Phase.ENDED:
                yield token

    def _has_ended(self, token: str) -> bool:
        """Whether the core has taken the end for one: it may also be that of an earlier start."""
        job = self._core.state.attempts.get(token)
        return job is not None and job.observation is not None and job.observation.phase is Phase.ENDED

    def _check(self, batch: Batch) -> None:
        written = {token for token, seen, _ in batch.changed if seen.phase is Phase.ENDED}
        for token in self._due:
            if token not in written:
                self._missing(token)
        self._due.clear()
        self._last = batch
