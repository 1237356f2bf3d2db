"""Ending the jobs of a run from outside of its session, and making sure of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from dataclasses import field

from ..backends.protocol import Backend
from ..backends.protocol import BackendError
from ..backends.protocol import Found
from ..backends.protocol import NotSubmitted
from ..jobs import ActionKind
from ..jobs import Handle
from ..jobs import Observation
from ..jobs import OwnAction
from ..jobs import Phase
from ..jobs.token import Token
from .clock import Clock
from .clock import SystemClock
from .finish import finish
from .job import Job
from .ledger import Ledger
from .records import Attempt
from .records import Registration

CANCEL_AGAIN = 15.0
"""Seconds between two requests to end the same job."""

PAUSE = 0.2
"""Seconds between two looks at jobs that are to end, at first."""

SLOWEST = 10.0

ABSENT_FOR = 15.0
"""Seconds of unbroken absence, in polls and in lists, after which a cancelled job counts as ended."""


@dataclass(slots=True)
class Target:
    """A job that is to end."""

    token: str
    backend: str
    attempt: Attempt | None
    """None for a job that the ledger does not know."""
    handle: Handle | None = None
    seen: Observation | None = None
    acted: bool = False
    asked_at: float | None = None
    """Monotonic seconds of the last request."""
    absent_at: float | None = None
    """Monotonic seconds since when the scheduler has not known it."""
    never_submitted: bool = False
    trouble: str = ""
    """What the cluster answered instead of an answer."""

    @property
    def ended(self) -> bool:
        """Whether the scheduler has confirmed that nothing of it runs."""
        return self.never_submitted or (self.seen is not None and self.seen.phase is Phase.ENDED)


@dataclass(slots=True)
class Killer:
    """Cancels jobs of one run and polls until their ends are confirmed."""

    ledger: Ledger
    run_id: str
    backends: Callable[[str], Backend]
    names: Collection[str]
    """The backends that the run uses."""
    keys: Collection[str] | None
    """The cells whose jobs are to end; None for all that the run has."""
    why: str
    clock: Clock = field(default_factory=SystemClock)
    targets: dict[str, Target] = field(default_factory=dict)
    troubles: dict[str, str] = field(default_factory=dict)
    """What backends answered last instead of an answer, by NAME."""

    def run(self, patience: float, *, wait_for_more: Callable[[], bool] = lambda: False) -> None:
        """Cancel, and wait at most ``patience`` seconds; ``wait_for_more()``: somebody may still submit."""
        until = self.clock.monotonic() + patience
        pause = PAUSE
        while True:
            more = wait_for_more()
            self._look()
            if not more and not self.troubles and not self.survivors:
                return
            left = until - self.clock.monotonic()
            if left <= 0:
                return
            self._sleep(min(pause, left))
            pause = min(SLOWEST, pause * 1.3)

    def _sleep(self, seconds: float) -> None:
        condition = threading.Condition()
        with condition:
            self.clock.wait(condition, seconds)

    @property
    def survivors(self) -> list[Target]:
        """Those whose end nobody has confirmed."""
        return [target for target in self.targets.values() if not target.ended]

    def settle(self) -> None:
        """Give the killed jobs their verdict; for a run whose session is no more."""
        entries = {entry.key: entry for _, entry in self.ledger.registrations()}
        actions = {attempt.token: attempt.action for attempt in self.ledger.attempts(live=True)}
        ended, results = [], []
        for target in self.targets.values():
            action = actions.get(target.token)
            if target.attempt is None or target.seen is None or not target.ended or action is None:
                continue
            job = _job(entries[target.attempt.key], target, action)
            result = finish(job, target.seen, None)
            ended.append((target.token, result.outcome))
            results.append(result)
        self.ledger.observe(self.clock.time(), ended=ended, results=results)

    # One look.

    def _look(self) -> None:
        entries = {entry.key: entry for _, entry in self.ledger.registrations()}
        live = [
            each for each in self.ledger.attempts(live=True) if self.keys is None or each.key in self.keys
        ]
        for attempt in live:
            name = entries[attempt.key].cell.backend
            target = self.targets.setdefault(
                attempt.token, Target(attempt.token, name, attempt, attempt.handle)
            )
            target.handle = target.handle or attempt.handle
        for name in sorted({*self.names, *(entry.cell.backend for entry in entries.values())}):
            try:
                self._ask(name, self.backends(name))
                self.troubles.pop(name, None)
            except BackendError as error:
                self.troubles[name] = str(error)

    def _ask(self, name: str, backend: Backend) -> None:
        """Bring what is known of one backend's jobs up to date, and cancel what has not ended."""
        swept = backend.sweep(self.run_id)
        for token, handle in swept.items():
            if self._wanted(token):
                target = self.targets.setdefault(token, Target(token, name, None))
                target.handle = target.handle or handle
        mine = [each for each in self.targets.values() if each.backend == name and not each.ended]
        for target in mine:
            if target.handle is None:
                self._find(target, backend)
        handles = {each.token: each.handle for each in mine if each.handle is not None}
        self._take_in(poll_all(backend, handles), swept, backend.capabilities.find_settle)
        self._cancel([each for each in mine if each.handle is not None and not each.ended], backend)

    def _wanted(self, token: str) -> bool:
        """Whether a job that the cluster tells of is one of the cells that are meant."""
        if self.keys is None:
            return True
        with suppress(ValueError):
            cell = Token.parse(token).cell
            return any(Token.of(self.run_id, key, 1).cell == cell for key in self.keys)
        return False

    def _find(self, target: Target, backend: Backend) -> None:
        """Ask after a submission of which nobody recorded the answer."""
        intended = target.attempt.intended if target.attempt is not None else 0.0
        if self.clock.time() - intended < backend.capabilities.find_settle:
            return
        answer = backend.find(target.token)
        if isinstance(answer, Found):
            target.handle = answer.handle
        elif isinstance(answer, NotSubmitted):
            target.never_submitted = True
        else:
            target.trouble = answer.why

    def _take_in(self, seen: Mapping[str, Observation], swept: Mapping[str, Handle], settle: float) -> None:
        changed = []
        for token, answer in seen.items():
            target = self.targets[token]
            if answer.phase is Phase.ABSENT:
                target.seen = self._absent(target, answer, listed=token in swept, settle=settle)
            else:
                target.seen, target.absent_at = answer, None
            if target.ended and target.attempt is not None and target.seen is not None:
                changed.append((token, target.seen, None))
        if changed:
            self.ledger.observe(self.clock.time(), changed=changed)

    def _absent(self, target: Target, answer: Observation, *, listed: bool, settle: float) -> Observation:
        """What absence is worth: an end, if the job was told to end and stays away."""
        now = self.clock.monotonic()
        submitted = (target.attempt.submitted or target.attempt.intended) if target.attempt else 0.0
        if listed or self.clock.time() - submitted < settle:
            target.absent_at = None
        elif target.absent_at is None:
            target.absent_at = now
        elif target.acted and now - target.absent_at >= ABSENT_FOR:
            return _gone(answer)
        return answer

    def _cancel(self, targets: Sequence[Target], backend: Backend) -> None:
        now = self.clock.monotonic()
        due = [each for each in targets if each.asked_at is None or now - each.asked_at >= CANCEL_AGAIN]
        new = [each.token for each in due if not each.acted and each.attempt is not None]
        if new:
            self.ledger.act(OwnAction(ActionKind.CANCEL, self.why, self.clock.time()), new)
        handles = {each.token: each.handle for each in due if each.handle is not None}
        if handles:
            backend.cancel(handles)
        for target in due:
            target.acted, target.asked_at = True, now


