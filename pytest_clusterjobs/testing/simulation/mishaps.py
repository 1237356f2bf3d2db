"""What happens to a job that runs: its node is lost, its capacity is reclaimed, it is suspended."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ...model import Reason
from .world import Timer

if TYPE_CHECKING:
    from .jobs import TrueJob

_RUNNING = "RUNNING"


def plan_mishaps(job: TrueJob) -> list[Timer]:
    """Set the timers of the faults that are planned for the start that begins now."""
    faults, world = job.faults, job.cluster.world
    if len(job.started_at) != faults.in_start + 1:
        return []
    plans: tuple[tuple[float | None, Callable[[TrueJob], None]], ...] = (
        (faults.preempted, _preempt),
        (faults.node_loss, _lose_node),
        (faults.suspension, _suspend),
        (faults.oom, _run_out_of_memory),
        (faults.killed, _kill_sentinel),
        (faults.false_limit, _report_falsely),
    )
    return [
        world.at(world.now + after, lambda happen=happen: happen(job))  # type: ignore[misc]
        for after, happen in plans
        if after is not None
    ]


def _preempt(job: TrueJob) -> None:
    job.resume()
    if job.state != _RUNNING or job.stopping or not job.term():
        return
    job.struck(Reason.PREEMPTED, "preempted")
    job.cluster.fault("preempted", job.token)
    job.changed()


def _lose_node(job: TrueJob) -> None:
    job.resume()
    lost = job.ranks[job.faults.rank]
    if job.state != _RUNNING or job.stopping or not lost.is_live:
        return
    job.struck(Reason.NODE_FAILED, f"rank {lost.rank}: its node does not respond")
    job.cluster.fault("node_loss", job.token)
    # The others first: the job is over when its last rank is.
    job.term()
    lost.kill(None)
    job.changed()


def _run_out_of_memory(job: TrueJob) -> None:
    rank = job.ranks[job.faults.rank]
    if job.state != _RUNNING or job.stopping or rank.word is not None or not rank.is_live:
        return
    job.struck(Reason.OUT_OF_MEMORY, f"rank {rank.rank}: out of memory")
    job.cluster.fault("oom", job.token)
    rank.out_of_memory(whole_node=job.faults.oom_takes_sentinel)
    job.term()
    job.changed()


def _kill_sentinel(job: TrueJob) -> None:
    rank = job.ranks[job.faults.rank]
    if job.state != _RUNNING or job.stopping or rank.word is not None or not rank.is_live:
        return
    # The cluster sees a code only, and handles it as that of the command.
    job.cause, job.by = str(Reason.UNKNOWN), "other"
    job.cluster.fault("sentinel_killed", job.token)
    rank.kill(137)
    job.changed()


def _report_falsely(job: TrueJob) -> None:
    """A sentinel gets its internal signal from outside, or its node's clock is set."""
    rank = job.ranks[job.faults.rank]
    if job.state != _RUNNING or job.stopping or rank.word is not None or not rank.is_live:
        return
    if not rank.report_falsely(job.faults.false_word):
        return
    job.cause, job.by = str(Reason.UNKNOWN), "other"
    job.cluster.fault("false_limit", job.token)
    job.changed()


def _suspend(job: TrueJob) -> None:
    if job.state != _RUNNING or job.stopping:
        return
    world = job.cluster.world
    job.cluster.fault("suspension", job.token)
    job.suspend()
    world.at(world.now + job.faults.suspended_for, job.resume)
