"""A clock that moves when a test advances it, or by itself whenever all threads wait for it."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import field
from math import inf
from typing import Any


class ClockRanOut(AssertionError):
    """More time would pass than the test allows, or no thread can ever run again."""


@dataclass(eq=False, slots=True)
class _Wait:
    """A thread that waits. It stands in the queue of a condition, as the lock of ``Condition.wait`` does."""

    clock: ManualClock
    thread: threading.Thread
    due: float
    order: float
    takes_turns: bool
    turn: threading.Lock = field(default_factory=threading.Lock)
    """Locked until the thread may go on."""
    is_notified: bool = False
    refusal: str = ""

    def __post_init__(self) -> None:
        self.turn.acquire()

    def release(self) -> None:
        """The condition was notified."""
        self.clock._notify(self)


class _Here(threading.local):
    takes_turns = False
    """Whether a clock has started this thread."""


@dataclass(eq=False)
class ManualClock:
    """A :class:`~pytest_clusterjobs.engine.clock.Clock` on which no time passes by itself.

    The thread that creates it and those that ``start`` starts take turns: one runs until it waits on the
    clock or ends. The next one is that which was first notified or started, or else the first one that is
    due, and then the clock jumps to that time. The order of execution does not depend on the machine, as
    long as these threads wait for each other on the clock only (not with ``Thread.join``, for example).

    Any other thread may wait on the clock too. It takes no turns: it goes on once it is notified or due.
    """

    epoch: float = 1_800_000_000.0
    """The value of ``time()`` at the start, in seconds."""
    _now: float = 0.0
    _until: float = 0.0
    """The time until which the clock may jump."""
    _order: int = 0
    _held: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _waits: list[_Wait] = field(default_factory=list)
    _ready: deque[_Wait] = field(default_factory=deque)
    _owner: threading.Thread = field(default_factory=threading.current_thread)
    _running: threading.Thread | None = field(default_factory=threading.current_thread)
    """The thread whose turn it is."""
    _here: _Here = field(default_factory=_Here)

    def time(self) -> float:
        """Seconds since the epoch."""
        return self.epoch + self._now

    def monotonic(self) -> float:
        """Seconds since this clock's creation; ``step_wall`` does not move it."""
        return self._now

    def step_wall(self, seconds: float) -> None:
        """Set ``time()`` forward or back, like a time server; ``monotonic()`` is unchanged."""
        self.epoch += seconds

    def wait(self, condition: threading.Condition, timeout: float | None) -> bool:
        """Wait on an acquired condition until it is notified (True) or this clock has moved (False)."""
        if timeout is not None and timeout <= 0:
            return condition.wait(0)
        wait = self._enter(inf if timeout is None else self._now + timeout)
        # The steps of ``Condition.wait``, which itself would take the lock again before this thread's turn.
        inner: Any = condition
        inner._waiters.append(wait)
        saved = inner._release_save()
        try:
            self._pause(wait)
        finally:
            inner._acquire_restore(saved)
            if not wait.is_notified:
                inner._waiters.remove(wait)
        if wait.refusal:
            raise ClockRanOut(wait.refusal)
        return wait.is_notified

    def sleep(self, seconds: float) -> None:
        """Wait until the clock has moved by ``seconds``."""
        condition = threading.Condition()
        with condition:
            self.wait(condition, seconds)

    def start(self, name: str, work: Callable[[], None]) -> None:
        """Run ``work`` on a daemon thread that takes turns, and is ready for its first one."""

        def run() -> None:
            self._here.takes_turns = True
            first.turn.acquire()
            try:
                work()
            except BaseException:
                # As the thread would do it after its turn, while the next one runs already.
                threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), thread)))
            finally:
                with self._lock:
                    self._running = None
                    self._pass_on()

        thread = threading.Thread(target=run, name=name, daemon=True)
        first = _Wait(self, thread, inf, inf, takes_turns=True)
        with self._lock:
            self._ready.append(first)
            self._pass_on()
        thread.start()

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Stop time in this block, whichever thread runs it."""
        with self._lock:
            self._held += 1
        try:
            yield
        finally:
            with self._lock:
                self._held -= 1
                self._pass_on()

    def advance(self, seconds: float) -> None:
        """Move by ``seconds``; on the way and at its end, all other threads run that are ready or due."""
        target = self._now + seconds
        with self._passing(target):
            self._pause(self._enter(target, last=True))

    def advance_until(self, predicate: Callable[[], bool], step: float = 1.0, limit: float = 3600.0) -> float:
        """Advance by ``step`` seconds until ``predicate()`` holds; returns the seconds that this took.

        Raises ClockRanOut after ``limit`` seconds.
        """
        start = self._now
        self.advance(0.0)
        while not predicate():
            if self._now - start >= limit:
                raise ClockRanOut(f"{predicate} is still false after {limit:g} s")
            self.advance(step)
        return self._now - start

    @contextmanager
    def auto(self, limit: float = 7 * 86400.0) -> Iterator[None]:
        """Jump to the time of the next thread that is due, whenever all threads that take turns wait.

        Once ``limit`` seconds have passed, a wait of the clock's creator raises ClockRanOut. At the end of
        the block, all other threads run that are ready, such as those that are to end.
        """
        with self._passing(self._now + limit):
            try:
                yield
            finally:
                self.advance(0.0)

    @contextmanager
    def _passing(self, until: float) -> Iterator[None]:
        if not self._takes_turns:
            raise RuntimeError("only a thread that takes turns can let time pass")
        before, self._until = self._until, max(self._until, until)
        try:
            yield
        finally:
            self._until = before

    @property
    def _takes_turns(self) -> bool:
        return self._here.takes_turns or threading.current_thread() is self._owner

    def _enter(self, due: float, *, last: bool = False) -> _Wait:
        with self._lock:
            self._order += 1
            order = inf if last else self._order
            wait = _Wait(self, threading.current_thread(), due, order, self._takes_turns)
            self._waits.append(wait)
            return wait

    def _pause(self, wait: _Wait) -> None:
        """Let others run until this thread may go on."""
        try:
            with self._lock:
                if self._running is wait.thread:
                    self._running = None
                self._pass_on()
            wait.turn.acquire()
        except BaseException:
            # Ctrl-C, or a time limit of the test: this thread goes on out of turn.
            with self._lock:
                for queue in (self._waits, self._ready):
                    if wait in queue:
                        queue.remove(wait)
            raise

    def _notify(self, wait: _Wait) -> None:
        with self._lock:
            wait.is_notified = True
            if wait not in self._waits:
                return
            self._waits.remove(wait)
            if wait.takes_turns:
                self._ready.append(wait)
                self._pass_on()
            else:
                wait.turn.release()

    def _pass_on(self) -> None:
        """If no thread has its turn, wake the next one."""
        while self._running is None and (wait := self._next()) is not None:
            if wait.takes_turns:
                self._running = wait.thread
            wait.turn.release()

    def _next(self) -> _Wait | None:
        if self._ready:
            return self._ready.popleft()
        if self._held or not self._waits:
            return None
        wait: _Wait | None = min(self._waits, key=lambda each: (each.due, each.order))
        if wait is not None and wait.due <= max(self._until, self._now):
            self._now = max(self._now, wait.due)
        else:
            wait = self._refused()
        if wait is not None:
            self._waits.remove(wait)
        return wait

    def _refused(self) -> _Wait | None:
        """The wait of the creator, which learns that no thread that takes turns can go on."""
        wait = next((each for each in self._waits if each.thread is self._owner), None)
        if wait is not None:
            due = min(each.due for each in self._waits)
            names = ", ".join(each.thread.name for each in self._waits)
            why = "none has a timeout" if due == inf else f"the first is due at {due:g} s"
            wait.refusal = (
                f"the clock stops at {max(self._until, self._now):g} s; these threads wait: {names}; {why}"
            )
        return wait