def poll_all(backend: Backend, handles: Mapping[str, Handle]) -> dict[str, Observation]:
    """Poll any number of jobs, as many at once as the cluster takes. Raises BackendError."""
    tokens = list(handles)
    size = backend.capabilities.ids_per_poll
    seen: dict[str, Observation] = {}
    for start in range(0, len(tokens), size):
        seen.update(backend.poll({token: handles[token] for token in tokens[start : start + size]}))
    return seen


def _gone(answer: Observation) -> Observation:
    """The end of a job that the scheduler has forgotten after it was told to end it."""
    return Observation(
        Phase.ENDED,
        answer.times,
        answer.native_state or "ABSENT",
        answer.native_reason or "the scheduler does not know this job any more",
    )


def _job(entry: Registration, target: Target, action: OwnAction) -> Job:
    assert target.attempt is not None
    return Job(
        entry,
        target.attempt.number,
        target.token,
        intended=target.attempt.intended,
        submitted=target.attempt.submitted,
        handle=target.handle,
        observation=target.seen,
        action=action,
    )


def unsettled(attempts: Sequence[Attempt]) -> Iterator[Attempt]:
    """Attempts whose jobs may still be running, as far as the ledger knows."""
    for attempt in attempts:
        ended = attempt.observation is not None and attempt.observation.phase is Phase.ENDED
        if attempt.is_live and not ended:
            yield attempt
