"""The simulated cluster: its jobs, its slots and the ground truth."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ...model import JobSpec
from .behaviour import Behaviour
from .faults import ClusterFaults
from .jobs import HELD
from .jobs import PENDING
from .jobs import TrueJob
from .rng import Rng
from .traits import Traits
from .world import World


class SimulatedCluster:
    """A cluster in virtual time. Backends act on it at the world's present time.

    ``behaviours`` gives what the command of a token's job does. Without ``faults`` nothing goes wrong.
    """

    def __init__(
        self,
        world: World,
        rng: Rng,
        traits: Traits,
        behaviours: Callable[[str], Behaviour],
        faults: ClusterFaults | None = None,
    ) -> None:
        self.world = world
        self.traits = traits
        self.jobs: list[TrueJob] = []
        """In the order of their submission. Several may have the same token."""
        self.by_token: dict[str, list[TrueJob]] = {}
        self.faults: dict[str, int] = {}
        """How often each kind of fault has happened."""
        self.violations: list[str] = []
        """What processes did that the protocol forbids."""
        self.epoch = world.epoch + traits.clock_skew
        """Converts world time to the cluster's wall clock, which is never stepped."""
        self.listeners: list[Callable[[str], None]] = []
        """Called with the token of a job that has changed."""
        self._rng = rng
        self._cancels = rng.split("cancels")
        self._behaviours = behaviours
        self._planned = faults or ClusterFaults(rng.split("no faults"), 0.0)
        self._queue: deque[TrueJob] = deque()
        self._free = traits.slots

    def submit(self, spec: JobSpec, token: str) -> TrueJob:
        """Accept a job. A second submission of a token is a second job, unless tokens are unique."""
        known = self.by_token.setdefault(token, [])
        if known and self.traits.unique_tokens:
            return known[0]
        traits, world, number = self.traits, self.world, len(self.jobs) + 1
        rng = self._rng.split(f"job {number}")
        planned = self._planned.plan(rng.split("faults"), spec)
        job = TrueJob(self, number, token, spec, self._behaviours(token), planned)
        job.visible_at = world.now + (
            rng.uniform(0.0, traits.find_settle * 0.99) if traits.find_settle else 0
        )
        job.id_at = world.now + (rng.uniform(0.0, traits.late_ids) if traits.late_ids else 0.0)
        known.append(job)
        self.jobs.append(job)
        self._accept(job, rng)
        return job

    def is_full(self, token: str) -> bool:
        """Whether it takes no further job now. It takes a token that it knows."""
        most = self.traits.max_submitted
        return most is not None and token not in self.by_token and len(self.live()) >= most

    def job(self, token: str) -> TrueJob:
        """The last job of a token. Raises KeyError."""
        return self.by_token[token][-1]

    def live(self) -> list[TrueJob]:
        """The jobs that have not ended."""
        return [job for job in self.jobs if job.ended_at is None]

    def fault(self, kind: str, text: str) -> None:
        """Count a fault that has happened."""
        self.faults[kind] = self.faults.get(kind, 0) + 1
        self.world.note("fault", f"{kind} {text}")

    def cancel_delay(self) -> float:
        """How long the next cancel takes to reach the ranks."""
        longest = self.traits.cancel_delay
        return self._cancels.uniform(0.0, longest) if longest else 0.0

    def changed(self, job: TrueJob) -> None:
        """Tell the listeners that a job has changed."""
        for listener in self.listeners:
            listener(job.token)

    def ended(self, job: TrueJob) -> None:
        """A job has ended: give its slots to others, and deliver its log."""
        now, truth = self.world.now, job.end()
        assert truth is not None
        self.world.note("end", f"{job.token} #{job.number} {truth.reason} {truth.exit_code} by {truth.by}")
        settle = self.traits.log_settle
        rng = self._rng.split(f"log {job.number}")
        job.log_at = now + (rng.uniform(0.0, settle * 0.9) if settle else 0.0)
        if job.faults.log and job.started_at:
            self.fault(job.faults.log, job.token)
            if job.faults.log in ("late_log", "half_log"):
                job.log_at = now + settle + job.faults.log_delay
        if job.started_at:
            self._free += job.nodes
        self.world.at(now, self._fill)

    def is_forgotten(self, job: TrueJob) -> bool:
        """Whether the cluster no longer lists the job."""
        return job.ended_at is not None and self.world.now > job.ended_at + self.traits.memory

    def _accept(self, job: TrueJob, rng: Rng) -> None:
        world, faults, traits = self.world, job.faults, self.traits
        world.note("job", f"{job.token} #{job.number} submitted, {job.nodes} nodes")
        if faults.cancelled_by_other is not None:
            world.at(world.now + faults.cancelled_by_other, lambda: _cancel_by_other(job))
        if faults.held is not None:
            job.state, job.native_reason = HELD, "held by an administrator"
            self.fault("held", job.token)
            if faults.held < 1e9:
                world.at(world.now + faults.held, lambda: self._release(job))
            return
        delay = rng.uniform(0.0, traits.start_delay) if traits.start_delay else 0.0
        world.at(world.now + delay, lambda: self._enqueue(job))

    def _release(self, job: TrueJob) -> None:
        if job.state == HELD:
            job.state, job.native_reason = PENDING, "waiting for slots"
            job.changed()
            self._enqueue(job)

    def _enqueue(self, job: TrueJob) -> None:
        if job.state == PENDING:
            self._queue.append(job)
            self._fill()

    def _fill(self) -> None:
        while self._queue:
            job = self._queue[0]
            if job.state != PENDING:
                self._queue.popleft()
                continue
            if job.nodes > self._free:
                return
            self._queue.popleft()
            self._free -= job.nodes
            job.start()


def _cancel_by_other(job: TrueJob) -> None:
    if job.ended_at is None:
        job.cancel("other")
