"""A process in virtual time: it may be stopped for a while, and it may die at any moment."""

from __future__ import annotations

from collections.abc import Callable

from .world import World


class Process:
    """What a process does later is dropped once it has died, and waits while it is stopped.

    ``step`` is called before everything that it does, so that its death can be planned for any of them.
    """

    __slots__ = ("_waiting", "alive", "at_death", "name", "number", "step", "stopped", "stopped_at", "world")

    def __init__(self, world: World, name: str, number: int) -> None:
        self.world = world
        self.name = name
        self.number = number
        """Stands for its pid."""
        self.alive = True
        self.stopped = False
        self.stopped_at = 0.0
        self.at_death: list[Callable[[], None]] = []
        """Called once when it dies."""
        self.step: Callable[[], None] | None = None
        self._waiting: list[Callable[[], None]] = []

    def later(self, seconds: float, callback: Callable[[], None]) -> None:
        """Do something after a delay."""
        self.world.at(self.world.now + seconds, lambda: self.do(callback))

    def do(self, callback: Callable[[], None]) -> None:
        """Do something now, or when the process continues."""
        if self.alive and self.step is not None and not self.stopped:
            self.step()
        if self.stopped:
            self._waiting.append(callback)
        elif self.alive:
            callback()

    def stop(self) -> None:
        """SIGSTOP: everything waits."""
        if self.alive and not self.stopped:
            self.world.note(self.name, "stopped by SIGSTOP")
            self.stopped, self.stopped_at = True, self.world.now

    def resume(self) -> None:
        """SIGCONT: everything that has waited happens now, in its order."""
        if not self.stopped:
            return
        self.stopped = False
        if self.alive:
            self.world.note(self.name, "continued by SIGCONT")
        waiting, self._waiting = self._waiting, []
        for callback in waiting:
            self.do(callback)

    def die(self, why: str) -> None:
        """End it at once. What is on its way to a cluster or to the disk may still arrive."""
        if not self.alive:
            return
        self.world.note(self.name, why)
        self.alive = False
        self.stopped = False
        self._waiting.clear()
        for callback in list(self.at_death):
            callback()
