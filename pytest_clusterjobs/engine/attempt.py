"""The life of an attempt: its three state machines, and the data that goes with them.

An attempt is one submission of a cell. Its state has three regions: what became of the submission, what the
cluster reports of the job, and how far its cancellation has come. Each region is an enum. ``TRANSITIONS`` has
the next state for each state and event. An event that a state ignores has a rule in words (``IGNORED``); any
other event is a bug. docs/architecture.md has pictures of the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from enum import Enum
from math import inf

from ..model import Handle
from ..model import JobSpec
from ..model import LogChunk
from ..model import Observation
from ..model import OwnAction
from ..model import Phase
from ..model.records import Attempt
from ..model.records import Registration
from ..model.records import Result
from ..model.records import Ruling
from .hiding import hidden
from .hiding import Hiding
from .secrets import Secrets

TIME_AFTER_STOP_SECONDS = 300.0
"""The least seconds that hooks, and reads of an excerpt, have left after a stop of this process."""

MAX_ABSENCE_GAP_SECONDS = 90.0
"""The longest gap, in seconds, between two answers for which an absence counts as uninterrupted.

Polls are less than half as far apart."""


class SubmissionState(Enum):
    """What became of the submission."""

    WAITING = "waiting"
    """It waits for room, for its pause to end, or for the cluster to accept jobs."""
    PREPARING = "preparing"
    """The user's hooks decide what is submitted."""
    INTENDED = "intended"
    """The commit of the intent is under way."""
    READY = "ready"
    """The intent is committed; the next free thread submits it."""
    SENT = "sent"
    """The cluster is asked."""
    UNANSWERED = "unanswered"
    """The answer is lost: the job may exist, and ``find`` decides."""
    ACCEPTED = "accepted"
    """The job exists, or existed."""
    WITHDRAWN = "withdrawn"
    """There is no job, and none is expected."""


class Life(Enum):
    """What the cluster reports of the job, up to the verdict."""

    UNSEEN = "unseen"
    """No poll has answered yet."""
    PENDING = "pending"
    RUNNING = "running"
    ABSENT = "absent"
    """The scheduler does not know it now."""
    ENDED = "ended"
    """Its end was seen; logs that the verdict depends on may still arrive."""
    JUDGED = "judged"
    """There is a verdict; its log excerpt or the user's hooks are under way."""
    RECORDING = "recording"
    """The commit of the verdict is under way."""
    OVER = "over"
    """Nothing of it is left to do but to end a job that outlives its verdict."""


class Cancellation(Enum):
    """How far its cancellation has come."""

    NONE = "none"
    RECORDING = "recording"
    """The action is being recorded, for a bounded time: a cancellation never depends on it."""
    DUE = "due"
    """The cluster is to be asked."""
    SENT = "sent"
    """The cluster is asked."""
    ACKNOWLEDGED = "acknowledged"
    """The cluster has answered; only a later poll confirms the end."""
    CONFIRMED = "confirmed"
    """No part of the job runs."""


class Event(Enum):
    """What moves an attempt from one state to another."""

    # SubmissionState
    ASK_HOOKS = "ask hooks"
    INTEND = "intend"
    COMMITTED = "committed"
    SEND = "send"
    ACCEPT = "accept"
    PUT_BACK = "put back"
    LOSE_ANSWER = "lose answer"
    NOT_FOUND = "not found"
    WITHDRAW = "withdraw"
    # Life
    SEE_PENDING = "see pending"
    SEE_RUNNING = "see running"
    SEE_ABSENT = "see absent"
    SEE_ENDED = "see ended"
    JUDGE = "judge"
    RECORD = "record"
    RECORDED = "recorded"
    # Cancellation
    REQUEST = "request"
    MAY_CANCEL = "may cancel"
    ASK = "ask"
    ACKNOWLEDGE = "acknowledge"
    FAIL = "fail"
    REPEAT = "repeat"
    CONFIRM = "confirm"
    RETRACT = "retract"


State = SubmissionState | Life | Cancellation

_S, _L, _C, _E = SubmissionState, Life, Cancellation, Event

