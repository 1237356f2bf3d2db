"""Runs a driver's work in virtual time: calls take time, hang, and overtake each other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from .process import Process
from .rng import Rng

Work = Callable[[], None]


@dataclass(slots=True)
class Delays:
    """How long calls take. Durations are seconds."""

    typical: float = 0.01
    """The longest of ordinary delays, before the effect and after it."""
    hang_chance: float = 0.0
    """How often a call hangs."""
    hang_seconds: float = 0.0
    """The longest time for which it then hangs."""

    def draw(self, rng: Rng) -> float:
        """One delay."""
        if self.hang_chance and rng.chance(self.hang_chance):
            return rng.uniform(0.0, self.hang_seconds)
        return self.typical * rng.bits(16) / 65536.0


class Lane:
    """Work of one name: begun in its order, on a number of threads."""

    __slots__ = ("busy", "name", "threads", "waiting")

    def __init__(self, name: str) -> None:
        self.name = name
        self.threads = 1
        self.busy = 0
        self.waiting: deque[Callable[[], None]] = deque()


class SimulatedExecutor:
    """The executor of one process.

    Each piece of work has its effect at one instant; ``capture`` runs it and returns what it has posted,
    which is delivered later.
    """

    __slots__ = (
        "_closed",
        "_delays",
        "_lanes",
        "_on_the_way",
        "_order",
        "_process",
        "_rng",
        "capture",
        "deliver",
        "slow",
    )

    def __init__(self, process: Process, rng: Rng, delays: Callable[[str], Delays]) -> None:
        self.capture: Callable[[Work], list[object]]
        self.deliver: Callable[[list[object]], None]
        self.slow: Callable[[str, float, float], None] = lambda lane, begin, seconds: None
        """Called with lane, begin and duration of a call that takes long."""
        self._process = process
        self._rng = rng
        self._delays = delays
        self._lanes: dict[str, Lane] = {}
        self._on_the_way: dict[int, Work] = {}
        self._order = 0
        self._closed = False
        process.at_death.append(self.cut)

    def start(self, lane: str, threads: int, work: Work) -> None:
        """Run ``work`` on a thread of ``lane``."""
        self.steps(lane, threads, lambda done: self.call(lane, work, done))

    def steps(self, lane: str, threads: int, begin: Callable[[Work], None]) -> None:
        """Occupy a thread of ``lane`` from ``begin(done)`` until ``done`` is called."""
        found = self._lanes.get(lane)
        if found is None:
            found = self._lanes[lane] = Lane(lane)
        found.threads = threads
        found.waiting.append(lambda: begin(lambda: self._free(found)))
        self._pump(found)

    def run(self, lane: str, work: Work) -> None:
        """Run ``work`` now."""
        work()

    def close(self) -> None:
        """Begin no more work."""
        self._closed = True
        for lane in self._lanes.values():
            lane.waiting.clear()

    def cut(self) -> None:
        """The process is gone: what is on its way arrives now, or never."""
        self.close()
        on_the_way, self._on_the_way = self._on_the_way, {}
        for work in on_the_way.values():
            if self._rng.chance(0.3):
                self.capture(work)

    def call(self, lane: str, work: Work, then: Work) -> None:
        """Do ``work`` after a delay, deliver what it posts after another one, then go on with ``then``."""
        delays = self._delays(lane)
        before, after = delays.draw(self._rng), delays.draw(self._rng)
        if before + after >= 1.0:
            self.slow(lane, self._process.world.now, before + after)
        self._order += 1
        number = self._order
        self._on_the_way[number] = work

        def take_effect() -> None:
            if self._on_the_way.pop(number, None) is not None:
                posts = self.capture(work)
                self._process.later(after, lambda: self._answer(posts, then))

        self._process.later(before, take_effect)

    def _answer(self, posts: list[object], then: Work) -> None:
        self.deliver(posts)
        then()

    def _free(self, lane: Lane) -> None:
        lane.busy -= 1
        self._pump(lane)

    def _pump(self, lane: Lane) -> None:
        while lane.waiting and lane.busy < lane.threads and not self._closed:
            lane.busy += 1
            lane.waiting.popleft()()
