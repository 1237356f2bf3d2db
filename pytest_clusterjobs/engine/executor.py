"""Runs the driver's work on threads: each lane has its own, so that no cluster waits for another."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Protocol

from .clock import Clock


class Executor(Protocol):
    """Where the driver's work runs. Work of one lane is begun in the order in which it was given."""

    def start(self, lane: str, threads: int, work: Callable[[], None]) -> None:
        """Run ``work`` on a thread of ``lane``, which has at most so many threads. Returns at once."""

    def run(self, lane: str, work: Callable[[], None]) -> None:
        """Run ``work`` on a lane of one thread, and wait until it is done."""

    def close(self) -> None:
        """Begin no more work."""


class _Lane:
    def __init__(self, name: str) -> None:
        self.name = name
        self.work: deque[Callable[[], None]] = deque()
        self.given = threading.Condition()
        self.threads = 0
        self.idle = 0
        self.closed = False


class ThreadExecutor:
    """Runs work on threads of the clock, which are started when there is work for them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lanes: dict[str, _Lane] = {}

    def start(self, lane: str, threads: int, work: Callable[[], None]) -> None:
        """Run ``work`` on a thread of ``lane``."""
        found = self._lanes.get(lane)
        if found is None:
            found = self._lanes[lane] = _Lane(lane)
        with found.given:
            found.work.append(work)
            if found.idle < len(found.work) and found.threads < threads:
                found.threads += 1
                self._clock.start(f"clusterjobs-{lane}", partial(self._work_on, found))
            else:
                found.given.notify()

    def run(self, lane: str, work: Callable[[], None]) -> None:
        """Run ``work`` on the thread of ``lane``, and wait until it is done."""
        ended = threading.Condition()
        has_ended = False

        def work_and_tell() -> None:
            nonlocal has_ended
            try:
                work()
            finally:
                with ended:
                    has_ended = True
                    ended.notify()

        self.start(lane, 1, work_and_tell)
        with ended:
            while not has_ended:
                self._clock.wait(ended, None)

    def close(self) -> None:
        """End the threads, once they have done what they do now."""
        for lane in self._lanes.values():
            with lane.given:
                lane.closed = True
                lane.work.clear()
                lane.given.notify_all()

    def _work_on(self, lane: _Lane) -> None:
        while True:
            with lane.given:
                lane.idle += 1
                while not lane.work and not lane.closed:
                    self._clock.wait(lane.given, None)
                lane.idle -= 1
                if lane.closed:
                    return
                work = lane.work.popleft()
            work()
            # A thread that waits must not keep what it has worked on.
            del work
