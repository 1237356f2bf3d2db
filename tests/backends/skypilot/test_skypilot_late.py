"""Launches that nobody waited for: wanted by whoever asks for them in time, else ended."""

from __future__ import annotations

import threading

from pytest_clusterjobs.backends.skypilot.late_launches import LateLaunches


class Ends:
    """What was ended."""

    def __init__(self) -> None:
        self.ended: list[tuple[str, str]] = []

    def __call__(self, name: str, request: str) -> None:
        self.ended.append((name, request))


def test_one_that_nobody_asks_for_is_ended() -> None:
    ends = Ends()
    launches = LateLaunches(ends, patience=0.01)
    launches.expect("a")
    assert launches.is_under_way("a")
    launches.arrived("a", "r1")
    assert not launches.is_under_way("a")
    assert ends.ended == [("a", "r1")]


def test_one_that_somebody_asks_for_is_theirs() -> None:
    ends = Ends()
    launches = LateLaunches(ends, patience=60.0)
    launches.expect("a")
    assert launches.found("a") is None
    arriving = threading.Thread(target=launches.arrived, args=("a", "r1"))
    arriving.start()
    while (found := launches.found("a")) is None:
        pass
    arriving.join(timeout=10)
    assert found == "r1" and not arriving.is_alive() and not ends.ended


def test_one_that_fails_is_forgotten() -> None:
    launches = LateLaunches(Ends(), patience=60.0)
    launches.expect("a")
    launches.failed("a")
    assert not launches.is_under_way("a")
    assert launches.found("a") is None