SUBMISSION_EVENTS = (
    _E.ASK_HOOKS, _E.INTEND, _E.COMMITTED, _E.SEND, _E.ACCEPT, _E.PUT_BACK, _E.LOSE_ANSWER, _E.NOT_FOUND, _E.WITHDRAW,
)  # fmt: skip
LIFE_EVENTS = (
    _E.SEE_PENDING, _E.SEE_RUNNING, _E.SEE_ABSENT, _E.SEE_ENDED, _E.JUDGE, _E.RECORD, _E.RECORDED,
)  # fmt: skip
CANCELLATION_EVENTS = (
    _E.REQUEST, _E.MAY_CANCEL, _E.ASK, _E.ACKNOWLEDGE, _E.FAIL, _E.REPEAT, _E.CONFIRM, _E.RETRACT,
)  # fmt: skip

TRANSITIONS: dict[tuple[State, Event], State] = {
    (_S.WAITING, _E.ASK_HOOKS): _S.PREPARING,
    (_S.WAITING, _E.INTEND): _S.INTENDED,
    (_S.WAITING, _E.WITHDRAW): _S.WITHDRAWN,
    (_S.PREPARING, _E.INTEND): _S.INTENDED,
    (_S.PREPARING, _E.WITHDRAW): _S.WITHDRAWN,
    (_S.INTENDED, _E.COMMITTED): _S.READY,
    (_S.INTENDED, _E.WITHDRAW): _S.WITHDRAWN,
    (_S.READY, _E.SEND): _S.SENT,
    (_S.READY, _E.PUT_BACK): _S.WAITING,
    (_S.READY, _E.WITHDRAW): _S.WITHDRAWN,
    (_S.SENT, _E.ACCEPT): _S.ACCEPTED,
    (_S.SENT, _E.PUT_BACK): _S.WAITING,
    (_S.SENT, _E.LOSE_ANSWER): _S.UNANSWERED,
    (_S.SENT, _E.WITHDRAW): _S.WITHDRAWN,
    (_S.UNANSWERED, _E.ACCEPT): _S.ACCEPTED,
    (_S.UNANSWERED, _E.NOT_FOUND): _S.WAITING,
    (_S.UNANSWERED, _E.WITHDRAW): _S.WITHDRAWN,
    # The cluster's list, or an answer that comes late, shows a job that ``find`` had not shown.
    (_S.WAITING, _E.ACCEPT): _S.ACCEPTED,
    (_S.PREPARING, _E.ACCEPT): _S.ACCEPTED,
    (_S.INTENDED, _E.ACCEPT): _S.ACCEPTED,
    (_S.READY, _E.ACCEPT): _S.ACCEPTED,
    (_S.WITHDRAWN, _E.ACCEPT): _S.ACCEPTED,
    (_L.UNSEEN, _E.SEE_PENDING): _L.PENDING,
    (_L.UNSEEN, _E.SEE_RUNNING): _L.RUNNING,
    (_L.UNSEEN, _E.SEE_ABSENT): _L.ABSENT,
    (_L.UNSEEN, _E.SEE_ENDED): _L.ENDED,
    (_L.UNSEEN, _E.JUDGE): _L.JUDGED,
    (_L.PENDING, _E.SEE_PENDING): _L.PENDING,
    (_L.PENDING, _E.SEE_RUNNING): _L.RUNNING,
    (_L.PENDING, _E.SEE_ABSENT): _L.ABSENT,
    (_L.PENDING, _E.SEE_ENDED): _L.ENDED,
    (_L.PENDING, _E.JUDGE): _L.JUDGED,
    (_L.RUNNING, _E.SEE_PENDING): _L.PENDING,
    (_L.RUNNING, _E.SEE_RUNNING): _L.RUNNING,
    (_L.RUNNING, _E.SEE_ABSENT): _L.ABSENT,
    (_L.RUNNING, _E.SEE_ENDED): _L.ENDED,
    (_L.RUNNING, _E.JUDGE): _L.JUDGED,
    (_L.ABSENT, _E.SEE_PENDING): _L.PENDING,
    (_L.ABSENT, _E.SEE_RUNNING): _L.RUNNING,
    (_L.ABSENT, _E.SEE_ABSENT): _L.ABSENT,
    (_L.ABSENT, _E.SEE_ENDED): _L.ENDED,
    (_L.ABSENT, _E.JUDGE): _L.JUDGED,
    (_L.ENDED, _E.SEE_ENDED): _L.ENDED,
    (_L.ENDED, _E.JUDGE): _L.JUDGED,
    (_L.JUDGED, _E.RECORD): _L.RECORDING,
    (_L.RECORDING, _E.RECORDED): _L.OVER,
    (_C.NONE, _E.REQUEST): _C.RECORDING,
    (_C.NONE, _E.CONFIRM): _C.CONFIRMED,
    (_C.RECORDING, _E.MAY_CANCEL): _C.DUE,
    (_C.RECORDING, _E.CONFIRM): _C.CONFIRMED,
    (_C.RECORDING, _E.RETRACT): _C.NONE,
    (_C.DUE, _E.ASK): _C.SENT,
    (_C.DUE, _E.RETRACT): _C.NONE,
    (_C.DUE, _E.CONFIRM): _C.CONFIRMED,
    (_C.SENT, _E.ACKNOWLEDGE): _C.ACKNOWLEDGED,
    (_C.SENT, _E.FAIL): _C.DUE,
    (_C.SENT, _E.CONFIRM): _C.CONFIRMED,
    (_C.ACKNOWLEDGED, _E.REPEAT): _C.DUE,
    (_C.ACKNOWLEDGED, _E.CONFIRM): _C.CONFIRMED,
}
"""The next state. What is not here is in ``IGNORED`` or ``IMPOSSIBLE``."""

