"""Cancels the jobs of a run from outside its session, and confirms that they have ended."""

from __future__ import annotations

import threading
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from functools import partial
from typing import TypeVar

from ..backends.protocol import Backend
from ..backends.protocol import BackendError
from ..backends.protocol import BUGS
from ..backends.protocol import Found
from ..backends.protocol import NotSubmitted
from ..backends.registry import SiteError
from ..ledger.ledger import Ledger
from ..ledger.ledger import LedgerError
from ..ledger.ledger import Superseded
from ..model import ActionKind
from ..model import Cell
from ..model import Handle
from ..model import Observation
from ..model import OwnAction
from ..model import Phase
from ..model.records import Attempt
from ..model.token import Token
from .answers import poll_all
from .clock import Clock
from .clock import SystemClock
from .hiding import hidden
from .hiding import Hiding
from .job import adopted
from .judging import finish
from .secrets import Secrets

R = TypeVar("R")

CANCEL_RETRY_SECONDS = 15.0
"""Seconds between two requests to cancel the same job."""

FIRST_POLL_PAUSE_SECONDS = 0.2
"""Initial seconds between two polls of the jobs that are being cancelled."""

MAX_POLL_PAUSE_SECONDS = 10.0

ABSENT_AFTER_SECONDS = 15.0
"""Seconds of uninterrupted absence from polls and lists after which a cancelled job counts as ended."""


@dataclass(slots=True)
class CancelTarget:
    """A job to cancel."""

    token: str
    backend: str
    attempt: Attempt | None
    """None for a job that the ledger does not know."""
    handle: Handle | None = None
    seen: Observation | None = None
    is_recorded: bool = False
    cancelled_at: float | None = None
    """Monotonic seconds of the last request."""
    absent_at: float | None = None
    """Monotonic seconds since when the scheduler has not known it."""
    never_submitted: bool = False
    error: str = ""
    """The cluster's last error about it."""

    @property
    def ended(self) -> bool:
        """Whether the scheduler has confirmed that no part of it runs."""
        return self.never_submitted or (self.seen is not None and self.seen.phase is Phase.ENDED)


