"""The manual clock lets one thread run at a time, in an order that does not depend on the machine."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable

import pytest

from pytest_clusterjobs.engine.clock import Clock
from pytest_clusterjobs.engine.clock import SystemClock
from pytest_clusterjobs.engine.executor import ThreadExecutor
from pytest_clusterjobs.testing import ClockRanOut
from pytest_clusterjobs.testing import ManualClock


class Ticker:
    """A thread that logs the time every ``every`` seconds of a clock."""

    def __init__(self, clock: ManualClock, every: float, log: list[tuple[float, str]], name: str) -> None:
        self.condition = threading.Condition()
        self.stopped = False
        clock.start(name, lambda: self._run(clock, every, log))

    def _run(self, clock: ManualClock, every: float, log: list[tuple[float, str]]) -> None:
        with self.condition:
            while not self.stopped:
                if not clock.wait(self.condition, every):
                    log.append((clock.monotonic(), threading.current_thread().name))

    def stop(self) -> None:
        with self.condition:
            self.stopped = True
            self.condition.notify_all()


def test_system_clock_waits_for_a_notification_or_the_time() -> None:
    clock: Clock = SystemClock()
    condition = threading.Condition()
    with condition:
        assert clock.wait(condition, 0.001) is False
    assert abs(clock.time() - time.time()) < 5
    assert clock.monotonic() <= time.monotonic()


def test_no_time_passes_by_itself() -> None:
    clock = ManualClock(epoch=100.0)
    assert (clock.time(), clock.monotonic()) == (100.0, 0.0)
    clock.advance(2.5)
    assert (clock.time(), clock.monotonic()) == (102.5, 2.5)


def test_a_wall_clock_step_leaves_monotonic_alone() -> None:
    clock = ManualClock(epoch=100.0)
    clock.step_wall(-30)
    assert (clock.time(), clock.monotonic()) == (70.0, 0.0)


def test_one_advance_wakes_threads_whenever_they_are_due() -> None:
    clock = ManualClock()
    log: list[tuple[float, str]] = []
    tickers = [Ticker(clock, 2.0, log, "two"), Ticker(clock, 3.0, log, "three")]
    clock.advance(7.0)
    for ticker in tickers:
        ticker.stop()
    clock.advance(7.0)
    assert log == [(2.0, "two"), (3.0, "three"), (4.0, "two"), (6.0, "three"), (6.0, "two")]


def test_a_notification_does_not_count_as_passed_time() -> None:
    clock = ManualClock()
    condition = threading.Condition()
    answers: list[bool] = []

    def wait() -> None:
        with condition:
            answers.append(clock.wait(condition, 60.0))

    clock.start("waiting", wait)
    clock.advance(59.0)
    with condition:
        condition.notify_all()
    clock.advance(0.0)
    assert answers == [True]


def test_a_wait_takes_a_lock_that_was_acquired_twice_and_leaves_nothing_in_the_condition() -> None:
    clock = ManualClock()
    condition = threading.Condition(threading.RLock())
    order: list[str] = []

    def work() -> None:
        with condition:
            order.append("worker")

    with clock.auto(), condition, condition:
        clock.start("worker", work)
        assert clock.wait(condition, 1.0) is False
        order.append("creator")
        condition.notify_all()
    assert order == ["worker", "creator"]


def test_no_time_passes_until_a_notified_thread_waits_again() -> None:
    clock = ManualClock()
    condition = threading.Condition()
    produced: list[float] = []
    seen: list[tuple[float, float]] = []

    def produce() -> None:
        for _ in range(200):
            clock.sleep(1.0)
            with condition:
                produced.append(clock.monotonic())
                condition.notify_all()

    def consume() -> None:
        with condition:
            while len(seen) < 200:
                while not produced:
                    clock.wait(condition, None)
                seen.append((produced.pop(0), clock.monotonic()))

    clock.start("producer", produce)
    clock.start("consumer", consume)
    clock.advance(200.0)
    assert len(seen) == 200
    assert all(produced_at == seen_at for produced_at, seen_at in seen)


def test_threads_run_one_at_a_time_in_the_order_in_which_they_became_ready() -> None:
    clock = ManualClock()
    condition = threading.Condition()
    order: list[str] = []

    def work() -> None:
        for _ in range(3):
            order.append(threading.current_thread().name)
            with condition:
                clock.wait(condition, None)

    for name in "abc":
        clock.start(name, work)
    assert order == [], "a thread that was started runs when its creator waits"
    clock.advance(0.0)
    with condition:
        condition.notify(2)
    clock.advance(0.0)
    with condition:
        condition.notify_all()
    clock.advance(0.0)
    assert "".join(order) == "abcabcab"


def test_advance_until_returns_the_passed_seconds_and_has_a_limit() -> None:
    clock = ManualClock()
    log: list[tuple[float, str]] = []
    Ticker(clock, 5.0, log, "five")
    assert clock.advance_until(lambda: len(log) == 2) == 10.0
    with pytest.raises(ClockRanOut):
        clock.advance_until(lambda: len(log) == 99, limit=20.0)


def test_auto_jumps_a_day_in_milliseconds() -> None:
    clock = ManualClock()
    started = time.monotonic()
    with clock.auto():
        for _ in range(24):
            clock.sleep(3600.0)
    assert clock.monotonic() == 86400.0
    assert time.monotonic() - started < 2.0


def test_auto_has_a_limit() -> None:
    clock = ManualClock()
    with clock.auto(limit=60.0), pytest.raises(ClockRanOut, match=r"stops at 60 s.*MainThread.*due at 63 s"):
        while True:
            clock.sleep(7.0)
    assert clock.monotonic() == 56.0


def test_a_wait_that_cannot_end_is_an_error() -> None:
    clock = ManualClock()
    with pytest.raises(ClockRanOut, match=r"stops at 0 s.*due at 1 s"):
        clock.sleep(1.0)
    condition = threading.Condition()

    def wait() -> None:
        with condition:
            clock.wait(condition, None)

    clock.start("other", wait)
    with clock.auto(), condition, pytest.raises(ClockRanOut, match="wait: MainThread, other; none has a"):
        clock.wait(condition, None)
    assert clock.monotonic() == 0.0


def test_an_exception_in_a_thread_ends_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock()
    seen: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: seen.append(args.exc_type))

    def fail() -> None:
        raise KeyError("a bug")

    clock.start("failing", fail)
    clock.start("next", lambda: seen.append("next"))
    clock.advance(1.0)
    assert seen == [KeyError, "next"]


def test_a_wait_that_a_signal_ends_leaves_the_clock_in_order() -> None:
    clock = ManualClock()
    log: list[str] = []
    main = threading.get_ident()

    def interrupt() -> None:
        # A signal that arrives just before the lock is waited for does not end the wait.
        while not interrupted.wait(0.01):
            signal.pthread_kill(main, signal.SIGUSR1)
        log.append("others")

    def handle(number: int, frame: object) -> None:
        if not handled:
            handled.append(number)
            raise InterruptedError

    handled: list[int] = []
    interrupted = threading.Event()
    former = signal.signal(signal.SIGUSR1, handle)
    try:
        clock.start("interrupting", interrupt)
        with pytest.raises(InterruptedError):
            clock.advance(60.0)
        interrupted.set()
        clock.advance(0.0)
    finally:
        signal.signal(signal.SIGUSR1, former)
    assert clock.monotonic() == 0.0
    clock.advance(1.0)
    assert (log, clock.monotonic()) == (["others"], 1.0)


def test_at_the_end_of_auto_threads_have_ended_that_could() -> None:
    clock = ManualClock()
    log: list[str] = []
    with clock.auto():
        clock.start("short", lambda: log.append("done"))
        clock.start("long", lambda: clock.sleep(60.0))
    assert (log, clock.monotonic()) == (["done"], 0.0)


def test_no_time_passes_while_it_is_held() -> None:
    clock = ManualClock()
    held = threading.Condition()
    holding: list[bool] = []
    log: list[tuple[float, str]] = []

    def hold() -> None:
        with clock.hold(), held:
            holding.append(True)
            held.notify()
            clock.wait(held, None)
            log.append((clock.monotonic(), "held"))

    def release() -> None:
        with held:
            while not holding:
                held.wait()
            held.notify()

    clock.start("holding", hold)
    Ticker(clock, 1.0, log, "one")
    stranger = threading.Thread(target=release)
    stranger.start()
    clock.advance(1.0)
    stranger.join()
    assert log == [(0.0, "held"), (1.0, "one")]


def notify(condition: threading.Condition) -> None:
    with condition:
        condition.notify()


class Stranger:
    """A thread that the clock does not know, waiting on it."""

    def __init__(self, clock: ManualClock, timeout: float | None) -> None:
        self.clock = clock
        self.timeout = timeout
        self.condition = threading.Condition()
        self.answers: list[bool] = []
        self.thread = threading.Thread(target=self._run)
        with self.condition:
            self.thread.start()
            # The thread keeps the condition from its notification until the clock knows that it waits.
            self.condition.wait()

    def _run(self) -> None:
        with self.condition:
            self.condition.notify()
            self.answers.append(self.clock.wait(self.condition, self.timeout))


def test_a_thread_that_takes_no_turns_is_woken_by_a_notification_at_once() -> None:
    clock = ManualClock()
    stranger = Stranger(clock, None)
    notify(stranger.condition)
    stranger.thread.join()
    assert stranger.answers == [True]


def test_a_thread_that_takes_no_turns_is_woken_when_it_is_due() -> None:
    clock = ManualClock()
    stranger = Stranger(clock, 5.0)
    clock.advance(5.0)
    stranger.thread.join()
    assert stranger.answers == [False]


def test_a_thread_that_takes_no_turns_cannot_let_time_pass() -> None:
    clock = ManualClock()
    errors: list[BaseException] = []

    def advance() -> None:
        try:
            clock.advance(1.0)
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=advance)
    thread.start()
    thread.join()
    assert len(errors) == 1


@pytest.mark.parametrize("threads", [1, 3])
def test_an_executor_on_it_does_the_same_in_every_run(threads: int) -> None:
    def run() -> list[str]:
        clock = ManualClock()
        executor = ThreadExecutor(clock)
        log: list[str] = []

        def work(number: int) -> Callable[[], None]:
            def job() -> None:
                log.append(f"begin {number} at {clock.monotonic():g}")
                clock.sleep(number % 3)
                log.append(f"end {number} at {clock.monotonic():g}")

            return job

        for number in range(1, 9):
            executor.start("lane", threads, work(number))
        with clock.auto():
            executor.run("other", work(2))
            clock.sleep(60.0)
        executor.close()
        clock.advance(0.0)
        return log

    first, second = run(), run()
    assert len(first) == 18
    assert first == second
