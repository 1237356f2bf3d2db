"""Starts the processes of a history, and lets happen to them what was drawn."""

from __future__ import annotations

from .plans import Drawn
from .scene import Scene
from .sessions import Session
from .cancellers import Reaper


class Director:
    """Starts the first session, its reaper, and what follows."""

    def __init__(self, scene: Scene, drawn: Drawn) -> None:
        self.scene = scene
        self.drawn = drawn
        self.session: Session | None = None

    def begin(self) -> None:
        """Start the first session."""
        self._start(self.drawn.session)

    def _start(self, plan) -> None:
        self.scene.working += 1
        self.session = Session(self.scene, plan, self._left)
        self.session.begin()

    def _left(self, session: Session, jobs: int) -> None:
        """A session has ended by itself."""
        if jobs:
            self._reap(session, died=False)

    def _reap(self, session: Session, *, died: bool) -> None:
        scene = self.scene
        scene.working += 1
        reaper = Reaper(
            scene, session.number, died=died, on_crash=session.plan.on_crash, uses_backend=session.uses_backend
        )
        scene.world.at(scene.world.now, lambda: reaper.process.do(reaper.begin))

    def end(self) -> None:
        """Nothing more happens."""
