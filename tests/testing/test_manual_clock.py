"""The manual clock wakes threads in order, and waits for each before it moves on."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from pytest_clusterjobs.engine.clock import Clock
from pytest_clusterjobs.engine.clock import SystemClock
from pytest_clusterjobs.testing import ClockRanOut
from pytest_clusterjobs.testing import ManualClock


class Ticker:
    """A thread that logs the time every ``every`` seconds of a clock."""

    def __init__(self, clock: ManualClock, every: float, log: list[tuple[float, str]], name: str) -> None:
        self.condition = threading.Condition()
        self.stopped = False
        self.thread = threading.Thread(target=self._run, args=(clock, every, log), name=name)
        clock.register(self.thread)
        self.thread.start()

    def _run(self, clock: ManualClock, every: float, log: list[tuple[float, str]]) -> None:
        with self.condition:
            while not self.stopped:
                if not clock.wait(self.condition, every):
                    log.append((clock.monotonic(), threading.current_thread().name))

    def stop(self) -> None:
        with self.condition:
            self.stopped = True
            self.condition.notify_all()
        self.thread.join()


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
    assert log == [(2.0, "two"), (3.0, "three"), (4.0, "two"), (6.0, "three"), (6.0, "two")]


def test_a_notification_does_not_count_as_passed_time() -> None:
    clock = ManualClock()
    condition = threading.Condition()
    answers: list[bool] = []

    def wait() -> None:
        with condition:
            answers.append(clock.wait(condition, 60.0))

    thread = threading.Thread(target=wait)
    clock.register(thread)
    thread.start()
    clock.advance(59.0)
    with condition:
        condition.notify_all()
    thread.join()
    assert answers == [True]
    assert clock.monotonic() == 59.0


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

    threads = [threading.Thread(target=produce), threading.Thread(target=consume)]
    for thread in threads:
        clock.register(thread)
        thread.start()
    clock.advance(200.0)
    for thread in threads:
        thread.join()
    assert all(produced_at == seen_at for produced_at, seen_at in seen)


def test_advance_until_returns_the_passed_seconds_and_has_a_limit() -> None:
    clock = ManualClock()
    log: list[tuple[float, str]] = []
    ticker = Ticker(clock, 5.0, log, "five")
    assert clock.advance_until(lambda: len(log) == 2) == 10.0
    with pytest.raises(ClockRanOut):
        clock.advance_until(lambda: len(log) == 99, limit=20.0)
    ticker.stop()


def test_auto_jumps_a_day_in_milliseconds() -> None:
    clock = ManualClock()
    started = time.monotonic()
    with clock.auto():
        for _ in range(24):
            clock.sleep(3600.0)
    assert clock.monotonic() == 86400.0
    assert time.monotonic() - started < 2.0


def test_auto_does_not_move_while_a_known_thread_works() -> None:
    clock = ManualClock()
    never_set = threading.Event()
    seen: list[float] = []

    def work() -> None:
        clock.sleep(1.0)
        never_set.wait(0.05)
        seen.append(clock.monotonic())

    worker = threading.Thread(target=work)
    clock.register(worker)
    with clock.auto():
        worker.start()
        clock.sleep(30.0)
    worker.join()
    assert seen == [1.0]


def test_auto_does_not_wait_for_threads_that_idle_in_a_pool() -> None:
    clock = ManualClock()
    with ThreadPoolExecutor(2) as pool, clock.auto():
        pool.submit(clock.sleep, 5.0).result()
        clock.sleep(10.0)
    assert clock.monotonic() == 15.0


def test_auto_ends_a_thread_that_waits_longer_than_the_limit() -> None:
    clock = ManualClock()
    with clock.auto(limit=60.0), pytest.raises(ClockRanOut):
        while True:
            clock.sleep(7.0)
    assert clock.monotonic() == 56.0


def test_no_time_passes_while_it_is_held() -> None:
    clock = ManualClock()
    sleeper = threading.Thread(target=clock.sleep, args=(1.0,))
    with clock.auto():
        with clock.hold():
            sleeper.start()
            sleeper.join(0.02)
            assert clock.monotonic() == 0.0
        sleeper.join()
    assert clock.monotonic() == 1.0