_SEEN = (_E.SEE_PENDING, _E.SEE_RUNNING, _E.SEE_ABSENT)
_ANSWERS = (_E.ACCEPT, _E.PUT_BACK, _E.LOSE_ANSWER)

IGNORED: dict[tuple[State, Event], str] = {
    **{(_L.ENDED, each): "an end is final" for each in _SEEN},
    **{
        (state, each): "an end is final"
        for state in (_L.JUDGED, _L.RECORDING, _L.OVER)
        for each in (*_SEEN, _E.SEE_ENDED)
    },
    **{(state, _E.JUDGE): "one verdict" for state in (_L.JUDGED, _L.RECORDING, _L.OVER)},
    **{(state, _E.RECORD): "one verdict" for state in (_L.RECORDING, _L.OVER)},
    (_L.OVER, _E.RECORDED): "one verdict",
    **{(_S.ACCEPTED, each): "a job exists" for each in (_E.WITHDRAW, *_ANSWERS, _E.NOT_FOUND, _E.COMMITTED)},
    **{(_S.WITHDRAWN, each): "it was withdrawn" for each in SUBMISSION_EVENTS if each is not _E.ACCEPT},
    **{(_S.UNANSWERED, each): "find decides" for each in (_E.LOSE_ANSWER, _E.PUT_BACK)},
    **{
        (state, _E.REQUEST): "it is being cancelled already" for state in Cancellation if state is not _C.NONE
    },
    **{
        (_C.CONFIRMED, each): "nothing is left to cancel"
        for each in CANCELLATION_EVENTS
        if each is not _E.REQUEST
    },
    **{
        (state, _E.MAY_CANCEL): "it is being cancelled already"
        for state in (_C.DUE, _C.SENT, _C.ACKNOWLEDGED)
    },
    **{(state, _E.RETRACT): "the cluster was asked already" for state in (_C.NONE, _C.SENT, _C.ACKNOWLEDGED)},
    (_C.NONE, _E.MAY_CANCEL): "it was retracted",
    **{(state, _E.REPEAT): "the cluster has not answered yet" for state in (_C.RECORDING, _C.DUE, _C.SENT)},
    **{
        (state, each): "an answer to an earlier request"
        for state in (_C.DUE, _C.ACKNOWLEDGED)
        for each in (_E.ACKNOWLEDGE, _E.FAIL)
    },
}
"""What a state does not react to, with the rule."""

_REGIONS: tuple[tuple[type[Enum], tuple[Event, ...]], ...] = (
    (SubmissionState, SUBMISSION_EVENTS),
    (Life, LIFE_EVENTS),
    (Cancellation, CANCELLATION_EVENTS),
)

IMPOSSIBLE: frozenset[tuple[State, Event]] = frozenset(
    (state, event)  # type: ignore[misc]
    for region, events in _REGIONS
    for state in region
    for event in events
    if (state, event) not in TRANSITIONS and (state, event) not in IGNORED
)
"""What the core never does in a state; it would be a bug."""


@dataclass(slots=True)
class Evidence:
    """What was read of the logs of an ended job."""

    logs: Mapping[int, LogChunk] = field(default_factory=dict)
    """A rank's whole output; empty if the verdict needs none."""
    missing: bool = False
    """Whether a requested log could not be read, or not to its end."""


