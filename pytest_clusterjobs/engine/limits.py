"""The limits of a job in flight, and the action that this run takes when one is reached. Pure functions."""

from __future__ import annotations

from math import inf

from ..model import ActionKind
from ..model import Observation
from ..model import OwnAction
from ..model import Phase
from ..model import Reason
from .attempt import ActiveAttempt
from .attempt import failed_ranks

LOST_AFTER_SECONDS = 300.0
"""Seconds of uninterrupted absence after which a job is ``lost``. So is a submission without an answer if
the cluster could not tell for so long whether it has the job."""

MAX_SILENCE_SECONDS = 3600.0
"""Seconds without any answer about a job after which it is ``lost``. An API that fails for minutes does not
mean that a job has ended; if it fails for an hour, the run must still reach a verdict."""

RUNTIME_MARGIN_SECONDS = 60.0
"""Seconds after ``max_runtime`` and ``grace_period`` in which the job's sentinel can enforce the limit
first."""

STUCK_AFTER_SECONDS = 60.0
"""Seconds for which a cluster must report without interruption that a pending job can never start. It may
report this temporarily, while it scales up or while its configuration is being fixed."""

NEVER_STARTS = frozenset({Reason.DEPENDENCY_FAILED, Reason.REJECTED})
"""What a cluster may report of a pending job that can never start."""

OTHER_RANKS_TIMEOUT_SECONDS = 60.0
"""Seconds in which the other ranks may fail too, once one has: some clusters restart a job only then."""

ABSENT_AFTER_SECONDS = 15.0
"""Seconds of uninterrupted absence from polls and lists after which a cancelled job counts as ended. Two
readings of the list lie at least so far apart: a single one may lack a job."""

CANCEL_RETRY_SECONDS = 15.0
"""Seconds between two requests to cancel the same job."""

CANCEL_GIVE_UP_SECONDS = 600.0
"""Seconds after which a cancellation that no poll has confirmed is given up and reported."""

LOG_RETRY_SECONDS = 300.0
"""Seconds, after the time in which the logs of an ended job arrive, for which a read that failed is repeated.
An API that fails for minutes does not mean that a log is gone."""

MAX_POLL_INTERVAL_SECONDS = 30.0
"""The longest time, in seconds, between two polls of a job."""

POLL_INTERVAL_AGE_FRACTION = 0.05
"""A job is polled again after this fraction of its age, or of the time for which its end is awaited, so that
the delay stays proportional to it."""


def due_action(job: ActiveAttempt, now: float, at: float) -> OwnAction | None:
    """The action that this run must take on a job now, given the cluster's latest answer about it.

    ``now`` is monotonic, ``at`` the time of day. The job's sentinel enforces its limits first. The
    margins here only apply to jobs whose sentinel is dead.
    """
    spec = job.spec
    if job.absent_at is not None:
        if now < lost_at(job):
            return None
        unseen = now - min(job.absent_at, _last_shown_at(job))
        return OwnAction(ActionKind.LOST, f"absent from the scheduler for {unseen:.0f} s", at)
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
    if job.rank_failed_at is None or job.observation is None or not failed_ranks(job.observation):
        return None
    if job.absent_at is not None:
        # The cluster may have started it again.
        return None
    may_restart = job.observation.restarts < job.spec.max_restarts
    if may_restart and now - job.rank_failed_at < OTHER_RANKS_TIMEOUT_SECONDS:
        return None
    ranks = ", ".join(map(str, failed_ranks(job.observation)))
    return OwnAction(ActionKind.STOP_REST, f"rank {ranks} has failed, the others still run", at)


def silence(job: ActiveAttempt, now: float, at: float, error: str) -> OwnAction | None:
    """The action on a job about which the cluster has answered nothing for too long.

    ``error`` is the last error of the cluster, if any.
    """
    if now < silence_ends_at(job):
        return None
    silent = now - _asked_since(job)
    cause = f": {error or job.why}" if error or job.why else ""
    return OwnAction(ActionKind.LOST, f"the cluster has not reported it for {silent:.0f} s{cause}", at)


