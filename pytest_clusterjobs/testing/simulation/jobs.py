"""One job of the simulated cluster: its true life, whatever is shown of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ...model import JobSpec
from ...model import Observation
from ...model import Reason
from .behaviour import Behaviour
from .faults import JobFaults
from .mishaps import plan_mishaps
from .rank_run import RankRun
from .true_ends import end_of_start
from .true_ends import own_reason
from .truth import TrueEnd
from .world import Timer

if TYPE_CHECKING:
    from .cluster import SimulatedCluster

PENDING, HELD, RUNNING, SUSPENDED, WAITING, ENDED = (
    "PENDING",
    "HELD",
    "RUNNING",
    "SUSPENDED",
    "REQUEUED",
    "ENDED",
)
LIMIT_MARGIN_SECONDS = 2.0
"""How much longer than its limits and its grace period a start may take."""
_RESTARTABLE = {Reason.JOB_FAILED, Reason.KILLED_BY_SIGNAL, Reason.NODE_FAILED, Reason.PREEMPTED}


class TrueJob:
    """A job from its submission to its end. All times are world time."""

    __slots__ = (
        "_cancel_timer",
        "_fault_timers",
        "_hidden_until",
        "_truth",
        "behaviour",
        "by",
        "cancel_requests",
        "cause",
        "cluster",
        "ended_at",
        "faults",
        "hint",
        "id_at",
        "log_at",
        "native_reason",
        "no_restart",
        "number",
        "ranks",
        "runs",
        "seen_end",
        "shown",
        "spec",
        "started_at",
        "starts",
        "state",
        "stopping",
        "submitted_at",
        "suspended_seconds",
        "token",
        "version",
        "visible_at",
    )

    def __init__(
        self,
        cluster: SimulatedCluster,
        number: int,
        token: str,
        spec: JobSpec,
        behaviour: Behaviour,
        faults: JobFaults,
    ) -> None:
        now = cluster.world.now
        self.cluster = cluster
        self.number = number
        self.token = token
        self.spec = spec
        self.behaviour = behaviour
        self.faults = faults
        self.submitted_at = now
        self.visible_at = now
        """From when on lists and lookups show it."""
        self.id_at = now
        """When the cluster assigns its id."""
        self.started_at: list[float] = []
        """Every start."""
        self.starts = 0
        """In how many starts a command began."""
        self.ended_at: float | None = None
        self.log_at = math.inf
        """When its complete log can be read; infinite before its end."""
        self.cancel_requests: list[tuple[float, str]] = []
        """Times, and ``run`` or ``other``. Requests for an ended job count too."""
        self.state = PENDING
        self.native_reason = "waiting for slots"
        self.hint: Reason | None = None
        """The scheduler's own fact about the end."""
        self.cause = ""
        """A reason that is not an end of the ranks' own, or empty.

        ``unknown``: a sentinel was killed, or reports what is not so.
        """
        self.by = "itself"
        self.stopping = False
        self.no_restart = False
        self.ranks: list[RankRun] = []
        """The ranks of the last start."""
        self.runs: list[list[RankRun]] = []
        """The ranks of every start."""
        self.suspended_seconds = 0.0
        self.version = 0
        """Grows with every change that a poll can show."""
        self.shown: list[Observation] = []
        """The last different answers of polls about it, before its end."""
        self.seen_end = False
        """Whether a poll has shown its end."""
        self._truth: TrueEnd | None = None
        self._cancel_timer: Timer | None = None
        self._hidden_until = 0.0
        self._fault_timers: list[Timer] = []

    @property
    def nodes(self) -> int:
        """How many ranks it has."""
        return self.spec.nodes

    @property
    def restarts(self) -> int:
        """How often the cluster has started it again."""
        return max(0, len(self.started_at) - 1)

    def is_live(self, now: float) -> bool:
        """Whether it held capacity, or might have got some, at ``now``."""
        return self.submitted_at <= now and (self.ended_at is None or now < self.ended_at)

    def end(self) -> TrueEnd | None:
        """How it ended; ``None`` if it has not."""
        return self._truth

    def command_end(self) -> TrueEnd | None:
        """How its ranks ended, if a cancel does not count (an action ``STOP_REST``)."""
        if self._truth is None or not self.cancel_requests:
            return None
        return end_of_start(self, "" if self.cause == Reason.CANCELLED else self.cause)

    def has_dismissed(self) -> bool:
        """Whether the cluster has stopped ranks after a clean main rank."""
        return any(rank.dismissed for rank in self.ranks)

    def partial_ends(self) -> tuple[tuple[str, int | None], ...]:
        """What else may be concluded if the log of a rank cannot be read.

        That is the end of another rank, or what the scheduler reports of a job that never began.
        """
        found = [(own_reason(rank), rank.exit_code) for rank in self.ranks]
        if self.cause == Reason.OUT_OF_MEMORY:
            found.append((self.cause, None))
        has_code = (Reason.JOB_FAILED, Reason.KILLED_BY_SIGNAL)
        ends = [(name, code if name in has_code else None) for name, code in found if name]
        return tuple(dict.fromkeys(ends))

    def own_limit_end(self, now: float) -> float:
        """When its own limits will have ended it at the latest, if it is not suspended again.

        Infinite while it waits for its first start, or is held or suspended.
        """
        if self.ended_at is not None:
            return self.ended_at
        if self.state in (PENDING, HELD, SUSPENDED):
            return math.inf
        spec, traits = self.spec, self.cluster.traits
        one = spec.max_runtime + spec.grace_period + LIMIT_MARGIN_SECONDS + (traits.follow_grace or 0.0)
        left = spec.max_restarts - self.restarts if traits.restarts and not self.no_restart else 0
        more = left * (one + traits.restart_delay)
        if self.state == WAITING:
            return now + traits.restart_delay + more
        paused = max((rank.paused for rank in self.ranks), default=0.0)
        return self.started_at[-1] + paused + one + more

    # What is shown of it

    def is_absent(self, now: float) -> bool:
        """Whether polls do not list it, although it is there."""
        if now < self._hidden_until and self.ended_at is None:
            return True
        return bool(self.faults.absent) and _within(self.faults.absent, now - self.submitted_at)

    def is_unlisted(self, now: float) -> bool:
        """Whether the list of jobs lacks it, too."""
        since = self._hidden_until - self.faults.hides_from_cancel
        in_gap = since <= now < since + self.faults.unlisted_for and self.ended_at is None
        return in_gap or (self.faults.unlisted and self.is_absent(now))

    def is_silent(self, now: float) -> bool:
        """Whether polls leave it out."""
        return bool(self.faults.silent) and _within(self.faults.silent, now - self.submitted_at)

    def is_down(self, now: float) -> bool:
        """Whether polls that ask for it fail."""
        return bool(self.faults.down) and _within(self.faults.down, now - self.submitted_at)

    def unseen_until(self, now: float) -> float:
        """Until when polls do not list it, or fail; ``now`` if they do not now."""
        spans, age = (*self.faults.absent, *self.faults.down), now - self.submitted_at
        ends = [self.submitted_at + end for start, end in spans if start <= age < end]
        return max([now, *ends, *([self._hidden_until] if self.ended_at is None else [])])

    def hides_from_cancel(self, now: float) -> bool:
        """Whether a cancel has no effect now; the first one may begin such a time."""
        if self.faults.hides_from_cancel and not self._hidden_until:
            self._hidden_until = now + self.faults.hides_from_cancel
        return now < self._hidden_until

    # Starts

    def start(self) -> None:
        """Start all ranks, for the first time or again."""
        world, restarts = self.cluster.world, len(self.started_at)
        self.started_at.append(world.now)
        self.state, self.stopping, self.cause, self.by, self.hint = RUNNING, False, "", "itself", None
        self.native_reason = "" if not restarts else f"restarted, {restarts} so far"
        self.ranks = [
            RankRun(
                world,
                self.spec,
                self.token,
                rank,
                restarts,
                self.behaviour.rank(restarts, rank),
                self.behaviour.lines if rank == 0 else [],
                self._rank_over,
            )
            for rank in range(self.spec.nodes)
        ]
        self.runs.append(self.ranks)
        self._fault_timers = plan_mishaps(self)
        self.changed()

    def changed(self) -> None:
        """Note that polls can show something new."""
        self.version += 1
        self.cluster.changed(self)

    # Ends

    def _rank_over(self, rank: RankRun) -> None:
        live = [each for each in self.ranks if each.ended is None]
        self.version += 1
        if not live:
            self._start_over()
            return
        self.cluster.changed(self)
        if self.stopping:
            return
        if rank.failed:
            if self.cluster.traits.stops_rest:
                self.stopping = True
                self._stop_rest()
        elif rank.rank == 0 and self.cluster.traits.follow_grace is not None:
            number, world = len(self.started_at), self.cluster.world
            world.at(world.now + self.cluster.traits.follow_grace, lambda: self._dismiss(number))

    def _stop_rest(self) -> None:
        delay, world, ranks = self.cluster.traits.stop_delay, self.cluster.world, self.ranks

        def stop() -> None:
            _term_all(ranks)

        if delay:
            world.at(world.now + delay, stop)
        else:
            stop()

    def _dismiss(self, number: int) -> None:
        if self.stopping or self.state == ENDED or len(self.started_at) != number:
            return
        if self.state == SUSPENDED:
            self.resume()
        self.stopping = True
        for rank in self.ranks:
            if rank.term():
                rank.dismissed = True

    def term(self) -> bool:
        """Send TERM to all ranks; whether one of them was not stopping yet."""
        return _term_all(self.ranks)

    def _start_over(self) -> None:
        """All ranks have ended: start again, or end."""
        if any(rank.mark_of_begin() for rank in self.ranks):
            self.starts += 1
        for timer in self._fault_timers:
            timer.cancel()
        truth = end_of_start(self, self.cause)
        if self._may_restart(truth):
            traits, world = self.cluster.traits, self.cluster.world
            self.state, self.native_reason = WAITING, "waiting to be started again"
            if traits.restart_delay >= self.spec.queue_timeout:
                self.cluster.fault("slow_restart", self.token)
            world.at(world.now + traits.restart_delay, self._start_again)
            self.cluster.changed(self)
            return
        self.conclude(truth)

    def _may_restart(self, truth: TrueEnd) -> bool:
        traits = self.cluster.traits
        if not traits.restarts or self.no_restart:
            return False
        # A cluster takes a sentinel that was killed for a command that failed.
        if truth.reason not in _RESTARTABLE and self.cause != Reason.UNKNOWN:
            return False
        if truth.reason == Reason.PREEMPTED and not traits.requeues:
            return False
        return self.restarts < self.spec.max_restarts

    def _start_again(self) -> None:
        if self.state == WAITING:
            self.start()

    def conclude(self, truth: TrueEnd) -> None:
        """End it for good."""
        world = self.cluster.world
        self._truth = truth
        self.state, self.ended_at = ENDED, world.now
        if self._cancel_timer is not None:
            self._cancel_timer.cancel()
        self.cluster.ended(self)
        self.changed()

    # Stops

    def cancel(self, by: str) -> None:
        """Cancel it: ``run`` or ``other``."""
        now = self.cluster.world.now
        self.cancel_requests.append((now, by))
        if self.state == ENDED:
            return
        self.no_restart = True
        if self.state in (PENDING, HELD, WAITING):
            self._cancelled(by)
            self.conclude(end_of_start(self, self.cause))
        elif self._cancel_timer is None:
            delay = self.cluster.cancel_delay()
            self._cancel_timer = self.cluster.world.at(now + delay, lambda: self._cancel_now(by))

    def _cancelled(self, by: str) -> None:
        self.cause, self.by, self.hint = str(Reason.CANCELLED), by, Reason.CANCELLED
        self.native_reason = "cancelled on request"
        if by == "other":
            self.cluster.fault("cancelled_by_other", self.token)

    def _cancel_now(self, by: str) -> None:
        if self.state in (PENDING, HELD, WAITING):
            self._cancelled(by)
            self.conclude(end_of_start(self, self.cause))
            return
        if self.state == SUSPENDED:
            self.resume()
        if not self.stopping and self.term():
            self.stopping = True
            self._cancelled(by)
            self.changed()

    def struck(self, reason: Reason, text: str) -> None:
        """Note that the cluster, or a person, ends this start for a reason of its own."""
        self.stopping = True
        self.cause, self.by, self.native_reason = str(reason), "cluster", text
        self.hint = reason

    def suspend(self) -> None:
        """Freeze all ranks."""
        self.state, self.native_reason = SUSPENDED, "suspended"
        for rank in self.ranks:
            rank.suspend()
        self.changed()

    def resume(self) -> None:
        """Continue all ranks, if they are suspended."""
        if self.state != SUSPENDED:
            return
        self.state, self.native_reason = RUNNING, ""
        for rank in self.ranks:
            rank.resume()
        self.changed()


def _within(spans: tuple[tuple[float, float], ...], at: float) -> bool:
    return any(start <= at < end for start, end in spans)


def _term_all(ranks: list[RankRun]) -> bool:
    return any([rank.term() for rank in ranks])
