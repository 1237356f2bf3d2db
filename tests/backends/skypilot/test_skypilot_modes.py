"""The calls for each state of a cluster.

The system tests use a real SkyPilot, whose Slurm has no clusters that are stopped or going down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_clusterjobs.backends.protocol import BackendError
from pytest_clusterjobs.backends.protocol import SubmissionRejected
from pytest_clusterjobs.backends.protocol import Throttled
from pytest_clusterjobs.backends.skypilot.modes import ClusterNotUp
from pytest_clusterjobs.backends.skypilot.modes import ManagedJobs
from pytest_clusterjobs.backends.skypilot.modes import mode_of
from pytest_clusterjobs.backends.skypilot.records import QueuedJob
from pytest_clusterjobs.backends.skypilot.sdk import Sky
from pytest_clusterjobs.backends.skypilot.settings import OneCluster
from pytest_clusterjobs.backends.skypilot.settings import SkyPilotSettings
from tests.backends.skypilot.scenarios import RUN

SETTINGS = SkyPilotSettings(
    task={"resources": {"infra": "k8s", "cpus": 1}},
    mode="cluster",
    cluster=OneCluster(name="c", nodes=2, resources={"cpus": 8}),
)


@dataclass
class Record:
    """SkyPilot's record of a cluster."""

    state: str
    autostop: int = -1
    to_down: bool = False

    @property
    def status(self) -> Any:
        return SimpleNamespace(value=self.state)


class ClusterNotUpError(Exception):
    def __init__(self, state: str | None) -> None:
        super().__init__("not up")
        self.cluster_status = None if state is None else SimpleNamespace(value=state)


class Api:
    """Responds like SkyPilot's client and records the calls. A launched cluster is up at the second check."""

    def __init__(self, record: Record | None, fails: str = "") -> None:
        self._record = record
        self._fails = fails
        self.requests: list[Any] = []
        """Live requests of other processes."""
        self.launched: list[tuple[str, Any, Mapping[str, Any]]] = []
        self.Task = SimpleNamespace(from_yaml_config=lambda config: config)

    def get(self, request: Any) -> Any:
        if request == "request" and self._fails:
            raise ValueError(self._fails)
        return request

    def status(self, names: list[str]) -> list[Record]:
        assert names == ["c"]
        return [self._record] if self._record else []

    def api_status(self, **wanted: Any) -> list[Any]:
        if "request_ids" not in wanted:
            return self.requests
        return [SimpleNamespace(status="FAILED" if self._fails else "RUNNING")]

    def launch(self, task: Any, **given: Any) -> str:
        self.launched.append(("launch", task, given))
        self._record = self._record or (None if self._fails else Record("INIT"))
        return "request"

    def exec(self, task: Any, **given: Any) -> str:
        self.launched.append(("exec", task, given))
        return "request"


def launched_on(record: Record | None) -> list[tuple[str, Any, Mapping[str, Any]]]:
    api = Api(record)
    mode_of(SETTINGS).launch(api, "a job", "name")
    return api.launched


def test_a_missing_cluster_is_started_and_goes_down_when_idle() -> None:
    up, job = launched_on(None)
    assert up == (
        "launch",
        {"resources": {"infra": "k8s", "cpus": 8}, "num_nodes": 2},
        {"cluster_name": "c", "idle_minutes_to_autostop": 10, "down": True},
    )
    assert job[:2] == ("launch", "a job")
    assert job[2] == {"cluster_name": "c", "idle_minutes_to_autostop": 10, "down": True, "fast": True}


def test_a_starting_cluster_keeps_its_idle_time() -> None:
    [(call, _, given)] = launched_on(Record("INIT", autostop=45, to_down=True))
    assert (call, given["idle_minutes_to_autostop"], given["down"]) == ("launch", 45, True)


@pytest.mark.parametrize("record", [Record("UP"), Record("UP", autostop=45, to_down=True)])
def test_a_running_cluster_only_gets_the_job(record: Record) -> None:
    assert launched_on(record) == [("exec", "a job", {"cluster_name": "c"})]


