"""What is to be written to the ledger, one transaction at a time, and what rests on each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field
from typing import Any

from ..ledger.batch import Batch
from ..model import Handle
from ..model import Observation
from ..model import Outcome
from ..model import OwnAction
from ..model.records import Attempt
from ..model.records import Result
from .messages import Commit

COMMIT_RETRY_SECONDS = (0.5, 2.0)
"""Seconds before each further try of a commit that failed; then the ledger counts as not writable."""

COMMIT_TIMEOUT_SECONDS = 900.0
"""Seconds after which a commit without an answer counts as failed for good."""


@dataclass(slots=True)
class Outbox:
    """Collects changes while a commit is under way, so that a burst of changes needs few commits.

    ``then`` is called once the change is in the ledger. It is not called if that can never happen.
    """

    is_foreign: bool = False
    """Whether this process is not the run's session."""
    batch: Batch = field(default_factory=Batch)
    then: list[Callable[[], None]] = field(default_factory=list)
    _sent: Batch | None = None
    _then_sent: list[Callable[[], None]] = field(default_factory=list)
    _is_under_way: bool = False
    _failures: int = 0
    _at: float = 0.0
    """When the commit under way times out, or when the failed one is tried again."""
    error: Exception | None = None
    """Why the ledger cannot be written any more."""

    @property
    def is_empty(self) -> bool:
        """Whether everything is in the ledger."""
        return self._sent is None and not self.batch and not self.then

    @property
    def wake_at(self) -> float | None:
        """When ``next`` is to be called again."""
        return self._at if self._sent is not None and self.error is None else None

    # Changes.

    def intend(self, attempt: Attempt, then: Callable[[], None] | None = None) -> None:
        """Record an attempt that is about to be submitted."""
        self.batch.intended[attempt.token] = attempt
        self.after(then)

    def submitted(self, attempt: Attempt) -> None:
        """Record the answer to a submission."""
        self.batch.submitted.append(attempt)

    def withdraw(self, token: str) -> None:
        """Delete the intent of an attempt that was not submitted."""
        self.batch.intended.pop(token, None)
        # Deletions come first in a batch, and the token may be used again.
        self.batch.actions = [each for each in self.batch.actions if each[0] != token]
        self.batch.deleted.append(token)

    def action(self, token: str, action: OwnAction, then: Callable[[], None] | None = None) -> None:
        """Record the action that is about to be taken on a job."""
        self.batch.actions.append((token, action))
        self.after(then)

    def observed(self, token: str, seen: Observation, handle: Handle | None) -> None:
        """Record a changed observation."""
        self.batch.changed.append((token, seen, handle))

    def ended(
        self, token: str | None, outcome: Outcome, result: Result | None, then: Callable[[], None]
    ) -> None:
        """Record an end; ``result`` is None if another attempt follows, ``token`` if there was no job."""
        if token is not None:
            self.batch.ended.append((token, outcome))
        if result is not None:
            self.batch.results.append(result)
        self.after(then)

    def meta(self, **values: Any) -> None:
        """Record facts about the run."""
        self.batch.meta.update(values)

    def after(self, then: Callable[[], None] | None) -> None:
        """Call ``then`` after the commit of what was added up to now."""
        if then is not None:
            self.then.append(then)

    # Commits.

    def next(self, now: float) -> Commit | None:
        """The commit that is to be made now, if any. Sets ``error`` if one has had no answer for too long."""
        if self.error is not None:
            return None
        if self._sent is not None:
            if self._at > now:
                return None
            if not self._is_under_way:
                return self._commit(self._sent, now)
            self.error = TimeoutError(f"a commit had no answer for {COMMIT_TIMEOUT_SECONDS:.0f} s")
        elif self.batch:
            self._sent, self._then_sent = self.batch, self.then
            self._sent.is_foreign = self.is_foreign
            self.batch, self.then = Batch(), []
            return self._commit(self._sent, now)
        return None

    def take_idle(self) -> list[Callable[[], None]]:
        """What rests on no change that is not in the ledger yet."""
        if not self.then or self._sent is not None or self.batch:
            return []
        then, self.then = self.then, []
        return then

    def _commit(self, batch: Batch, now: float) -> Commit:
        self._is_under_way, self._at = True, now + COMMIT_TIMEOUT_SECONDS
        return Commit(batch)

    def count_anew(self, now: float) -> None:
        """Count the time of a commit that is under way from now on: after a stop of this process."""
        if self._is_under_way:
            self._at = now + COMMIT_TIMEOUT_SECONDS

    def committed(self) -> list[Callable[[], None]]:
        """The batch is in the ledger. Returns what rested on it."""
        if self.error is not None:
            # The answer comes too late: what rested on the batch was settled without it.
            return []
        then, self._sent, self._then_sent = self._then_sent, None, []
        self._is_under_way, self._failures = False, 0
        return then

    def failed(self, error: Exception, now: float, *, for_good: bool) -> None:
        """The batch is not in the ledger. Sets ``error`` if no further try can help."""
        if for_good:
            self.error = error
        if self._sent is None:
            return
        self._is_under_way = False
        if for_good or self._failures >= len(COMMIT_RETRY_SECONDS):
            self.error = error
            return
        self._at = now + COMMIT_RETRY_SECONDS[self._failures]
        self._failures += 1