@dataclass(slots=True, eq=False)
class ActiveAttempt:
    """One attempt in flight: what the core knows of it. Times ending in ``_at`` are monotonic seconds."""

    registration: Registration
    number: int
    token: str
    secrets: Secrets
    """The secrets of the run."""

    # Regions.
    submission: SubmissionState = SubmissionState.WAITING
    life: Life = Life.UNSEEN
    cancellation: Cancellation = Cancellation.NONE

    # Data.
    prepared: JobSpec | None = None
    """The spec that runs in place of the cell's own, as the hooks have decided; None before they have."""
    handle: Handle | None = None
    observation: Observation | None = None
    action: OwnAction | None = None
    """The action of this run on the job, if any."""
    failed_restarts: int = 0
    """The number of restarts before the start in which a failed rank was seen."""
    ruling: Ruling | None = None
    """How its item ends, as decided by the user's code before the submission."""
    result: Result | None = None
    """The verdict, once there is one."""
    evidence: Evidence | None = None
    """What its logs show, if the verdict needed them."""
    why: str = ""
    """The last error of its submission."""
    group: str | None = None
    """What it asks for: jobs with the same group share a circuit breaker."""
    is_inherited: bool = False
    """Whether another session has submitted it, and may still do so if it was only stopped for a while."""
    may_lack_action: bool = False
    """Whether another session may have cancelled it without a record."""
    continues: OwnAction | None = None
    """The action of a dead session after whose confirmed end the cell is submitted again."""

    # Times.
    intended: float = 0.0
    """Seconds since the epoch."""
    submitted: float | None = None
    """Seconds since the epoch."""
    submitted_at: float = 0.0
    deferred_at: float | None = None
    """Since when it has waited for its cluster to accept jobs."""
    due_at: float = 0.0
    """When it may be queued."""
    hooks_until: float | None = None
    """When the hooks that were asked must have answered."""
    polled_at: float | None = None
    """When the first poll began that showed it to this process."""
    answered_at: float = 0.0
    """When the cluster last answered anything about it; for a poll, when the poll began."""
    unknown_at: float | None = None
    """Since when the cluster has answered, without an error in between, that it cannot tell whether it has
    the job."""
    last_unknown_at: float = 0.0
    """When it last answered so."""
    awake_since: float = -inf
    """When this process last continued after a stop, in which it asked the cluster nothing."""
    shown_at: float = 0.0
    """When the cluster last showed the job, or this process took it over."""
    running_at: float | None = None
    waiting_at: float | None = None
    """Since when it has waited to be started again or to continue."""
    waited: float = 0.0
    """Total seconds of its earlier waits of that kind."""
    rank_failed_at: float | None = None
    """Since when a failed rank has been seen while others run. Old answers in between do not show it."""
    absent_at: float | None = None
    """Since when it has been absent from polls."""
    records_at: float | None = None
    """When the records that it left were last looked for, while it was absent."""
    unlisted_at: float | None = None
    """Since when it has been absent from the cluster's list as well."""
    last_unlisted_at: float | None = None
    """When a list was last read that lacked it."""
    stuck_at: float | None = None
    """Since when the cluster has reported that it can never start."""
    ended_at: float | None = None
    requested_at: float = 0.0
    """When this process last wanted to cancel it."""
    cancelled_at: float | None = None
    """When the cluster last acknowledged a request to cancel it."""
    cancel_since: float | None = None
    """When the cluster was first asked to cancel it."""

    # Budgets.
    retries: int = 0
    """Earlier attempts that failed for infrastructure reasons, without those that a dead session
    cancelled."""
    reruns: int = 0
    """Earlier attempts that failed and were rerun."""
    submissions: int = 0
    """How often it was submitted."""

    def move(self, event: Event) -> bool:
        """Take a transition. Returns False for an event that its state ignores.

        Raises AssertionError for an event that is impossible in its state.
        """
        state = self._region(event)
        after = TRANSITIONS.get((state, event))
        if after is None:
            assert (state, event) in IGNORED, f"{self.token}: {event.value} while {state.value}"
            return False
        if isinstance(after, SubmissionState):
            self.submission = after
        elif isinstance(after, Life):
            self.life = after
        else:
            self.cancellation = after
        return True

    def _region(self, event: Event) -> State:
        if event in _SUBMISSION_SET:
            return self.submission
        return self.life if event in _LIFE_SET else self.cancellation

    @property
    def key(self) -> str:
        """The cell's key."""
        return self.registration.key

    @property
    def backend(self) -> str:
        """NAME of its backend."""
        return self.registration.cell.backend

    @property
    def spec(self) -> JobSpec:
        """The spec that the job runs."""
        return self.prepared or self.registration.cell.spec

    @property
    def is_stray(self) -> bool:
        """Whether the cluster lists the job, and the ledger does not know it; it gets no verdict."""
        return not self.registration.path

    @property
    def has_been_polled(self) -> bool:
        """Whether this process has already handled a poll result for the job."""
        return self.polled_at is not None

    @property
    def is_live(self) -> bool:
        """Whether it has no verdict yet, and a job that exists or may exist."""
        return self.life is not Life.OVER and self.submission in _MAY_HAVE_JOB

    @property
    def wants_end(self) -> bool:
        """Whether a job of it is to be cancelled, and its end is not confirmed."""
        return self.cancellation in _CANCELLING

    @property
    def hiding(self) -> Hiding:
        """The values hidden in its logs, and in all texts about it from its cluster and the user's code."""
        return self.secrets.of(self.spec)

    def hide(self, text: str) -> str:
        """A text about the job, with the values of secrets hidden."""
        return self.hiding.hide(text)

    def attempt(self) -> Attempt:
        """The attempt as stored in the ledger."""
        own = self.registration.cell.spec
        return Attempt(
            token=self.token,
            key=self.key,
            number=self.number,
            intended=self.intended,
            spec=None if self.prepared is own else self.prepared,
            submitted=self.submitted,
            handle=self.handle,
        )

    # What the cluster reports.

    def see(self, seen: Observation, now: float) -> bool:
        """Apply a poll result. Returns whether it differs from what was known.

        An end is final: schedulers may contradict themselves, but a verdict must not change.
        """
        silent = now - self.answered_at
        self.answered_at = now
        self.polled_at = now if self.polled_at is None else self.polled_at
        seen = hidden(seen, self.hiding)
        if not self.move(_SEE[seen.phase]) or self.ended_at is not None:
            return self._see_more(seen)
        completed = seen.handle is not None and seen.handle != self.handle
        if seen.handle is not None:
            self.handle = seen.handle
        if seen.phase is Phase.ABSENT:
            newly = self.absent_at is None or silent > MAX_ABSENCE_GAP_SECONDS
            self.absent_at = now if newly else self.absent_at
            self.unlisted_at = None if newly else self.unlisted_at
            self.observation = self.observation or seen
            return newly
        self.absent_at = self.unlisted_at = None
        unseen, self.shown_at = now - self.shown_at, now
        stuck = seen.phase is Phase.PENDING and seen.reason_hint is not None
        self.stuck_at = (self.stuck_at if self.stuck_at is not None else now) if stuck else None
        self._note_times(seen, now, unseen)
        if seen.phase is Phase.ENDED:
            self.ended_at = now
        known = seen if seen.handle is None else replace(seen, handle=None)
        changed = completed or known != self.observation
        self.observation = known
        return changed

    def count_anew(self, now: float) -> None:
        """Count the time that answers, logs and uninterrupted reports take from now on: after a stop."""
        self.awake_since = now
        for name in _SINCE:
            if getattr(self, name) is not None:
                setattr(self, name, now)
        if self.hooks_until is not None:
            self.hooks_until = max(self.hooks_until, now + TIME_AFTER_STOP_SECONDS)

    def _see_more(self, seen: Observation) -> bool:
        """Apply a poll result to a known end while its logs settle: add missing facts and change none."""
        if seen.phase is not Phase.ENDED or self.observation is None or self.life is not Life.ENDED:
            return False
        complete = self.observation.log_complete or seen.log_complete
        known = replace(self.observation, log_complete=complete)
        if known.reason_hint is None and seen.reason_hint is not None:
            known = replace(known, reason_hint=seen.reason_hint, native_reason=seen.native_reason)
        new = known.reason_hint is not self.observation.reason_hint
        self.observation = known
        return new

    def _has_run(self, seen: Observation) -> bool:
        """Whether it has been started before, perhaps between two polls."""
        started = (seen.phase is Phase.PENDING or seen.suspended) and seen.times.started is not None
        return self.running_at is not None or seen.restarts > 0 or started

    def _note_times(self, seen: Observation, now: float, unseen: float) -> None:
        """Note since when the job runs, waits to be started again, and has a failed rank."""
        is_running = seen.phase is Phase.RUNNING and not seen.suspended
        waits = not is_running and seen.phase is not Phase.ENDED and self._has_run(seen)
        known = self.observation
        restarted = known is not None and seen.restarts > known.restarts
        # Between a suspension and a wait for the next start it has run.
        other = known is not None and waits and seen.phase is not known.phase
        if self.waiting_at is not None and (is_running or restarted or other):
            # A start that was over before the next poll is seen by its count only.
            self.waited += now - self.waiting_at
            self.waiting_at = None
        elif self.running_at is not None and (restarted or (waits and self.waiting_at is None)):
            # It may have waited ever since a poll showed it.
            self.waited += unseen
        elif self.running_at is not None and unseen > MAX_ABSENCE_GAP_SECONDS:
            # It may have been suspended for some of that.
            self.waited += unseen
        if is_running:
            self.running_at = now if self.running_at is None else self.running_at
        elif waits:
            self.waiting_at = now if self.waiting_at is None else self.waiting_at
        # One such answer alone may be wrong.
        was_pending = known is not None and known.phase is Phase.PENDING
        waits_again = was_pending and seen.phase is Phase.PENDING and seen.times.started is not None
        if waits_again or seen.restarts > self.failed_restarts:
            self.rank_failed_at = None
        if self.rank_failed_at is None and seen.phase is Phase.RUNNING and failed_ranks(seen):
            self.rank_failed_at, self.failed_restarts = now, seen.restarts


