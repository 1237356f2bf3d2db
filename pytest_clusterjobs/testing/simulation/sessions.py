"""A session on a run in virtual time: run, launch, check and resume, from its start to its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from ...engine import messages as m
from ...engine.attempt import SubmissionState
from ...engine.config import Mode
from ...engine.extensions import NoExtensions
from ...engine.policy import Policy
from ...engine.run import CANCEL_TIMEOUT_SECONDS as LEAVE_TIMEOUT_SECONDS
from ...engine.run import DETACH_TIMEOUT_SECONDS
from ...engine.run import SWEEP_TIMEOUT_SECONDS
from ...engine.screen import screen
from ...engine.state import Limits
from ...ledger.ledger import LedgerError
from ...model import Verdict
from ...model.records import Attempt
from ...model.records import Registration
from ...model.records import Result
from .scene import BACKEND
from .scene import Scene
from .worker import Worker

CANCEL_TIMEOUT_SECONDS = 1.5
SETTLE_TIMEOUT_SECONDS = 30.0

_SUBMITTED = frozenset({SubmissionState.UNANSWERED, SubmissionState.ACCEPTED, SubmissionState.WITHDRAWN})
_BAD = (Verdict.FAILED, Verdict.ERROR)


class SessionStage(Enum):
    """How far a session is."""

    STARTING = "starting"
    WAITING = "waiting"
    """For results, or in ``launch`` for submissions."""
    CLOSING = "closing"
    OVER = "over"


@dataclass(slots=True)
class SessionPlan:
    """What a session is asked to do."""

    mode: Mode = Mode.RUN
    waits: bool = True
    """Whether a check waits for what still runs."""
    on_crash: str = "cancel"
    exit_first: bool = False
    """``-x``: stop at the first cell that has not passed."""
    limits: Limits = Limits()
    extensions: Callable[[], NoExtensions] = NoExtensions


class Session(Worker):
    """A process that owns the run. ``left(jobs)`` is called when it ends by itself: jobs go to the reaper."""

    def __init__(self, scene: Scene, plan: SessionPlan, left: Callable[[Session, int], None]) -> None:
        super().__init__(scene, scene.process("session"))
        self.plan = plan
        self.stage = SessionStage.STARTING
        self.number = 0
        self.uses_backend = False
        self._left = left
        self._expected: list[str] = []
        self._settled_at: float | None = None
        self._closes_at = 0.0
        self._closing_at = 0.0
        self._leaves_at = 0.0
        """Until when a session that leaves its jobs waits for the ends of those it cancels."""
        self._detaches = False
        self._unsure: list[str] = []
        """The cells whose submission had no answer when the session was about to leave."""

    # The start.

    def begin(self) -> bool:
        """Start on the run. Returns False if another process works on it, or the ledger fails."""
        plan, scene = self.plan, self.scene
        try:
            owner = self.ledger.take_over(
                scene.is_free,
                owner={"pid": self.process.number},
                on_crash="keep" if plan.mode.leaves_jobs else plan.on_crash,
                mode=plan.mode,
                ended=None,
                stopped_by=None,
            )
            if owner is not None:
                scene.world.note(self.process.name, f"the run is still at work in process {owner['pid']}")
                return self._refused()
            self.number = scene.last_session = self.ledger.session()
            scene.owned_by(self.process)
        except LedgerError as error:
            scene.world.note(self.process.name, f"cannot start: {error}")
            # If it was counted as a session all the same, the last one and its reaper leave everything to it.
            scene.last_session = self.ledger.durable_session()
            scene.oracle.on_process("reaper_died", scene.world.now)
            scene.oracle.on_process("stopped", scene.world.now, keeps_jobs=True)
            return self._refused()
        submits = plan.mode is not Mode.CHECK
        policy = Policy.session(
            submits=submits,
            follows_up=plan.waits or plan.mode is Mode.RESUME,
            resumes=plan.mode is Mode.RESUME,
        )
        self.open(policy, self.number, limits=plan.limits, extensions=plan.extensions())
        self.ledger.judged = self._judged
        scene.world.note(self.process.name, f"{plan.mode}, session {self.number}")
        if not plan.mode.is_new:
            scene.oracle.on_process("resumed" if submits else "checked", scene.world.now)
        try:
            if plan.mode.is_new:
                self._add()
            else:
                self._continue()
        except LedgerError as error:
            scene.world.note(self.process.name, f"cannot continue: {error}")
            self._stop()
            return True
        self.stage = SessionStage.WAITING
        self.turned()
        return True

    def _refused(self) -> bool:
        self.is_over = True
        self.process.alive = False
        self.scene.working -= 1
        return False

    def is_superseded(self) -> bool:
        """Whether another session has taken over the run."""
        return self.scene.last_session > self.number

    def sends(self, token: str) -> None:
        """A session that is superseded, stopped or detached must not submit, whatever it began before."""
        if self.is_superseded():
            why = "superseded"
        elif self.stage in (SessionStage.CLOSING, SessionStage.OVER):
            why = "detached" if self._detaches else "stopped"
        else:
            return
        now = self.scene.world.now
        self.scene.fail("a", f"{token}: sent at {now:.3f} s, after session {self.number} was {why}")

    def _add(self) -> None:
        entries = [cell.registration for cell in self.scene.cells]
        self._open()
        self.ledger.register(entries)
        self._expected = [entry.key for entry in entries]
        self.driver.post(m.CellsAdded(entries, *self._screened(entries)))

    def _continue(self) -> None:
        attempts: dict[str, list[Attempt]] = {}
        for attempt in self.ledger.attempts():
            attempts.setdefault(attempt.key, []).append(attempt)
        selected = {cell.key for cell in self.scene.cells}
        entries = [entry for _, entry in self.ledger.registrations() if entry.key in selected]
        results = self.ledger.results()
        self._expected = [entry.key for entry in entries]
        live = {key for key, known in attempts.items() if known and known[-1].is_live}
        submits = self.core.state.policy.submits
        new = [entry for entry in entries if submits and entry.key not in live]
        if live or new:
            self._open()
        meta = self.ledger.meta()
        replaced, incomplete = meta.get("replaced", {}), meta.get("incomplete", False)
        self.driver.post(m.Resumed(entries, results, attempts, *self._screened(new), replaced, incomplete))

    def _open(self) -> None:
        self.uses_backend = True
        self.driver.post(self.driver.opened(BACKEND, self.pool(BACKEND)))

    def _screened(self, entries: list[Registration]) -> tuple[dict[str, str], dict[str, str]]:
        if self.core.state.prepares or not entries:
            return {}, {}
        refused, rejected = screen(entries, self.pool.opened, self.plan.limits.max_nodes)
        for key in (*refused, *rejected):
            self.scene.recorder.fact("rejected", key)
        return dict(refused), dict(rejected)

    # Results.

    def _published(self, command: m.Publish) -> None:
        result = command.result
        self.scene.recorder.published(result, self.number)
        self._judged(result)
        self.scene.world.note(
            self.process.name,
            f"verdict {result.key}: {result.judgement.verdict}, {result.outcome.reason}{_why(result)}",
        )
        if self.plan.exit_first and result.judgement.verdict in _BAD and self.stage is SessionStage.WAITING:
            self.process.later(0.0, lambda: self.interrupt("-x"))

    def _judged(self, result: Result) -> None:
        """Note that no further attempt follows."""
        if not self.core.state.policy.follows_up or result.ruling is not None:
            self.scene.oracle.on_no_retry(result.key)

    def turned(self) -> None:
        """Go on with the session, if what it waits for has come."""
        if self.stage is SessionStage.WAITING:
            if self._is_ending():
                self._stop()
            elif self._is_done():
                self._close(detach=self.plan.mode.leaves_jobs)
        elif self.stage is SessionStage.CLOSING and self._is_closed():
            self._finish()

    def _is_ending(self) -> bool:
        extensions = self.driver._extensions
        return (self.driver.failure or self.core.broken or extensions.ending) is not None

    def _is_done(self) -> bool:
        state = self.core.state
        if not self.plan.mode.leaves_jobs or (self.plan.mode is Mode.CHECK and self.plan.waits):
            return not any(key in state.expected and key not in state.results for key in self._expected)
        return self._is_settled()

    def _is_settled(self) -> bool:
        """Whether all is submitted, and was polled once or had the time for it."""
        jobs = list(self.core.state.attempts.values())
        if not self.driver.is_idle or any(job.submission not in _SUBMITTED for job in jobs):
            self._settled_at = None
            return False
        now = self.scene.world.now
        if self._settled_at is None:
            self._settled_at = now
            self.process.later(SETTLE_TIMEOUT_SECONDS, self.turned)
        polled = not any(self.core.is_undecided(job) for job in jobs)
        return polled or now - self._settled_at >= SETTLE_TIMEOUT_SECONDS

    # The end.

    def interrupt(self, why: str, key: str | None = None) -> None:
        """Ctrl-C, SIGTERM or ``-x``: stop, and cancel what runs unless the mode leaves jobs."""
        if self.stage is SessionStage.WAITING:
            self.scene.world.note(self.process.name, f"interrupted: {why}")
            leaves = self.plan.mode.leaves_jobs
            if not self.is_superseded():
                self.scene.oracle.on_process("stopped", self.scene.world.now, keeps_jobs=leaves)
            self._close(detach=leaves)
        elif self.stage is SessionStage.CLOSING:
            self.scene.world.note(self.process.name, f"interrupted again: {why}")
            self._finish()

    def _stop(self) -> None:
        """The session ends with an error."""
        if self.is_superseded():
            self.scene.world.note(self.process.name, f"superseded; {self.core.broken}")
            self.scene.oracle.on_process("superseded", self.scene.world.now)
            self._close(detach=self.plan.mode.leaves_jobs)
            return
        if isinstance(self.core.broken, LedgerError) and self.core.state.policy.submits:
            self._without_verdicts()
        leaves = self.plan.mode.leaves_jobs
        self.scene.oracle.on_process("stopped", self.scene.world.now, keeps_jobs=leaves)
        self._close(detach=leaves)

    def _without_verdicts(self) -> None:
        """A session that has noticed that the ledger is lost says so of every cell."""
        published = self.scene.oracle.published()
        for key in self._expected:
            if key not in published:
                self.scene.fail("c", f"{key}: no verdict, although the session knows that the ledger is lost")

    def _close(self, *, detach: bool) -> None:
        for key in self._expected:
            if key not in self.core.state.results:
                # What is judged from now on gets no further attempt.
                self.scene.oracle.on_no_retry(key)
        self.stage, self._detaches = SessionStage.CLOSING, detach
        self._unsure = [
            job.key
            for job in self.core.state.attempts.values()
            if job.submission is not SubmissionState.ACCEPTED
        ]
        self.driver.halted = True
        timeout = DETACH_TIMEOUT_SECONDS if detach else CANCEL_TIMEOUT_SECONDS
        self._closes_at = self.scene.world.now + timeout
        self._closing_at = self.scene.world.now
        self._leaves_at = self._closing_at + LEAVE_TIMEOUT_SECONDS
        if detach:
            self.process.later(LEAVE_TIMEOUT_SECONDS, self.turned)
        self.process.later(timeout, self.turned)
        self.process.later(timeout + SWEEP_TIMEOUT_SECONDS, self.turned)
        self.driver.post(m.Detach() if detach else m.Stop())

    def _is_closed(self) -> bool:
        state, core = self.core.state, self.core
        if self.driver.failure is not None:
            return True
        if self.scene.world.now >= self._closes_at:
            sweeps = core.is_sweeping and not core.unfinished
            return not sweeps or self.scene.world.now >= self._closes_at + SWEEP_TIMEOUT_SECONDS
        if not (self.driver.is_idle and (state.outbox.is_empty or core.broken is not None)):
            return False
        if self._detaches:
            if any(job.submission is SubmissionState.SENT for job in state.attempts.values()):
                return False
            return self.scene.world.now >= self._leaves_at or not core.is_cancelling
        return not core.unfinished and not core.is_sweeping

    def _finish(self) -> None:
        if self.stage is SessionStage.OVER:
            return
        self.stage = SessionStage.OVER
        scene = self.scene
        left = 0 if self._detaches else len(self.core.unfinished)
        accepted = {
            job.key for job in self.core.state.attempts.values() if job.submission is SubmissionState.ACCEPTED
        }
        for key in self._unsure if self._detaches else ():
            if key not in accepted:
                # A check does not submit it; only a resume does.
                scene.recorder.fact("lost_submission", key)
        if self._detaches and self.core.is_cancelling:
            self.gives_up()
        if self._has_swept():
            listed_at = 0.0 if self.backend is None else self.backend.listed_at
            scene.oracle.on_swept(self._closing_at - scene.cluster.traits.find_settle, listed_at)
        is_recorded = self.core.is_recorded
        self.close()
        try:
            self.ledger.end_session(
                self.number, is_recorded=is_recorded, ended=scene.world.time(), left_to_reaper=left
            )
        except LedgerError as error:
            scene.world.note(self.process.name, f"the end is not recorded: {error}")
        kind = "detached" if self._detaches else "finished"
        if not self.is_superseded():
            scene.oracle.on_process(kind, scene.world.now, keeps_jobs=self._detaches)
        self._left(self, left)
        self.process.die(f"{kind}, {left} jobs are left to the reaper")

    def _has_swept(self) -> bool:
        """Whether it has read the lists of all clusters at its end."""
        state = self.core.state
        wanted = state.policy.resumes and not self._detaches and self.core.broken is None
        return wanted and not any(
            each.is_busy or each.is_listing or each.error or each.listed is None
            for each in state.clusters.values()
        )


def _why(result: Result) -> str:
    """What a verdict is based on, for the timeline."""
    misses = [f"{miss.field}: {miss.seen}" for miss in result.judgement.misses]
    texts = [text for text in (result.outcome.detail, *misses) if text]
    return f" ({'; '.join(texts)})" if texts else ""
