"""A launch that arrives late is claimed in time, or cancelled."""

from __future__ import annotations

import threading

from pytest_clusterjobs.backends.skypilot.late_launches import LateLaunches


class Cancels:
    """Records the cancelled launches."""

    def __init__(self) -> None:
        self.cancelled: list[tuple[str, str]] = []

    def __call__(self, name: str, request: str) -> None:
        self.cancelled.append((name, request))


def test_an_unclaimed_launch_is_cancelled() -> None:
    cancels = Cancels()
    launches = LateLaunches(cancels, claim_timeout=0.01)
    launches.expect("a")
    assert launches.is_pending("a")
    launches.arrived("a", "r1")
    assert not launches.is_pending("a")
    assert cancels.cancelled == [("a", "r1")]


def test_a_claimed_launch_is_not_cancelled() -> None:
    cancels = Cancels()
    launches = LateLaunches(cancels, claim_timeout=60.0)
    launches.expect("a")
    assert launches.claim("a") is None
    arriving = threading.Thread(target=launches.arrived, args=("a", "r1"))
    arriving.start()
    while (found := launches.claim("a")) is None:
        pass
    arriving.join(timeout=10)
    assert found == "r1" and not arriving.is_alive() and not cancels.cancelled


def test_a_failed_launch_is_no_longer_tracked() -> None:
    launches = LateLaunches(Cancels(), claim_timeout=60.0)
    launches.expect("a")
    launches.failed("a")
    assert not launches.is_pending("a")
    assert launches.claim("a") is None
