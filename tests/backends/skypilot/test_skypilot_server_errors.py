"""Errors of the API server: calls are repeated later, and nothing is launched twice."""

from __future__ import annotations

import time
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_clusterjobs.backends.protocol import BackendContext
from pytest_clusterjobs.backends.protocol import BackendError
from pytest_clusterjobs.backends.protocol import Found
from pytest_clusterjobs.backends.protocol import NotSubmitted
from pytest_clusterjobs.backends.protocol import SubmissionRejected
from pytest_clusterjobs.backends.protocol import Unknown
from pytest_clusterjobs.backends.skypilot import TYPE
from pytest_clusterjobs.backends.skypilot.calls import TimedCalls
from pytest_clusterjobs.backends.skypilot.client import SkyPilotBackend
from pytest_clusterjobs.backends.skypilot.late_launches import LateLaunches
from pytest_clusterjobs.backends.skypilot.modes import ManagedJobs
from pytest_clusterjobs.backends.skypilot.sdk import Sky
from pytest_clusterjobs.model import Handle
from pytest_clusterjobs.model import JobSpec
from tests.backends.skypilot.recordings import Exchange
from tests.backends.skypilot.recordings import Replay
from tests.backends.skypilot.recordings import serving
from tests.backends.skypilot.recordings import talk_to
from tests.backends.skypilot.scenarios import RUN
from tests.backends.skypilot.scenarios import token_of

pytestmark = pytest.mark.usefixtures("sky")

TOKEN = token_of("fails")
LOST = Handle("2", {"token": TOKEN, "nodes": 1, "restarts": 0})


class Faulty(Replay):
    """Fails at calls of some paths."""

    def __init__(self) -> None:
        super().__init__(Path(__file__).with_name("ends.json"))
        self.faults: dict[str, Callable[[], Exchange | None]] = {}

    def exchange(self, method: str, path: str, body: bytes, headers: Any) -> Exchange:
        ordinary = super().exchange(method, path, body, headers)
        fault = self.faults.get(ordinary.path)
        return (fault and fault()) or ordinary


def status(code: int) -> Callable[[], Exchange]:
    return lambda: Exchange("", "", "", code, {"Content-Type": "text/html"}, "<html>Bad gateway</html>")


def nothing() -> Exchange:
    """Cut the connection before a response."""
    raise ConnectionResetError


def silence() -> Exchange | None:
    time.sleep(3.0)
    return None


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Faulty]:
    faulty = Faulty()
    with serving(faulty) as url:
        talk_to(monkeypatch, url, {"HOME": str(tmp_path)})
        yield faulty


@pytest.fixture
def backend(server: Faulty, tmp_path: Path) -> SkyPilotBackend:
    settings = {"find_settle": 0.0, "answer_timeout": 2.0}
    opened = TYPE.open(BackendContext("skypilot", RUN, tmp_path, tmp_path, TYPE.validate(settings)))
    assert isinstance(opened, SkyPilotBackend)
    return opened


@pytest.mark.parametrize("fault", [status(500), status(502), status(503), nothing, silence])
def test_a_failing_server_does_not_end_a_job(
    server: Faulty, backend: SkyPilotBackend, fault: Callable[[], Exchange]
) -> None:
    server.faults["/jobs/queue/v2"] = fault
    begin = time.monotonic()
    with pytest.raises(BackendError) as error:
        backend.poll({TOKEN: LOST})
    assert not isinstance(error.value, SubmissionRejected)
    assert str(error.value) and "\n" not in str(error.value)
    assert time.monotonic() - begin < 20
    del server.faults["/jobs/queue/v2"]
    assert TOKEN in backend.poll({TOKEN: LOST})


@pytest.mark.parametrize("fault", [status(502), nothing, silence])
def test_a_launch_without_a_response_is_found_and_not_repeated(
    server: Faulty, backend: SkyPilotBackend, fault: Callable[[], Exchange]
) -> None:
    server.faults["/jobs/launch"] = fault
    with pytest.raises(BackendError) as error:
        backend.submit(JobSpec("exit 7", name="fails"), TOKEN)
    assert not isinstance(error.value, SubmissionRejected)
    # The recording's queue has no jobs at first.
    found = [backend.find(TOKEN) for _ in range(5)]
    assert isinstance(found[-1], Found)
    assert found[-1].handle.job_id is not None
    assert server.calls.count("/jobs/launch") == 1


def test_a_pending_launch_is_not_repeated_and_found_when_it_arrives(
    server: Faulty, backend: SkyPilotBackend
) -> None:
    server.faults["/jobs/launch"] = silence
    with pytest.raises(BackendError):
        backend.submit(JobSpec("exit 7", name="fails"), TOKEN)
    assert isinstance(backend.find(TOKEN), Unknown)
    with pytest.raises(BackendError, match="still pending"):
        backend.submit(JobSpec("exit 7", name="fails"), TOKEN)
    found: list[object] = []
    while not found or not isinstance(found[-1], Found):
        found.append(backend.find(TOKEN))
    assert NotSubmitted() not in found
    assert server.calls.count("/jobs/launch") == 1


def test_a_launch_that_arrives_unclaimed_is_cancelled(
    server: Faulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_clusterjobs.backends.skypilot.sdk.LATE_CANCEL_DELAYS_SECONDS", (0.0,))
    server.faults["/jobs/launch"] = silence
    sky = Sky(ManagedJobs(), response_timeout=2.0, claim_timeout=0.1)
    with pytest.raises(BackendError, match="did not respond"):
        sky.launch({"name": TOKEN, "run": "true"}, {})
    until = time.monotonic() + 20
    while "/api/cancel" not in server.calls:
        assert time.monotonic() < until
        time.sleep(0.1)


def test_a_job_is_cancelled_by_its_name_not_by_its_id(server: Faulty, backend: SkyPilotBackend) -> None:
    # As after a change to another server, where this id belongs to another job.
    backend.cancel({token_of("another"): Handle("2", {"token": token_of("another")})})
    assert "/jobs/cancel" not in server.calls


def test_a_run_with_a_longer_name_is_another_run(backend: SkyPilotBackend) -> None:
    assert [backend.sweep(RUN) for _ in range(5)][-1]
    assert backend.sweep(RUN.partition("-")[0]) == {}


def test_an_unknown_token_was_not_launched(backend: SkyPilotBackend) -> None:
    assert backend.find(token_of("another")) == NotSubmitted()


def test_an_unreachable_server_means_unknown(server: Faulty, backend: SkyPilotBackend) -> None:
    server.faults["/jobs/queue/v2"] = nothing
    assert isinstance(backend.find(TOKEN), Unknown)


def test_a_task_that_skypilot_cannot_parse_is_rejected(backend: SkyPilotBackend) -> None:
    spec = JobSpec("true", options={"resources": {"infra": "no-such-cloud"}})
    with pytest.raises(SubmissionRejected, match="no-such-cloud"):
        backend.submit(spec, TOKEN)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("Invalid resources"), SubmissionRejected),
        (ValueError("Failed to get partitions for cluster a: ssh"), BackendError),
        ("KubeAPIUnreachableError", BackendError),
        (ConnectionError("reset"), BackendError),
    ],
)
def test_a_temporary_error_is_not_a_rejection(error: Exception | str, kind: type[BackendError]) -> None:
    from sky import exceptions

    def fail() -> None:
        raise getattr(exceptions, error)("unreachable") if isinstance(error, str) else error

    with pytest.raises(BackendError) as raised:
        TimedCalls(10.0, LateLaunches(lambda name, request: None, 0.0)).run(fail)
    assert type(raised.value) is kind
