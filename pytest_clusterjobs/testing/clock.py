"""A clock that moves when a test advances it, or by itself whenever all threads wait for it."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import field
from math import inf
from pathlib import Path
from time import monotonic as real_monotonic
from weakref import WeakSet

_SETTLE_POLL_SECONDS = 0.0002
_STUCK_TIMEOUT_SECONDS = 10.0


class ClockRanOut(AssertionError):
    """More time passed than the test allowed, or a thread did not return to the clock."""


@dataclass(eq=False, slots=True)
class _Waiter:
    due: float
    order: int
    condition: threading.Condition
    thread: threading.Thread
    fired: bool = False
    refused: bool = False


@dataclass(eq=False)
class ManualClock:
    """A :class:`~pytest_clusterjobs.engine.clock.Clock` on which no time passes by itself.

    It knows every thread that was started after its creation, and every older one that has waited on
    it or called ``auto``. ``advance`` moves from one due waiter to the next and lets all known
    threads return to the clock in between, so that the order of execution does not depend on the
    machine. Threads that wait for another thread without a timeout, as in ``Thread.join``,
    ``Future.result`` or an idle ``ThreadPoolExecutor``, count as waiting.
    """

    epoch: float = 1_800_000_000.0
    """The value of ``time()`` at the start, in seconds."""
    _now: float = 0.0
    _order: int = 0
    _activity: int = 0
    _held: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _waiters: list[_Waiter] = field(default_factory=list)
    _threads: set[threading.Thread] = field(default_factory=set)
    _ignored: WeakSet[threading.Thread] = field(default_factory=lambda: WeakSet(threading.enumerate()))
    """Threads that the clock ignores: those that ran before its creation, and its own."""

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
        waiter = self._enter(condition, inf if timeout is None else timeout)
        try:
            condition.wait()
        finally:
            with self._lock:
                self._waiters.remove(waiter)
                self._activity += 1
        if waiter.refused:
            raise ClockRanOut(f"{waiter.thread.name} still waits at {self._now:g} s")
        return not waiter.fired

    def sleep(self, seconds: float) -> None:
        """Wait until the clock has moved by ``seconds``."""
        condition = threading.Condition()
        with condition:
            self.wait(condition, seconds)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Stop time in this block, whichever thread runs it."""
        with self._lock:
            self._held += 1
            self._activity += 1
        try:
            yield
        finally:
            with self._lock:
                self._held -= 1
                self._activity += 1

    def register(self, thread: threading.Thread) -> None:
        """Count an older thread before its first wait, so that no time passes until it waits."""
        with self._lock:
            self._threads.add(thread)

    def advance(self, seconds: float) -> None:
        """Move by ``seconds``, stopping at each waiter on the way until all threads wait again.

        Raises ClockRanOut if a thread does not return within ten real seconds.
        """
        target = self._now + seconds
        self._settle()
        while (waiter := self._next()) is not None and waiter.due <= target:
            self._fire(waiter)
            self._settle()
        self._now = max(self._now, target)

    def advance_until(self, predicate: Callable[[], bool], step: float = 1.0, limit: float = 3600.0) -> float:
        """Advance by ``step`` seconds until ``predicate()`` holds; returns the seconds that this took.

        Raises ClockRanOut after ``limit`` seconds.
        """
        start = self._now
        self._settle()
        while not predicate():
            if self._now - start >= limit:
                raise ClockRanOut(f"{predicate} is still false after {limit:g} s")
            self.advance(step)
        return self._now - start

    @contextmanager
    def auto(self, limit: float = 7 * 86400.0) -> Iterator[None]:
        """Jump to the next due waiter whenever every known thread waits; the caller's thread becomes known.

        Once ``limit`` seconds have passed, every wait raises ClockRanOut.
        """
        self.register(threading.current_thread())
        stop = threading.Event()
        driver = threading.Thread(
            target=self._drive, args=(stop, self._now + limit), name="clock", daemon=True
        )
        self._ignored.add(driver)
        driver.start()
        try:
            yield
        finally:
            stop.set()
            driver.join()

    def _enter(self, condition: threading.Condition, timeout: float) -> _Waiter:
        with self._lock:
            self._order += 1
            self._activity += 1
            waiter = _Waiter(self._now + timeout, self._order, condition, threading.current_thread())
            self._threads.add(waiter.thread)
            self._waiters.append(waiter)
            return waiter

    def _next(self) -> _Waiter | None:
        with self._lock:
            live = [waiter for waiter in self._waiters if not waiter.fired and waiter.due < inf]
            return min(live, key=lambda waiter: (waiter.due, waiter.order), default=None)

    def _fire(self, waiter: _Waiter, *, refuse: bool = False) -> None:
        with waiter.condition:
            with self._lock:
                if waiter not in self._waiters:
                    return
                waiter.fired = not refuse
                waiter.refused = refuse
                if not refuse:
                    self._now = max(self._now, waiter.due)
                self._activity += 1
            waiter.condition.notify_all()

    def _is_quiet(self, besides: threading.Thread | None = None) -> bool:
        with self._lock:
            if self._held or any(waiter.fired for waiter in self._waiters):
                return False
            asleep = Counter(waiter.condition for waiter in self._waiters)
            if any(_sleepers(condition) < count for condition, count in asleep.items()):
                return False
            waiting = {waiter.thread for waiter in self._waiters}
            busy = self._known() - waiting - {besides}
            return all(_waits_for_a_thread(thread) for thread in busy)

    def _known(self) -> set[threading.Thread]:
        """The threads that the clock waits for, including those that were started and do not run yet."""
        return {
            thread
            for thread in threading.enumerate()
            if thread in self._threads or thread not in self._ignored
        }

    def _settle(self) -> None:
        me = threading.current_thread()
        deadline = real_monotonic() + _STUCK_TIMEOUT_SECONDS
        pause = threading.Event()
        while not self._is_quiet(besides=me):
            if real_monotonic() > deadline:
                names = sorted(thread.name for thread in self._known())
                raise ClockRanOut(f"a thread does not return to the clock; known: {', '.join(names)}")
            pause.wait(_SETTLE_POLL_SECONDS)

    def _drive(self, stop: threading.Event, end: float) -> None:
        pause = _SETTLE_POLL_SECONDS
        while not stop.wait(pause):
            seen = self._activity
            waiter = self._next()
            if waiter is None or not self._is_quiet():
                pause = min(pause * 1.2, 10 * _SETTLE_POLL_SECONDS)
                continue
            stop.wait(_SETTLE_POLL_SECONDS)
            if self._activity == seen and self._is_quiet():
                self._jump(waiter, end)
            pause = _SETTLE_POLL_SECONDS

    def _jump(self, waiter: _Waiter, end: float) -> None:
        if waiter.due <= end:
            self._fire(waiter)
            return
        for each in tuple(self._waiters):
            self._fire(each, refuse=True)


def _sleepers(condition: threading.Condition) -> int:
    # No public API distinguishes a waiter that was notified and has not run yet from one that was not
    # notified: only the latter is still in this queue.
    return len(vars(condition)["_waiters"])


def _waits_for_a_thread(thread: threading.Thread) -> bool:
    frame = sys._current_frames().get(thread.ident or 0)
    if frame is None:
        return False
    match Path(frame.f_code.co_filename).parts[-2:], frame.f_code.co_name:
        case (("futures", "thread.py"), "_worker"):
            return True
        case ((_, "threading.py"), "wait"):
            # This lock is free from the notification on, even while the thread does not run yet.
            waiter = frame.f_locals.get("waiter")
            return waiter is not None and waiter.locked() and frame.f_locals["timeout"] is None
        case ((_, "threading.py"), "join" | "_wait_for_tstate_lock"):
            return frame.f_locals["timeout"] in (None, -1) and bool(frame.f_locals["self"].is_alive())
    return False
