"""One attempt in flight: the engine's only mutable record, guarded by the engine's lock."""

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

LOST_AFTER = 300.0
"""Seconds of unbroken absence after which a job is ``lost``."""

ABSENCE_GAP = 90.0
"""Seconds between two answers after which nobody can say that the absence was unbroken; polls are less than half apart."""

SILENCE_LIMIT = 3600.0
"""Seconds without any answer about a job after which it is ``lost``: an API that fails for minutes
is no job's death, one that fails for an hour must not cost the night its verdict."""

RUNTIME_MARGIN = 60.0
"""Seconds past ``max_runtime`` and ``grace_period`` that the job's side has to enforce its own limit."""

CANCEL_PATIENCE = 600.0
"""Seconds after which a cancel that no poll confirmed is given up on, and said so."""

STUCK_FOR = 60.0
"""Seconds for which a cluster has to say, without a break, that a pending job can never start: it may say so
while it is scaling up, or while somebody mends its configuration."""

REST_PATIENCE = 60.0
"""Seconds that the other ranks have to fail too, once one has: on some clusters that is what has a job started again."""

CANCEL_AGAIN = 30.0
"""Seconds between two requests to cancel the same job."""


@dataclass(slots=True, eq=False)
class ActiveAttempt:
    """One attempt in flight. Times ending in ``_at`` are the clock's monotonic seconds."""

    registration: Registration
    number: int
    token: str
    secrets: Secrets
    """The run's."""
    prepared: JobSpec | None = None
    """What runs in place of the cell's own spec, where a hook changed it."""
    is_prepared: bool = False
    """Whether the hooks have had their word."""
    gate: SubmissionBreaker | None = None
    """The way in that it takes."""
    outside_at: float | None = None
    """Since when it has waited for its cluster to take jobs."""
    intended: float = 0.0
    submitted: float | None = None
    submitted_at: float = 0.0
    handle: Handle | None = None
    observation: Observation | None = None
    request: OwnAction | None = None
    """What another thread wants done to it; the poller notes and does it."""
    action: OwnAction | None = None
    ruling: Ruling | None = None
    """What the user's code said becomes of its item, before it was submitted."""
    due_at: float = 0.0
    answered_at: float = 0.0
    """When the cluster last said anything about it."""
    running_at: float | None = None
    waiting_at: float | None = None
    """Since when it has waited to be started again, or to go on."""
    waited: float = 0.0
    """Seconds that it waited for that altogether, earlier."""
    rank_failed_at: float | None = None
    """Since when a rank has failed while others run."""
    absent_at: float | None = None
    stuck_at: float | None = None
    """Since when the cluster has said that it can never start."""
    ended_at: float | None = None
    cancelled_at: float | None = None
    """When the cluster was last asked to end it."""
    cancel_since: float | None = None
    asked: bool = False
    """Whether this process has had a word about it from the cluster, and made of it what there is to make."""
    again: bool = False
    """Whether it is submitted again once it has ended: it was cancelled because its session ended."""
    retries: int = 0
    """How many attempts before it the infrastructure failed; those that a dead session cancelled are none."""
    reruns: int = 0
    """How many attempts before it failed and were rerun."""
    submissions: int = 0
    why: str = ""
    """The last error of its submission."""

    @property
    def key(self) -> str:
        """The cell's key."""
        return self.registration.key

    @property
    def spec(self) -> JobSpec:
        """What it runs."""
        return self.prepared or self.registration.cell.spec

    @property
    def hiding(self) -> Hiding:
        """What is hidden in its logs, and in all that its cluster and the user's code say of it."""
        return self.secrets.of(self.spec)

    def hide(self, text: str) -> str:
        """A text about it, without the values of secrets."""
        return self.hiding.hide(text)

    def attempt(self) -> Attempt:
        """The attempt as the ledger keeps it."""
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
        """Take in what a poll said; whether that differs from what was known.

        An end is final: schedulers contradict themselves, and a verdict must not.
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
            newly = self.absent_at is None or silent > ABSENCE_GAP
            self.absent_at = now if newly else self.absent_at
            self.observation = self.observation or seen
            return newly
        self.absent_at = None
        stuck = seen.phase is Phase.PENDING and seen.reason_hint is not None
        self.stuck_at = (self.stuck_at if self.stuck_at is not None else now) if stuck else None
        self._clock(seen, now)
        if seen.phase is Phase.ENDED and self.ended_at is None:
            self.ended_at = now
        known = seen if seen.handle is None else replace(seen, handle=None)
        changed = completed or known != self.observation
        self.observation = known
        return changed

    def _see_more(self, seen: Observation) -> bool:
        """What is said of an end while its logs settle: a fact where there was none is taken, none is changed."""
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

    def _clock(self, seen: Observation, now: float) -> None:
        """Note since when it runs, waits to be started again, and has a rank that failed."""
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
    """The job of an attempt that another process began."""
    now, at = clock.monotonic(), clock.time()
    submitted = attempt.submitted if attempt.submitted is not None else attempt.intended
    # An intent may be much older than the submission, which may have been under way a moment ago.
    age = max(0.0, at - submitted) if attempt.handle is not None else 0.0
    seen = attempt.observation
    started = seen.times.started if seen is not None else None
    # How long it waited between two starts, nobody knows any more.
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
    """What this run has to do to a job now, judged on what the cluster has just said of it.

    ``now`` is monotonic, ``at`` the time of day. The job's own side enforces its limits first; the
    margins here only catch the jobs whose side is dead.
    """
    spec = job.spec
    if job.absent_at is not None:
        gone = now - job.absent_at
        if gone >= LOST_AFTER:
            return OwnAction(ActionKind.LOST, f"absent from the scheduler for {gone:.0f} s", at)
        return None
    if job.observation is None or job.observation.phase is Phase.ENDED:
        return None
    if job.observation.phase is Phase.PENDING or job.observation.suspended:
        if job.stuck_at is not None and now - job.stuck_at >= STUCK_FOR:
            return _give_up(job.observation, at)
        waited = now - (job.submitted_at if job.waiting_at is None else job.waiting_at)
        if waited > spec.queue_timeout:
            words = job.observation.native_reason or job.observation.native_state
            state = "suspended" if job.observation.suspended else "still pending"
            why = f"{state} after queue_timeout ({spec.queue_timeout:g} s): {words}"
            return OwnAction(ActionKind.QUEUE_TIMEOUT, why, at)
        return None
    return _run_limit(job, now, at)


def rest_to_stop(job: ActiveAttempt, now: float, at: float) -> OwnAction | None:
    """What is to be done to a job of which a rank has failed, on a cluster that lets the others run on.

    Where it may be started again, the others have time to fail as well: a job that this run ends is not.
    """
    if job.rank_failed_at is None or job.observation is None:
        return None
    may_restart = job.observation.restarts < job.spec.max_restarts
    if may_restart and now - job.rank_failed_at < REST_PATIENCE:
        return None
    ranks = ", ".join(map(str, _failed_ranks(job.observation)))
    return OwnAction(ActionKind.STOP_REST, f"rank {ranks} has failed, the others still run", at)


def _failed_ranks(seen: Observation) -> list[int]:
    return [node.rank for node in seen.nodes if node.ended is not None and node.exit_code != 0]


def _give_up(seen: Observation, at: float) -> OwnAction:
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
    longest = job.spec.max_runtime * starts + job.spec.grace_period + RUNTIME_MARGIN
    ran -= job.waited
    if ran > longest:
        why = f"ran {ran:.0f} s, max_runtime is {job.spec.max_runtime:g} s a start, and its own side did not end it"
        return OwnAction(ActionKind.MAX_RUNTIME, why, at)
    return None


def next_deadline(job: ActiveAttempt) -> float | None:
    """When ``due_action`` could next find something by itself, in monotonic seconds."""
    if job.observation is not None and job.observation.phase is Phase.PENDING:
        limit = (job.submitted_at if job.waiting_at is None else job.waiting_at) + job.spec.queue_timeout
        return limit if job.stuck_at is None else min(limit, job.stuck_at + STUCK_FOR)
    limits = []
    if job.running_at is not None and job.registration.test_timeout is not None:
        limits.append(job.running_at + job.registration.test_timeout)
    if job.rank_failed_at is not None:
        limits.append(job.rank_failed_at + REST_PATIENCE)
    return min(limits, default=None)
