"""Which cluster gets a job, and how: what is decided from its record. That it works is seen on a real SkyPilot, but for the
states that a Slurm of this machine never has (stopped, going down)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_clusterjobs.backends.protocol import BackendError
from pytest_clusterjobs.backends.protocol import SubmissionRejected
from pytest_clusterjobs.backends.protocol import Throttled
from pytest_clusterjobs.backends.skypilot.modes import kind_of
from pytest_clusterjobs.backends.skypilot.modes import ManagedJobs
from pytest_clusterjobs.backends.skypilot.modes import NotUp
from pytest_clusterjobs.backends.skypilot.sdk import QueuedJob
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
    """What SkyPilot tells of a cluster."""

    state: str
    autostop: int = -1
    to_down: bool = False

    @property
    def status(self) -> Any:
        return SimpleNamespace(value=self.state)


class ClusterNotUp(Exception):
    def __init__(self, state: str | None) -> None:
        super().__init__("not up")
        self.cluster_status = None if state is None else SimpleNamespace(value=state)


class Api:
    """Answers as SkyPilot's client does, and keeps what was asked for; a cluster that was launched comes up in the second look."""

    def __init__(self, record: Record | None, fails: str = "") -> None:
        self._record = record
        self._fails = fails
        self.requests: list[Any] = []
        """The live ones of others."""
        self.asked: list[tuple[str, Any, Mapping[str, Any]]] = []
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
        self.asked.append(("launch", task, given))
        self._record = self._record or (None if self._fails else Record("INIT"))
        return "request"

    def exec(self, task: Any, **given: Any) -> str:
        self.asked.append(("exec", task, given))
        return "request"


def asked(record: Record | None) -> list[tuple[str, Any, Mapping[str, Any]]]:
    api = Api(record)
    kind_of(SETTINGS).launch(api, "a job", "name")
    return api.asked


def test_a_cluster_that_is_not_there_is_brought_up_and_will_go_down() -> None:
    up, job = asked(None)
    assert up == (
        "launch",
        {"resources": {"infra": "k8s", "cpus": 8}, "num_nodes": 2},
        {"cluster_name": "c", "idle_minutes_to_autostop": 10, "down": True},
    )
    assert job[:2] == ("launch", "a job")
    assert job[2] == {"cluster_name": "c", "idle_minutes_to_autostop": 10, "down": True, "fast": True}


def test_one_that_comes_up_is_waited_for_and_keeps_its_time() -> None:
    [(call, _, given)] = asked(Record("INIT", autostop=45, to_down=True))
    assert (call, given["idle_minutes_to_autostop"], given["down"]) == ("launch", 45, True)


@pytest.mark.parametrize("record", [Record("UP"), Record("UP", autostop=45, to_down=True)])
def test_one_that_is_up_gets_a_job_and_nothing_else(record: Record) -> None:
    assert asked(record) == [("exec", "a job", {"cluster_name": "c"})]


@pytest.mark.parametrize(
    ("record", "error", "words"),
    [
        (Record("STOPPED"), SubmissionRejected, "cluster c is stopped: sky start c"),
        (Record("STOPPED", 10, to_down=True), SubmissionRejected, "cluster c is stopped"),
        (Record("AUTOSTOPPING"), SubmissionRejected, "cluster c is stopped"),
        (Record("AUTOSTOPPING", 10, to_down=True), Throttled, "cluster c is going down"),
        (Record("INIT"), Throttled, "cluster c is not up yet"),
    ],
)
def test_one_that_takes_no_jobs(record: Record, error: type[BackendError], words: str) -> None:
    api = Api(record)
    with pytest.raises(BackendError, match=words) as raised:
        kind_of(SETTINGS).launch(api, "a job", "name")
    assert type(raised.value) is error
    assert api.asked == []


def request(name: str, cluster: str = "c", status: str = "RUNNING") -> Any:
    return SimpleNamespace(name=name, cluster_name=cluster, status=status)


def test_one_that_somebody_has_just_asked_for_is_left_to_them() -> None:
    """A second launch would wait for theirs, and then set when their cluster goes down."""
    api = Api(None)
    api.requests = [request("launch")]
    with pytest.raises(Throttled, match="cluster c is not up yet"):
        kind_of(SETTINGS).launch(api, "a job", "name")
    assert api.asked == []


@pytest.mark.parametrize(
    "other", [request("launch", "d"), request("down"), request("launch", status="FAILED")]
)
def test_other_requests_bring_up_nothing(other: Any) -> None:
    api = Api(None)
    api.requests = [other]
    kind_of(SETTINGS).launch(api, "a job", "name")
    assert [call for call, *_ in api.asked] == ["launch", "launch"]


def test_one_that_is_gone_again_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api(None)
    monkeypatch.setattr(api, "status", lambda names: [])
    monkeypatch.setattr(
        api,
        "api_status",
        lambda **wanted: [request("launch", status="SUCCEEDED")] if "request_ids" in wanted else [],
    )
    with pytest.raises(BackendError, match="cluster c was up, and is gone again"):
        kind_of(SETTINGS).launch(api, "a job", "name")


def test_one_that_cannot_be_had_says_why() -> None:
    with pytest.raises(ValueError, match="no capacity"):
        kind_of(SETTINGS).launch(Api(None, fails="no capacity"), "a job", "name")


class Controller:
    """An API server whose jobs have a controller of their own, which starts when it is asked to."""

    exceptions = SimpleNamespace(ClusterNotUpError=ClusterNotUp)

    def __init__(self, state: str | None) -> None:
        self._state = state
        self.jobs = self

    def queue_v2(self, *, refresh: bool, **wanted: Any) -> bool:
        return refresh

    def get(self, refresh: bool) -> tuple[list[str]]:
        if self._state != "UP" and not (refresh and self._state == "STOPPED"):
            raise ClusterNotUp(self._state)
        return (["a job"],)


@pytest.mark.parametrize(("state", "jobs"), [("UP", ["a job"]), ("STOPPED", ["a job"]), (None, [])])
def test_a_controller_that_has_stopped_is_started_to_tell_of_its_jobs(
    state: str | None, jobs: list[str]
) -> None:
    assert list(ManagedJobs().queue(Controller(state), "cj", live=False)) == jobs


def test_one_that_comes_up_cannot_tell_yet() -> None:
    with pytest.raises(NotUp):
        ManagedJobs().queue(Controller("INIT"), "cj", live=False)


class Billed(ManagedJobs):
    def bills(self, sky: Any, days: int) -> list[Mapping[str, Any]]:
        assert days == 3
        return [
            {"name": "cj-20260101t000000-abc-6u-12", "total_cost": 0.25},
            {"name": "cj-20260101t000000-abc-bb-12", "total_cost": 0.5},
            {"name": "cj-20260101t000000-abc-bb-13", "total_cost": 0.0},
            {"name": "dev", "total_cost": 7.0},
        ]


def test_a_job_pays_for_all_its_clusters_and_for_nothing_else(sky: None) -> None:
    costs = Sky(Billed(), answer_timeout=10.0).costs(days=3)
    assert costs == {QueuedJob(12, f"cj-{RUN}-0123456789-a1", "SUCCEEDED").bill: 0.75}