@pytest.mark.parametrize(
    ("record", "error", "message"),
    [
        (Record("STOPPED"), SubmissionRejected, "cluster c is stopped: run `sky start c`"),
        (Record("STOPPED", 10, to_down=True), SubmissionRejected, "cluster c is stopped"),
        (Record("AUTOSTOPPING"), SubmissionRejected, "cluster c is stopped"),
        (Record("AUTOSTOPPING", 10, to_down=True), Throttled, "cluster c is going down"),
        (Record("INIT"), Throttled, "cluster c is not up yet"),
    ],
)
def test_a_cluster_that_accepts_no_jobs(record: Record, error: type[BackendError], message: str) -> None:
    api = Api(record)
    with pytest.raises(BackendError, match=message) as raised:
        mode_of(SETTINGS).launch(api, "a job", "name")
    assert type(raised.value) is error
    assert api.launched == []


def request(name: str, cluster: str = "c", status: str = "RUNNING") -> Any:
    return SimpleNamespace(name=name, cluster_name=cluster, status=status)


def test_a_cluster_that_another_launch_requested_is_not_started() -> None:
    """A second launch would wait for the first, and then change when that cluster goes down."""
    api = Api(None)
    api.requests = [request("launch")]
    with pytest.raises(Throttled, match="cluster c is not up yet"):
        mode_of(SETTINGS).launch(api, "a job", "name")
    assert api.launched == []


@pytest.mark.parametrize(
    "other", [request("launch", "d"), request("down"), request("launch", status="FAILED")]
)
def test_other_requests_do_not_start_the_cluster(other: Any) -> None:
    api = Api(None)
    api.requests = [other]
    mode_of(SETTINGS).launch(api, "a job", "name")
    assert [call for call, *_ in api.launched] == ["launch", "launch"]


def test_a_cluster_that_disappears_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api(None)
    monkeypatch.setattr(api, "status", lambda names: [])
    monkeypatch.setattr(
        api,
        "api_status",
        lambda **wanted: [request("launch", status="SUCCEEDED")] if "request_ids" in wanted else [],
    )
    with pytest.raises(BackendError, match="cluster c was started and has disappeared"):
        mode_of(SETTINGS).launch(api, "a job", "name")


def test_a_cluster_that_cannot_be_started_raises_the_reason() -> None:
    with pytest.raises(ValueError, match="no capacity"):
        mode_of(SETTINGS).launch(Api(None, fails="no capacity"), "a job", "name")


class Controller:
    """An API server with a jobs controller on a cluster of its own, which a refresh starts."""

    exceptions = SimpleNamespace(ClusterNotUpError=ClusterNotUpError)

    def __init__(self, state: str | None) -> None:
        self._state = state
        self.jobs = self

    def queue_v2(self, *, refresh: bool, **wanted: Any) -> bool:
        return refresh

    def get(self, refresh: bool) -> tuple[list[str]]:
        if self._state != "UP" and not (refresh and self._state == "STOPPED"):
            raise ClusterNotUpError(self._state)
        return (["a job"],)


@pytest.mark.parametrize(("state", "jobs"), [("UP", ["a job"]), ("STOPPED", ["a job"]), (None, [])])
def test_a_stopped_controller_is_started_to_report_its_jobs(state: str | None, jobs: list[str]) -> None:
    assert list(ManagedJobs().queue(Controller(state), "cj", live=False)) == jobs


def test_a_starting_controller_cannot_report_its_jobs() -> None:
    with pytest.raises(ClusterNotUp):
        ManagedJobs().queue(Controller("INIT"), "cj", live=False)


class Billed(ManagedJobs):
    def costs(self, sky: Any, days: int) -> list[Mapping[str, Any]]:
        assert days == 3
        return [
            {"name": "cj-20260101t000000-abc-6u-12", "total_cost": 0.25},
            {"name": "cj-20260101t000000-abc-bb-12", "total_cost": 0.5},
            {"name": "cj-20260101t000000-abc-bb-13", "total_cost": 0.0},
            {"name": "dev", "total_cost": 7.0},
        ]


def test_the_cost_of_a_job_is_that_of_all_its_clusters(sky: None) -> None:
    costs = Sky(Billed(), response_timeout=10.0).costs(days=3)
    assert costs == {QueuedJob(12, f"cj-{RUN}-0123456789-a1", "SUCCEEDED").cost_key: 0.75}