HAS_ENDED = frozenset({Life.ENDED, Life.JUDGED, Life.RECORDING, Life.OVER})
"""The states in which nothing more is learned of a job's life."""

_SUBMISSION_SET = frozenset(SUBMISSION_EVENTS)
_LIFE_SET = frozenset(LIFE_EVENTS)
_MAY_HAVE_JOB = frozenset({SubmissionState.SENT, SubmissionState.UNANSWERED, SubmissionState.ACCEPTED})
_SINCE = ("unknown_at", "stuck_at", "ended_at", "cancel_since")
"""The times from which it is counted how long answers, logs and uninterrupted reports take."""
_CANCELLING = frozenset(
    {Cancellation.RECORDING, Cancellation.DUE, Cancellation.SENT, Cancellation.ACKNOWLEDGED}
)
_SEE = {
    Phase.PENDING: Event.SEE_PENDING,
    Phase.RUNNING: Event.SEE_RUNNING,
    Phase.ABSENT: Event.SEE_ABSENT,
    Phase.ENDED: Event.SEE_ENDED,
}
_LIFE_OF_PHASE = {
    Phase.PENDING: Life.PENDING,
    Phase.RUNNING: Life.RUNNING,
    Phase.ABSENT: Life.ABSENT,
    Phase.ENDED: Life.ENDED,
}


