"""Starts the processes of a history, and lets happen to them what was drawn."""

from __future__ import annotations

from dataclasses import replace

from ...engine import messages as m
from ...engine.config import Mode
from ...engine.liveness import STALE_AFTER_SECONDS
from .cancellers import Killer
from .cancellers import ReaperProcess
from .plans import Action
from .plans import Drawn
from .plans import Visit
from .scene import Scene
from .sessions import Session
from .sessions import SessionPlan

_MODES = {"resume": Mode.RESUME, "check": Mode.CHECK, "look": Mode.CHECK}


class Director:
    """Starts the first session, its reaper, and what follows; carries out the drawn actions."""

    def __init__(self, scene: Scene, drawn: Drawn) -> None:
        self.scene = scene
        self.drawn = drawn
        self.sessions: list[Session] = []
        self._visits = list(drawn.visits)
        self._steps = 0
        self._by_step = sorted((each for each in drawn.actions if each.step), key=lambda each: each.step)
        self._reaper_dies = [each for each in drawn.actions if each.kind == "reaper_died"]

    @property
    def session(self) -> Session | None:
        """The last session that is at work."""
        return next((each for each in reversed(self.sessions) if not each.is_over), None)

    def begin(self) -> None:
        """Start the first session, and set the timers of the actions."""
        for action in self.drawn.actions:
            if not action.step and action.kind != "reaper_died":
                self.scene.world.at(action.at, lambda action=action: self._act(action))  # type: ignore[misc]
        self.scene.working += 1
        self._start(self.drawn.session)

    # Sessions.

    def _start(self, plan: SessionPlan) -> None:
        """Start a session, which is counted as working already."""
        session = Session(self.scene, plan, self._left)
        session.process.step = lambda: self._step(session)
        self.sessions.append(session)
        session.begin()
        if session.is_over:
            self._next()
        else:
            # After what the session itself does at its end.
            session.process.at_death.append(self._next)

    def _step(self, session: Session) -> None:
        self._steps += 1
        while self._by_step and self._by_step[0].step <= self._steps and session.process.alive:
            self._act(self._by_step.pop(0))

    def _left(self, session: Session, jobs: int) -> None:
        """A session has ended by itself."""
        if jobs:
            self._reap(session, died=False)

    def _reap(self, session: Session, *, died: bool) -> None:
        scene = self.scene
        scene.working += 1
        keeps = session.plan.mode.leaves_jobs or session.plan.on_crash == "keep"
        reaper = ReaperProcess(
            scene,
            session.number,
            died=died,
            on_crash="keep" if keeps else "cancel",
            uses_backend=session.uses_backend,
        )
        if self._reaper_dies:
            action = self._reaper_dies.pop()
            scene.world.at(scene.world.now + action.seconds, lambda: self._reaper_died(reaper))
        scene.world.at(scene.world.now, lambda: reaper.process.do(reaper.begin))

    def _reaper_died(self, reaper: ReaperProcess) -> None:
        if reaper.process.alive and not reaper.is_over:
            self.scene.oracle.on_process("reaper_died", self.scene.world.now)
            reaper.process.die("killed by SIGKILL")

    # Visits.

    def _next(self) -> None:
        """Plan the next visit, if there is one."""
        scene = self.scene
        if self._visits and self.session is None:
            visit = self._visits.pop(0)
            scene.working += 1
            scene.world.at(scene.world.now + visit.delay, lambda: self._visit(visit))

    def _visit(self, visit: Visit) -> None:
        if self.session is not None:
            # A rival has come before.
            self.scene.working -= 1
            return
        if visit.kind == "kill":
            self._kill(None)
            self._next()
            return
        self._start(self._later_plan(visit.kind))

    def _later_plan(self, kind: str) -> SessionPlan:
        return replace(self.drawn.session, mode=_MODES[kind], waits=kind != "look", exit_first=False)

    # Actions.

    def _act(self, action: Action) -> None:
        session, scene = self.session, self.scene
        if session is None or not scene.working:
            return
        now = scene.world.now
        match action.kind:
            case "died":
                self._die(session)
            case "host_lost":
                scene.oracle.on_process("host_lost", now)
                session.process.die("its host is lost")
            case "stopped":
                self._freeze(session, action)
            case "interrupted":
                session.process.do(lambda: session.interrupt("Ctrl-C"))
                if action.seconds:
                    scene.world.at(
                        now + action.seconds, lambda: session.process.do(lambda: session.interrupt("Ctrl-C"))
                    )
            case "cancel_cells":
                self._cancel_cells(session, action)
            case "kill":
                scene.working += 1
                self._kill(None)
            case "kill_cells":
                scene.working += 1
                self._kill(
                    [scene.cells[each].key for each in action.cells if each < len(scene.cells)] or None
                )
            case "clock":
                scene.world.note("world", f"the wall clock jumps by {action.seconds:.1f} s")
                scene.world.epoch += action.seconds
                scene.recorder.fact("clock_jump")
            case "rival":
                scene.working += 1
                self._start(self._later_plan("resume"))

    def _die(self, session: Session) -> None:
        keeps = session.plan.mode.leaves_jobs or session.plan.on_crash == "keep"
        if not session.is_superseded():
            self.scene.oracle.on_process("died", self.scene.world.now, keeps_jobs=keeps)
        session.process.die("killed by SIGKILL")
        self._reap(session, died=True)

    def _freeze(self, session: Session, action: Action) -> None:
        world = self.scene.world
        session.process.stop()
        self.scene.recorder.fact("paused", at=world.now, until=world.now + action.seconds)
        world.at(world.now + action.seconds, session.process.resume)
        after = STALE_AFTER_SECONDS + 1.0
        if action.cells and action.seconds > after:
            # Another host cannot see that the process still runs.
            self.scene.working += 1
            world.at(world.now + after, lambda: self._take_over(session))

    def _take_over(self, session: Session) -> None:
        if session.process.stopped:
            self._start(self._later_plan("resume"))
        else:
            self.scene.working -= 1

    def _cancel_cells(self, session: Session, action: Action) -> None:
        scene = self.scene
        keys = [scene.cells[each].key for each in action.cells if each < len(scene.cells)]

        def cancel() -> None:
            # What reaches a session that is superseded changes no verdict that is waited for.
            for key in () if session.is_superseded() else keys:
                scene.oracle.on_process("cancelled", scene.world.now, key=key)
            session.driver.post(m.CancelCells(tuple(keys), "a request"))

        session.process.do(cancel)

    def _kill(self, keys: list[str] | None) -> None:
        session = self.session

        def interrupt() -> bool:
            if session is None or not session.process.alive:
                return False
            session.process.do(lambda: session.interrupt("SIGTERM"))
            return True

        killer = Killer(self.scene, keys, interrupt)
        killer.process.do(killer.begin)

    def end(self) -> None:
        """The history is over."""
        oracle = self.scene.oracle
        if not oracle.has_finished:
            oracle.on_process("finished", self.scene.world.now, keeps_jobs=True)
