"""One attempt in flight: the engine's only mutable record. It is guarded by the engine's lock."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace

from ..model import ActionKind
from ..model import Handle
from ..model import JobSpec
from ..model import Observation
from ..model import OwnAction
from ..model import Phase
from ..model import Reason
from ..model.records import Attempt
from ..model.records import Registration
from ..model.records import Ruling
from .breaker import SubmissionBreaker
from .clock import Clock
from .hiding import hidden
from .hiding import Hiding
from .secrets import Secrets

LOST_AFTER_SECONDS = 300.0
"""Seconds of uninterrupted absence after which a job is ``lost``."""

MAX_ABSENCE_GAP_SECONDS = 90.0
"""The longest gap, in seconds, between two answers for which an absence counts as uninterrupted.

Polls are less than half as far apart."""

MAX_SILENCE_SECONDS = 3600.0
"""Seconds without any answer about a job after which it is ``lost``. An API that fails for minutes does not
mean that a job has ended; if it fails for an hour, the run must still reach a verdict."""

RUNTIME_MARGIN_SECONDS = 60.0
"""Seconds after ``max_runtime`` and ``grace_period`` in which the job's sentinel can enforce the limit
first."""

CANCEL_GIVE_UP_SECONDS = 600.0
"""Seconds after which a cancellation that no poll has confirmed is given up and reported."""

STUCK_AFTER_SECONDS = 60.0
"""Seconds for which a cluster must report without interruption that a pending job can never start. It may
report this temporarily, while it scales up or while its configuration is being fixed."""

OTHER_RANKS_TIMEOUT_SECONDS = 60.0
"""Seconds in which the other ranks may fail too, once one has: some clusters restart a job only then."""

CANCEL_RETRY_SECONDS = 30.0
"""Seconds between two requests to cancel the same job."""


@dataclass(slots=True, eq=False)
class ActiveAttempt:
    """One attempt in flight. Times ending in ``_at`` are the clock's monotonic seconds."""

    registration: Registration
    number: int
    token: str
    secrets: Secrets
    """The secrets of the run."""
    prepared: JobSpec | None = None
    """The spec that runs in place of the cell's own, if a hook changed it."""
    is_prepared: bool = False
    """Whether the hooks have been called."""
    breaker: SubmissionBreaker | None = None
    """The breaker that its submission passes."""
    deferred_at: float | None = None
    """Since when it has waited for its cluster to accept jobs."""
    intended: float = 0.0
    submitted: float | None = None
    submitted_at: float = 0.0
    handle: Handle | None = None
    observation: Observation | None = None
    request: OwnAction | None = None
    """An action requested by another thread; the poller records and performs it."""
    action: OwnAction | None = None
    ruling: Ruling | None = None
    """How its item ends, as decided by the user's code before the submission."""
    due_at: float = 0.0
    answered_at: float = 0.0
    """When the cluster last answered anything about it."""
    running_at: float | None = None
    waiting_at: float | None = None
    """Since when it has waited to be started again or to continue."""
    waited: float = 0.0
    """Total seconds of its earlier waits of that kind."""
    rank_failed_at: float | None = None
    """Since when a failed rank has been seen while others run."""
    absent_at: float | None = None
    stuck_at: float | None = None
    """Since when the cluster has reported that it can never start."""
    ended_at: float | None = None
    cancelled_at: float | None = None
    """When its cancellation was last requested."""
    cancel_since: float | None = None
    has_been_polled: bool = False
    """Whether this process has already handled a poll result for the job."""
    resubmit: bool = False
    """Whether it is submitted again once it has ended, because it was cancelled when its session ended."""
    retries: int = 0
    """Earlier attempts that failed for infrastructure reasons, without those that a dead session
    cancelled."""
    reruns: int = 0
    """Earlier attempts that failed and were rerun."""
    submissions: int = 0
    why: str = ""
    """The last error of its submission."""

    @property
    def key(self) -> str:
        """The cell's key."""
        return self.registration.key

    @property
    def spec(self) -> JobSpec:
        """The spec that the job runs."""
        return self.prepared or self.registration.cell.spec

    @property
    def hiding(self) -> Hiding:
        """The values hidden in its logs, and in all texts about it from its cluster and the user's code."""
        return self.secrets.of(self.spec)

    def hide(self, text: str) -> str:
        """A text about the job, with the values of secrets hidden."""
        return self.hiding.hide(text)

    def attempt(self) -> Attempt:
        """The attempt as stored in the ledger."""
        return Attempt(
            token=self.token,
            key=self.key,
            number=self.number,
            intended=self.intended,
            spec=self.prepared,
            submitted=self.submitted,
            handle=self.handle,
        )

    def see(self, seen: Observation, now: float) -> bool:
        """Apply a poll result. Returns whether it differs from what was known.

        An end is final: schedulers may contradict themselves, but a verdict must not change.
        """
        silent = now - self.answered_at
        self.answered_at = now
        seen = hidden(seen, self.hiding)
        if self.observation is not None and self.observation.phase is Phase.ENDED:
            return self._see_more(seen)
        completed = seen.handle is not None and seen.handle != self.handle
        if seen.handle is not None:
            self.handle = seen.handle
        if seen.phase is Phase.ABSENT:
            newly = self.absent_at is None or silent > MAX_ABSENCE_GAP_SECONDS
            self.absent_at = now if newly else self.absent_at
            self.observation = self.observation or seen
            return newly
        self.absent_at = None
        stuck = seen.phase is Phase.PENDING and seen.reason_hint is not None
        self.stuck_at = (self.stuck_at if self.stuck_at is not None else now) if stuck else None
        self._note_times(seen, now)
        if seen.phase is Phase.ENDED and self.ended_at is None:
            self.ended_at = now
        known = seen if seen.handle is None else replace(seen, handle=None)
        changed = completed or known != self.observation
        self.observation = known
        return changed

    def _see_more(self, seen: Observation) -> bool:
        """Apply a poll result to a known end while its logs settle: add missing facts and change none."""
        assert self.observation is not None
        if seen.phase is not Phase.ENDED:
            return False
        complete = self.observation.log_complete or seen.log_complete
        known = replace(self.observation, log_complete=complete)
        if known.reason_hint is None and seen.reason_hint is not None:
            known = replace(known, reason_hint=seen.reason_hint, native_reason=seen.native_reason)
        new = known.reason_hint is not self.observation.reason_hint
        self.observation = known
        return new

    def _note_times(self, seen: Observation, now: float) -> None:
        """Note since when the job runs, waits to be started again, and has a failed rank."""
        if seen.phase is Phase.RUNNING and not seen.suspended:
            self.running_at = now if self.running_at is None else self.running_at
            if self.waiting_at is not None:
                self.waited += now - self.waiting_at
                self.waiting_at = None
        elif seen.phase in {Phase.PENDING, Phase.RUNNING} and self.running_at is not None:
            self.waiting_at = now if self.waiting_at is None else self.waiting_at
        failed = seen.phase is Phase.RUNNING and _failed_ranks(seen)
        since = now if self.rank_failed_at is None else self.rank_failed_at
        self.rank_failed_at = since if failed else None


