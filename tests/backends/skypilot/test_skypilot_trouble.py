"""An API server that does not answer as it should: asked again later, and never launched on twice."""

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
from pytest_clusterjobs.backends.skypilot.client import SkyPilotBackend
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
    """Does something else than it should with calls of some paths."""

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
    """The connection is cut before an answer."""
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
def test_a_server_in_trouble_is_no_jobs_death(
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
def test_a_launch_whose_answer_is_lost_is_found_and_made_once(
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


def test_a_launch_under_way_is_not_made_again_and_found_when_it_arrives(
    server: Faulty, backend: SkyPilotBackend
) -> None:
    server.faults["/jobs/launch"] = silence
    with pytest.raises(BackendError):
        backend.submit(JobSpec("exit 7", name="fails"), TOKEN)
    assert isinstance(backend.find(TOKEN), Unknown)
    with pytest.raises(BackendError, match="still under way"):
        backend.submit(JobSpec("exit 7", name="fails"), TOKEN)
    answers: list[object] = []
    while not answers or not isinstance(answers[-1], Found):
        answers.append(backend.find(TOKEN))
    assert NotSubmitted() not in answers
    assert server.calls.count("/jobs/launch") == 1


def test_a_launch_that_arrives_when_all_have_given_up_is_ended(
    server: Faulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_clusterjobs.backends.skypilot.sdk.LATE_LOOKS", (0.0,))
    server.faults["/jobs/launch"] = silence
    given_up = Sky(ManagedJobs(), answer_timeout=2.0, late_patience=0.1)
    with pytest.raises(BackendError, match="no answer"):
        given_up.launch({"name": TOKEN, "run": "true"}, {})
    until = time.monotonic() + 20
    while "/api/cancel" not in server.calls:
        assert time.monotonic() < until
        time.sleep(0.1)


def test_a_job_is_cancelled_by_its_name_never_by_a_number_from_elsewhere(
    server: Faulty, backend: SkyPilotBackend
) -> None:
    # As after a change to another server, where this number is somebody else's.
    backend.cancel({token_of("another"): Handle("2", {"token": token_of("another")})})
    assert "/jobs/cancel" not in server.calls


def test_a_run_whose_name_begins_alike_is_another(backend: SkyPilotBackend) -> None:
    assert [backend.sweep(RUN) for _ in range(5)][-1]
    assert backend.sweep(RUN.partition("-")[0]) == {}


def test_what_nobody_has_heard_of_was_not_launched(backend: SkyPilotBackend) -> None:
    assert backend.find(token_of("another")) == NotSubmitted()


def test_not_counted_while_the_server_is_down(server: Faulty, backend: SkyPilotBackend) -> None:
    server.faults["/jobs/queue/v2"] = nothing
    assert isinstance(backend.find(TOKEN), Unknown)


def test_a_task_that_skypilot_cannot_read_is_refused(backend: SkyPilotBackend) -> None:
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
def test_what_another_try_may_change_is_no_refusal(error: Exception | str, kind: type[BackendError]) -> None:
    from sky import exceptions

    def ask() -> None:
        raise getattr(exceptions, error)("unreachable") if isinstance(error, str) else error

    with pytest.raises(BackendError) as raised:
        Sky(ManagedJobs(), answer_timeout=10.0)._call(ask)
    assert type(raised.value) is kind
