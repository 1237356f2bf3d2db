"""What a session and a canceller have in common: a process with a core, its driver and a backend."""

from __future__ import annotations

import traceback

from ...backends.pool import BackendPool
from ...engine import messages as m
from ...engine.core import Core
from ...engine.extensions import Extensions
from ...engine.extensions import NoExtensions
from ...engine.policy import Policy
from ...engine.state import Limits
from .clock import WorldClock
from .disk import SimulatedLedger
from .driver import SimulatedDriver
from .executor import SimulatedExecutor
from .facts import UNANSWERED
from .process import Process
from .recorded_backend import open_recorded
from .recorded_backend import RecordedBackend
from .scene import BACKEND
from .scene import no_secrets
from .scene import RUN_ID
from .scene import Scene
from .seen_ends import SeenEnds

LONG_COMMIT_SECONDS = 400.0
"""A few calls of this length in a row, and a commit without an answer counts as failed for good."""
EXCUSE_SECONDS = 120.0
"""Faults of this time before a process gives up explain why."""
LONG_CALL_SECONDS = 30.0
"""A call to the ledger that takes longer may be why a process gives up."""
LONG_HOOK_SECONDS = 600.0
"""A few calls of this length in a row, and a hook without an answer makes an error of its cell."""


class Worker:
    """A process that runs a core."""

    def __init__(self, scene: Scene, process: Process) -> None:
        self.scene = scene
        self.process = process
        self.ledger = SimulatedLedger(scene.disk)
        self.rng = scene.rng.split(process.name)
        self.core: Core
        self.driver: SimulatedDriver
        self.backend: RecordedBackend | None = None
        self.is_over = False

    def open(
        self,
        policy: Policy,
        session: int | None,
        *,
        limits: Limits | None = None,
        extensions: Extensions | None = None,
    ) -> None:
        """Make the core and its driver."""
        scene, process = self.scene, self.process
        extensions = extensions or NoExtensions()
        self.core = Core(
            policy,
            RUN_ID,
            no_secrets(),
            limits or Limits(),
            has_hooks=extensions.is_asked,
            prepares=extensions.changes_specs,
        )
        SeenEnds(self.core, self._has_no_record).watch()
        scene.trace.watch(self.core, process)
        executor = SimulatedExecutor(process, self.rng.split("executor"), scene.delays)
        executor.slow = self._slow
        self.pool = BackendPool(self._open_backend)
        self.driver = SimulatedDriver(
            process,
            self.core,
            self.ledger,
            self.pool,
            executor,
            WorldClock(scene.world, self.rng.uniform(0.0, 1e6)),
            extensions,
            session,
            self._published,
        )
        self.driver.turned = self._turned
        self.driver.sends = self.sends
        self.driver.submissions = lambda count: scene.oracle.on_submissions(
            process.number, scene.world.now, count
        )
        scene.drivers[process.name] = self.driver
        process.at_death.append(self.over)

    def _open_backend(self, name: str) -> RecordedBackend:
        scene = self.scene
        self.backend = open_recorded(
            scene.cluster,
            scene.network,
            self.driver,
            self.process.number,
            self.is_superseded,
            scene.delays(f"cluster {name}").typical,
            self._has_ordinary_delays,
        )
        return self.backend

    def _has_ordinary_delays(self) -> bool:
        delays = [self.scene.delays(lane) for lane in (f"cluster {BACKEND}", "ledger")]
        return self.process.stopped_at == 0.0 and not any(each.hang_chance for each in delays)

    def is_superseded(self) -> bool:
        """Whether another session has taken over the run."""
        return False

    def sends(self, token: str) -> None:
        """A submission was checked, and is on its way."""

    def _slow(self, lane: str, begin: float, seconds: float) -> None:
        self.scene.world.note(self.process.name, f"a call takes {seconds:.1f} s: {lane}")
        recorder = self.scene.recorder
        if lane == "ledger":
            # A cancel never waits for a commit.
            recorder.fact("slow_commit", at=begin, until=begin + seconds)
            if seconds >= LONG_COMMIT_SECONDS:
                recorder.fact("commit_failed")
        elif lane == "hooks":
            recorder.fact("hook_slow", at=begin, until=begin + seconds)
            if seconds >= LONG_HOOK_SECONDS:
                recorder.fact("hook_failed")
        else:
            recorder.fact("slow_answer", at=begin, until=begin + seconds)

    def _has_no_record(self, token: str) -> None:
        text = f"{token}: its end was seen by {self.process.name}, and is not in the next transaction"
        self.scene.fail("f", text)

    def _published(self, command: m.Publish) -> None:
        """A verdict was handed out."""

    def _turned(self) -> None:
        driver = self.driver
        if driver.spinning:
            driver.spinning = False
            self.scene.fail("g", f"{self.process.name}: a busy loop at {self.scene.world.now:.3f} s")
        self.turned()

    def turned(self) -> None:
        """Something may have changed."""

    def close(self) -> None:
        """Begin no more work, and end the process. It tells users which jobs it has cancelled as strays."""
        scene = self.scene
        for token in self.core.adoption.strays:
            # Of two jobs of one attempt the extra one has a name of its own.
            job = self.core.state.attempts.get(token)
            same = scene.cluster.by_token.get(token, [])
            numbers = [str(each.number) for each in same]
            if job is not None and job.handle is not None and job.handle.job_id is not None:
                numbers = [job.handle.job_id]
            for number in numbers:
                scene.oracle.on_extra_reported(number)
        self.driver.close()

    def gives_up(self) -> None:
        """End although jobs that are being cancelled live on.

        It is not to blame if the cluster, or the disk, did not answer, or ignored it.
        """
        now = self.scene.world.now
        recent = [fact for fact in self.scene.oracle.facts if fact.until >= now - EXCUSE_SECONDS]
        hangs = any(fact.kind == "slow_commit" and fact.seconds >= LONG_CALL_SECONDS for fact in recent)
        if hangs or any(fact.kind in UNANSWERED for fact in recent):
            self.scene.oracle.on_process("reaper_died", now)

    def over(self) -> None:
        """The process has ended."""
        if self.is_over:
            return
        self.is_over = True
        scene = self.scene
        scene.working -= 1
        scene.drivers.pop(self.process.name, None)
        if self.backend is not None:
            self.backend.closed = True
        error = self.driver.failure
        if error is not None:
            text = "".join(traceback.format_exception(error)[-3:]).strip()
            scene.fail("i", f"{self.process.name}: {text}")