def adopted(entry: Registration, attempt: Attempt, clock: Clock, secrets: Secrets) -> ActiveAttempt:
    """The job for an attempt that another process began."""
    now, at = clock.monotonic(), clock.time()
    submitted = attempt.submitted if attempt.submitted is not None else attempt.intended
    # The intent may be much older than the submission, which may still have been under way a moment ago.
    age = max(0.0, at - submitted) if attempt.handle is not None else 0.0
    seen = attempt.observation
    started = seen.times.started if seen is not None else None
    # How long it waited between two starts is no longer known.
    again = seen is not None and (seen.restarts > 0 or seen.phase is Phase.PENDING)
    ran = 0.0 if started is None or again else max(0.0, at - started)
    return ActiveAttempt(
        entry,
        attempt.number,
        attempt.token,
        secrets,
        prepared=attempt.spec,
        is_prepared=True,
        intended=attempt.intended,
        submitted=submitted,
        submitted_at=now - age,
        handle=attempt.handle,
        observation=attempt.observation,
        action=attempt.action,
        answered_at=now,
        running_at=None if started is None else now - ran,
        submissions=1,
    )


def due_action(job: ActiveAttempt, now: float, at: float) -> OwnAction | None:
    """The action that this run must take on a job now, given the cluster's latest answer about it.

    ``now`` is monotonic, ``at`` the time of day. The job's sentinel enforces its limits first. The
    margins here only apply to jobs whose sentinel is dead.
    """
    spec = job.spec
    if job.absent_at is not None:
        gone = now - job.absent_at
        if gone >= LOST_AFTER_SECONDS:
            return OwnAction(ActionKind.LOST, f"absent from the scheduler for {gone:.0f} s", at)
        return None
    if job.observation is None or job.observation.phase is Phase.ENDED:
        return None
    if job.observation.phase is Phase.PENDING or job.observation.suspended:
        if job.stuck_at is not None and now - job.stuck_at >= STUCK_AFTER_SECONDS:
            return _never_starts(job.observation, at)
        waited = now - (job.submitted_at if job.waiting_at is None else job.waiting_at)
        if waited > spec.queue_timeout:
            state_text = job.observation.native_reason or job.observation.native_state
            state = "suspended" if job.observation.suspended else "still pending"
            why = f"{state} after queue_timeout ({spec.queue_timeout:g} s): {state_text}"
            return OwnAction(ActionKind.QUEUE_TIMEOUT, why, at)
        return None
    return _run_limit(job, now, at)