def failed_ranks(seen: Observation) -> list[int]:
    """The ranks that have ended with another code than 0."""
    return [node.rank for node in seen.nodes if node.ended is not None and node.exit_code != 0]


def adopted(
    entry: Registration, attempt: Attempt, secrets: Secrets, monotonic: float, time: float
) -> ActiveAttempt:
    """The job for an attempt that another process began; ``monotonic`` and ``time`` are now."""
    submitted = attempt.submitted if attempt.submitted is not None else attempt.intended
    # The intent may be much older than the submission, which may still have been under way a moment ago.
    age = max(0.0, time - submitted) if attempt.handle is not None else 0.0
    seen = attempt.observation
    started = seen.times.started if seen is not None else None
    # How long it waited between two starts is no longer known.
    again = seen is not None and (seen.restarts > 0 or seen.phase is Phase.PENDING)
    waits = seen is not None and seen.phase is Phase.PENDING and started is not None
    ran = 0.0 if started is None or again else max(0.0, time - started)
    has_ended = seen is not None and seen.phase is Phase.ENDED
    return ActiveAttempt(
        entry,
        attempt.number,
        attempt.token,
        secrets,
        submission=SubmissionState.UNANSWERED if attempt.handle is None else SubmissionState.ACCEPTED,
        life=Life.UNSEEN if seen is None else _LIFE_OF_PHASE[seen.phase],
        prepared=attempt.spec or entry.cell.spec,
        intended=attempt.intended,
        submitted=submitted,
        submitted_at=monotonic - age,
        # How much of that it was suspended is not known; its sentinel measures it.
        waited=ran,
        handle=attempt.handle,
        observation=attempt.observation,
        action=attempt.action,
        answered_at=monotonic,
        shown_at=monotonic,
        running_at=None if started is None else monotonic - ran,
        # How long it has waited to be started again is not known either.
        waiting_at=monotonic if waits else None,
        ended_at=monotonic if has_ended else None,
        is_inherited=True,
        submissions=1,
    )