def silence_ends_at(job: ActiveAttempt) -> float:
    """When a job is lost if the cluster answers nothing about it until then."""
    ends = _asked_since(job) + MAX_SILENCE_SECONDS
    # Only answers count: an outage after one of them says nothing.
    if job.unknown_at is None or job.last_unknown_at < job.unknown_at + LOST_AFTER_SECONDS:
        return ends
    return min(ends, job.last_unknown_at)


def unsubmitted_at(job: ActiveAttempt) -> float:
    """When the call that submits a job counts as one that does not return."""
    return max(job.submitted_at, job.awake_since) + MAX_SILENCE_SECONDS


def unconfirmed(at: float) -> OwnAction:
    """The action on a job whose cancellation no poll has confirmed."""
    why = f"no poll confirmed its cancellation within {CANCEL_GIVE_UP_SECONDS:.0f} s; it may still be running"
    return OwnAction(ActionKind.LOST, why, at)


def absence_lasts_at(job: ActiveAttempt) -> float:
    """When the absence of a job is no gap any more; infinity while the cluster's list does not lack it."""
    return inf if job.unlisted_at is None else job.unlisted_at + ABSENT_AFTER_SECONDS


def has_left(job: ActiveAttempt) -> bool:
    """Whether polls and the cluster's lists have lacked a job for so long that its absence is no gap."""
    return job.last_unlisted_at is not None and job.last_unlisted_at >= absence_lasts_at(job)


def lost_at(job: ActiveAttempt) -> float:
    """When a job that is absent counts as lost.

    Answers may be so far apart that no absence is uninterrupted.
    """
    if job.absent_at is None:
        return inf
    since = max(_last_shown_at(job), job.awake_since)
    return min(job.absent_at + LOST_AFTER_SECONDS, since + MAX_SILENCE_SECONDS)


def _asked_since(job: ActiveAttempt) -> float:
    """Since when the cluster has been asked about the job without an answer."""
    return max(job.answered_at, job.awake_since)


def _last_shown_at(job: ActiveAttempt) -> float:
    return max(job.shown_at, job.submitted_at)


def gone(seen: Observation) -> Observation:
    """The end of a job that the scheduler no longer knows after its cancellation was requested."""
    return Observation(
        Phase.ENDED,
        seen.times,
        seen.native_state or "ABSENT",
        seen.native_reason or "the scheduler no longer knows this job",
    )


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
    if job.absent_at is not None:
        return lost_at(job)
    if job.observation is not None and job.observation.phase is Phase.PENDING:
        limit = (job.submitted_at if job.waiting_at is None else job.waiting_at) + job.spec.queue_timeout
        return limit if job.stuck_at is None else min(limit, job.stuck_at + STUCK_AFTER_SECONDS)
    limits = []
    if job.running_at is not None and job.registration.test_timeout is not None:
        limits.append(job.running_at + job.registration.test_timeout)
    if job.rank_failed_at is not None:
        limits.append(job.rank_failed_at + OTHER_RANKS_TIMEOUT_SECONDS)
    return min(limits, default=None)


def next_poll_at(job: ActiveAttempt, now: float, min_interval: float) -> float:
    """When to poll a job again that has just been polled, in monotonic seconds."""
    # While an end or a return is awaited, what counts is for how long.
    awaited = [at for at in (job.absent_at, job.requested_at if job.wants_end else None) if at is not None]
    since = max(awaited, default=job.submitted_at)
    interval = min(MAX_POLL_INTERVAL_SECONDS, max(min_interval, POLL_INTERVAL_AGE_FRACTION * (now - since)))
    deadline = next_deadline(job)
    if deadline is not None and deadline > now:
        return min(now + interval, deadline + 0.001)
    return now + interval