def rest_to_stop(job: ActiveAttempt, now: float, at: float) -> OwnAction | None:
    """The action on a job with a failed rank, on a cluster that lets the other ranks continue.

    If the cluster may restart the job, the other ranks get time to fail as well: a job that this run cancels
    is not restarted.
    """
    if job.rank_failed_at is None or job.observation is None:
        return None
    may_restart = job.observation.restarts < job.spec.max_restarts
    if may_restart and now - job.rank_failed_at < OTHER_RANKS_TIMEOUT_SECONDS:
        return None
    ranks = ", ".join(map(str, _failed_ranks(job.observation)))
    return OwnAction(ActionKind.STOP_REST, f"rank {ranks} has failed, the others still run", at)


def _failed_ranks(seen: Observation) -> list[int]:
    return [node.rank for node in seen.nodes if node.ended is not None and node.exit_code != 0]


def _never_starts(seen: Observation, at: float) -> OwnAction:
    dependency = seen.reason_hint is Reason.DEPENDENCY_FAILED
    kind = ActionKind.DEPENDENCY_FAILED if dependency else ActionKind.REJECTED
    return OwnAction(kind, f"it can never start: {seen.native_reason or seen.native_state}", at)


def _run_limit(job: ActiveAttempt, now: float, at: float) -> OwnAction | None:
    if job.running_at is None or job.observation is None:
        return None
    ran = now - job.running_at
    limit = job.registration.test_timeout
    if limit is not None and ran > limit:
        return OwnAction(ActionKind.TEST_TIMEOUT, f"Timeout (>{limit:g}s) from job start", at)
    starts = job.observation.restarts + 1
    longest = job.spec.max_runtime * starts + job.spec.grace_period + RUNTIME_MARGIN_SECONDS
    ran -= job.waited
    if ran > longest:
        why = f"ran {ran:.0f} s, max_runtime is {job.spec.max_runtime:g} s a start, and its sentinel did not end it"
        return OwnAction(ActionKind.MAX_RUNTIME, why, at)
    return None


def next_deadline(job: ActiveAttempt) -> float | None:
    """When, in monotonic seconds, ``due_action`` may next return an action without a new answer."""
    if job.observation is not None and job.observation.phase is Phase.PENDING:
        limit = (job.submitted_at if job.waiting_at is None else job.waiting_at) + job.spec.queue_timeout
        return limit if job.stuck_at is None else min(limit, job.stuck_at + STUCK_AFTER_SECONDS)
    limits = []
    if job.running_at is not None and job.registration.test_timeout is not None:
        limits.append(job.running_at + job.registration.test_timeout)
    if job.rank_failed_at is not None:
        limits.append(job.rank_failed_at + OTHER_RANKS_TIMEOUT_SECONDS)
    return min(limits, default=None)
