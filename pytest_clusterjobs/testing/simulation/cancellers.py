"""The processes that end jobs, in virtual time: the reaper of a session, and ``clusterjobs kill``."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Collection
from contextlib import suppress
from enum import Enum

from ...engine import messages as m
from ...engine.kill import LAST_COMMIT_SECONDS
from ...engine.kill import SUBMITTER_CHECK_SECONDS
from ...engine.policy import Policy
from ...engine.reap import CANCEL_REASON
from ...engine.reap import CONFIRMATION_TIMEOUT_SECONDS
from ...ledger.ledger import LedgerError
from ...ledger.ledger import Superseded
from .disk import empty_ledger
from .scene import BACKEND
from .scene import Scene
from .worker import Worker

KILL_REASON = "clusterjobs kill"
KILL_TIMEOUT_SECONDS = 120.0


class CancellerStage(Enum):
    """How far a canceller is."""

    CANCELLING = "cancelling"
    WRITING = "writing"
    """Waiting for its last commit, before and after the verdicts on cancelled jobs."""
    SETTLING = "settling"


class CancellerProcess(Worker):
    """Cancels jobs, and waits for their ends, as ``engine.kill.CancellerProcess`` does with threads."""

    def __init__(self, scene: Scene, name: str) -> None:
        super().__init__(scene, scene.process(name))
        self.stage = CancellerStage.CANCELLING
        self._until = 0.0
        self._written_by = 0.0
        self._submits = True
        self._wait_for_more: Callable[[], bool] = lambda: False
        self._settles: Callable[[], bool] = lambda: False
        self._unreadable: Callable[[str], bool] = lambda error: False

    def cancel(
        self,
        why: str,
        keys: Collection[str] | None,
        session: int | None,
        timeout: float,
        *,
        uses_backend: bool = True,
    ) -> None:
        """Begin."""
        self.open(Policy.canceller(why, keys), session)
        self.core.adoption.begin([BACKEND] if uses_backend else [])
        self._until = self.scene.world.now + timeout
        self.process.later(timeout, self.turned)
        self.driver.tick()
        self._check_submitter()

    def _end(self) -> None:
        """End without having begun."""
        self.is_over = True
        self.process.alive = False
        self.scene.working -= 1

    def _check_submitter(self) -> None:
        """Look from time to time whether a session still submits."""
        if self.stage is not CancellerStage.CANCELLING or not self._submits:
            return
        if self._wait_for_more():
            self.process.later(SUBMITTER_CHECK_SECONDS, self._check_submitter)
            return
        self._submits = False
        self.driver.post(m.SubmitterGone())

    def turned(self) -> None:
        """Go on, if what it waits for has come."""
        if self.is_over:
            return
        core, now = self.core, self.scene.world.now
        if self.stage is CancellerStage.CANCELLING:
            adoption = core.adoption
            done = adoption.is_done()
            gone = isinstance(core.broken, Superseded) or self.driver.failure is not None
            unread = bool(adoption.unwritten) and not adoption.is_read
            if done or gone or unread or now >= self._until:
                self.scene.world.note(self.process.name, "all ended" if done else "gives up")
                if not done:
                    self.gives_up()
                self._write(CancellerStage.WRITING)
        elif core.state.outbox.is_empty or core.broken is not None or now >= self._written_by:
            self._written()

    def _write(self, stage: CancellerStage) -> None:
        self.stage = stage
        self._written_by = self.scene.world.now + LAST_COMMIT_SECONDS
        self.process.later(LAST_COMMIT_SECONDS, self.turned)
        if stage is CancellerStage.WRITING:
            self.process.later(0.0, self.turned)

    def _written(self) -> None:
        core = self.core
        if self.stage is CancellerStage.WRITING and core.broken is None and self._settles():
            self._write(CancellerStage.SETTLING)
            self.driver.post(m.Settle())
            return
        self.close()
        unread = core.adoption.unwritten if not core.adoption.is_read else ""
        if unread and not isinstance(core.broken, Superseded) and self._unreadable(unread):
            return
        self.process.die("ends")


class ReaperProcess(CancellerProcess):
    """Ends the jobs of a session that has died, or that has left some behind."""

    def __init__(self, scene: Scene, session: int, *, died: bool, on_crash: str, uses_backend: bool) -> None:
        super().__init__(scene, "reaper")
        self._session = session
        self._died = died
        self._keeps = died and on_crash == "keep"
        self._uses_backend = uses_backend

    def begin(self) -> None:
        """Start, once the session is gone."""
        try:
            if self.ledger.meta().get("session", 0) < self._session:
                raise LedgerError("truncated")
            if self._died:
                with suppress(LedgerError):
                    self.ledger.set_meta(owner_died=self.scene.world.time())
            if self._keeps:
                self._end()
                return
            self._unreadable = self._without_ledger
            self.cancel(
                CANCEL_REASON,
                None,
                self._session,
                CONFIRMATION_TIMEOUT_SECONDS,
                uses_backend=self._uses_backend,
            )
        except LedgerError as error:
            if self._keeps or not self._without_ledger(str(error)):
                self._end()

    def _without_ledger(self, error: str) -> bool:
        """Only the clusters' lists are left to find the jobs."""
        if not self._uses_backend:
            return False
        self.scene.world.note(self.process.name, f"works without the ledger: {error}")
        self.ledger = empty_ledger(self.scene.world)
        self._unreadable = lambda error: False
        self.stage, self._submits = CancellerStage.CANCELLING, True
        until = self.scene.world.now + self.scene.cluster.traits.find_settle
        self._wait_for_more = lambda: self.scene.world.now < until
        self.process.at_death.clear()
        self.cancel(CANCEL_REASON, None, None, CONFIRMATION_TIMEOUT_SECONDS)
        return True


class Killer(CancellerProcess):
    """``clusterjobs kill``: cancels all jobs of the run and ends its session, or those of some cells."""

    def __init__(self, scene: Scene, keys: Collection[str] | None, interrupt: Callable[[], bool]) -> None:
        super().__init__(scene, "kill")
        self._keys = keys
        self.process.at_death.append(self._ended)
        self._interrupt = interrupt

    def begin(self) -> None:
        """Start."""
        scene, world = self.scene, self.scene.world
        try:
            meta = self.ledger.meta()
        except LedgerError as error:
            world.note(self.process.name, f"cannot start: {error}")
            self._end()
            return
        for key in self._keys or (None,):
            scene.oracle.on_process("killed", world.now, key=key)
        owner = meta.get("owner")
        lives = owner is not None and not scene.is_free(owner)
        if self._keys is None and lives and self._interrupt():
            with suppress(LedgerError):
                self.ledger.set_meta(stopped_by=KILL_REASON)
            self._wait_for_more = self._owner_lives
        self._settles = lambda: not self._owner_lives()
        self.cancel(KILL_REASON, self._keys, meta.get("session", 0), KILL_TIMEOUT_SECONDS)

    def _ended(self) -> None:
        """A session that has begun meanwhile may have lost jobs to it."""
        for key in self._keys or (None,):
            self.scene.oracle.on_process("killed", self.scene.world.now, key=key, keeps_jobs=True)

    def _owner_lives(self) -> bool:
        try:
            return not self.scene.is_free(self.ledger.meta().get("owner"))
        except LedgerError:
            return False