@dataclass(slots=True)
class Canceller:
    """Cancels jobs of one run and polls until their ends are confirmed.

    Errors of a cluster, of a backend or of the ledger's disk are noted and do not stop it, because the
    jobs still run.
    """

    ledger: Ledger
    secrets: Secrets
    run_id: str
    backends: Callable[[str], Backend]
    names: Collection[str]
    """The backends that the run uses."""
    keys: Collection[str] | None
    """The keys of the cells whose jobs to cancel; None for all cells of the run."""
    why: str
    clock: Clock = field(default_factory=SystemClock)
    session: int | None = None
    """The number in the ledger of the session whose jobs to cancel; None for any session."""
    targets: dict[str, CancelTarget] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    """The last errors of backends, by NAME."""
    unavailable: set[str] = field(default_factory=set)
    """Backends that cannot be opened at all; their jobs are not waited for."""
    unwritten: str = ""
    """Why the ledger could not be read or written; empty if it could."""
    _no_submitter_since: float | None = None
    """Monotonic seconds since when no process submits any more."""
    _registered: int = -1
    _cells: dict[str, Cell] = field(default_factory=dict)
    """By key."""

    def run(self, timeout: float, *, wait_for_more: Callable[[], bool] = lambda: False) -> None:
        """Cancel, and wait at most ``timeout`` seconds.

        ``wait_for_more()``: whether jobs may still be submitted. Raises Superseded when a later session has
        begun, LedgerError if the first read of the ledger fails.
        """
        until = self.clock.monotonic() + timeout
        pause = FIRST_POLL_PAUSE_SECONDS
        while True:
            more = wait_for_more()
            now = self.clock.monotonic()
            self._no_submitter_since = (
                None if more else now if self._no_submitter_since is None else self._no_submitter_since
            )
            self._poll_all()
            if not more and not self._unfinished:
                return
            left = until - self.clock.monotonic()
            if left <= 0:
                return
            self._sleep(min(pause, left))
            pause = min(MAX_POLL_PAUSE_SECONDS, pause * 1.3)

    def _sleep(self, seconds: float) -> None:
        condition = threading.Condition()
        with condition:
            self.clock.wait(condition, seconds)

    @property
    def still_running(self) -> list[CancelTarget]:
        """The jobs whose end has not been confirmed."""
        return [target for target in self.targets.values() if not target.ended]

    @property
    def _unfinished(self) -> bool:
        waiting = {*self.errors, *(target.backend for target in self.still_running)}
        return not waiting <= self.unavailable

    def settle(self) -> None:
        """Give the cancelled jobs their verdict, for a run whose session is gone."""
        entries = {entry.key: entry for _, entry in self.ledger.registrations()}
        actions = {attempt.token: attempt.action for attempt in self.ledger.attempts(live=True)}
        ended, results = [], []
        for target in self.targets.values():
            action = actions.get(target.token)
            if target.attempt is None or target.seen is None or not target.ended or action is None:
                continue
            known = replace(target.attempt, handle=target.handle, observation=target.seen, action=action)
            job = adopted(entries[known.key], known, self.clock, self.secrets)
            result = finish(job, target.seen, None)
            ended.append((target.token, result.outcome))
            results.append(result)
        self.ledger.observe(self.clock.time(), ended=ended, results=results)

    # One round.

    def _poll_all(self) -> None:
        self._read()
        for name in sorted(
            {*self.names, *(cell.backend for cell in self._cells.values())} - self.unavailable
        ):
            self.errors.pop(name, None)
            backend = self._try(name, partial(self.backends, name))
            if backend is not None:
                self._update_jobs(name, backend)

    def _read(self) -> None:
        """Update the jobs from the ledger."""
        first = self._registered < 0
        try:
            live = self.ledger.attempts(live=True)
            for number, entry in self.ledger.registrations(after=max(0, self._registered)):
                self._registered = number
                self._cells[entry.key] = entry.cell
            self._registered = max(0, self._registered)
            # Checked after the attempts were read, so that they include none of a later session.
            self.ledger.check_session(self.session)
        except LedgerError as error:
            self.unwritten = str(error)
            if first:
                raise
            return
        for attempt in live:
            if self.keys is not None and attempt.key not in self.keys:
                continue
            target = self.targets.setdefault(
                attempt.token,
                CancelTarget(attempt.token, self._cells[attempt.key].backend, attempt, attempt.handle),
            )
            target.attempt = attempt
            if attempt.observation is not None and attempt.observation.phase is Phase.ENDED:
                target.seen = target.seen or attempt.observation
            self._learn(target, attempt.handle)

    def _learn(self, target: CancelTarget, handle: Handle | None) -> None:
        if handle is not None:
            target.handle = target.handle or handle
            # The submission was recorded only after the cluster had answered that there is no such job.
            target.never_submitted = False

    def _try(self, name: str, ask: Callable[[], R]) -> R | None:
        """The answer; None for an error, which is noted."""
        try:
            return ask()
        except Superseded:
            raise
        except SiteError as error:
            self.unavailable.add(name)
            self.errors[name] = str(error)
        except BUGS as error:
            message = str(error) if isinstance(error, BackendError) else repr(error)
            self.errors[name] = self.secrets.hide(message)
        return None

    def _update_jobs(self, name: str, backend: Backend) -> None:
        """Update one backend's jobs, and cancel those that have not ended."""
        swept = self._try(name, partial(backend.sweep, self.run_id))
        for token, handle in (swept or {}).items():
            if self._wanted(token):
                self._learn(self.targets.setdefault(token, CancelTarget(token, name, None)), handle)
        mine = [each for each in self.targets.values() if each.backend == name and not each.ended]
        settled = self._is_settled(backend)
        if settled:
            self._try(name, partial(self._find, mine, backend))
        listed = None if swept is None or not settled else swept.keys()
        self._apply(self._poll(name, mine, backend), listed)
        # A cluster that does not answer polls may still accept cancellations.
        self._try(name, partial(self._cancel, mine, backend))

    def _is_settled(self, backend: Backend) -> bool:
        """Whether all submitted jobs are visible by now. This requires that no process submits any more."""
        settle = backend.capabilities.find_settle
        return (
            self._no_submitter_since is not None
            and self.clock.monotonic() - self._no_submitter_since >= settle
        )

    def _wanted(self, token: str) -> bool:
        """Whether a job listed by the cluster belongs to one of the selected cells."""
        if self.keys is None:
            return True
        with suppress(ValueError):
            cell = Token.parse(token).cell
            return any(Token.of(self.run_id, key, 1).cell == cell for key in self.keys)
        return False

    def _find(self, targets: Sequence[CancelTarget], backend: Backend) -> None:
        """Look up submissions whose answer was not recorded."""
        for target in targets:
            if target.handle is not None:
                continue
            answer = backend.find(target.token)
            if isinstance(answer, Found):
                target.handle = answer.handle
            elif isinstance(answer, NotSubmitted):
                target.never_submitted = True
            else:
                target.error = self._hiding(target).hide(answer.why)

    def _poll(self, name: str, targets: Sequence[CancelTarget], backend: Backend) -> dict[str, Observation]:
        handles = {each.token: each.handle for each in targets if each.handle is not None}
        seen: dict[str, Observation] = {}
        self._try(name, partial(poll_all, backend, handles, seen))
        return seen

    def _apply(self, seen: Mapping[str, Observation], listed: Collection[str] | None) -> None:
        """Note what was seen.

        ``listed``: the tokens that the cluster lists, or None if the list proves nothing.
        """
        changed = []
        for token, latest in seen.items():
            target = self.targets[token]
            answer = hidden(latest, self._hiding(target))
            if answer.phase is Phase.ABSENT:
                known = listed is None or token in listed
                target.seen = self._absent(target, answer, known=known)
            else:
                target.seen, target.absent_at = answer, None
            if target.ended and target.attempt is not None and target.seen is not None:
                changed.append((token, target.seen, None))
        if changed:
            self._write(partial(self.ledger.observe, self.clock.time(), changed=changed))

    def _hiding(self, target: CancelTarget) -> Hiding:
        known = target.attempt
        return (
            self.secrets.all if known is None else self.secrets.of(known.spec or self._cells[known.key].spec)
        )

    def _absent(self, target: CancelTarget, answer: Observation, *, known: bool) -> Observation:
        """Treat a job's absence as its end if its cancellation was requested and it stays absent."""
        now = self.clock.monotonic()
        if known:
            target.absent_at = None
        elif target.absent_at is None:
            target.absent_at = now
        elif target.is_recorded and now - target.absent_at >= ABSENT_AFTER_SECONDS:
            return _gone(answer)
        return answer

    def _cancel(self, targets: Sequence[CancelTarget], backend: Backend) -> None:
        now = self.clock.monotonic()
        due = [
            each
            for each in targets
            if each.handle is not None
            and not each.ended
            and (each.cancelled_at is None or now - each.cancelled_at >= CANCEL_RETRY_SECONDS)
        ]
        # Including jobs that the ledger does not know yet: the process that submitted them will record them
        # soon.
        new = [each.token for each in due if not each.is_recorded]
        if due:
            # Also without new ones: this call stops this process when a later session has begun. The jobs of
            # that session are not among these, since these were found before.
            action = OwnAction(ActionKind.CANCEL, self.why, self.clock.time())
            self._write(partial(self.ledger.record_action, action, new, session=self.session))
            backend.cancel({each.token: each.handle for each in due if each.handle is not None})
        for target in due:
            target.is_recorded, target.cancelled_at = True, now

    def _write(self, note: Callable[[], None]) -> None:
        """Write to the ledger. A failure, such as a full disk, does not stop the cancellation."""
        try:
            note()
        except LedgerError as error:
            self.unwritten = str(error)


def _gone(answer: Observation) -> Observation:
    """The end of a job that the scheduler no longer knows after its cancellation was requested."""
    return Observation(
        Phase.ENDED,
        answer.times,
        answer.native_state or "ABSENT",
        answer.native_reason or "the scheduler no longer knows this job",
    )
