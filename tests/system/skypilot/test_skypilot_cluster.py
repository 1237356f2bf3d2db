"""Jobs that share one cluster on a real SkyPilot: one that the backend launches, and an existing one."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_clusterjobs.backends.protocol import BackendContext
from pytest_clusterjobs.backends.skypilot import TYPE
from pytest_clusterjobs.backends.skypilot.client import SkyPilotBackend
from pytest_clusterjobs.devclusters.skypilot import SkyPilotClient
from tests.backends.skypilot.recordings import Recorder
from tests.backends.skypilot.recordings import serving
from tests.backends.skypilot.recordings import talk_to
from tests.backends.skypilot.scenarios import CLUSTER
from tests.backends.skypilot.scenarios import IN_CLUSTER
from tests.backends.skypilot.scenarios import judged
from tests.backends.skypilot.scenarios import RUN
from tests.backends.skypilot.scenarios import SCENARIOS
from tests.backends.skypilot.scenarios import token_of
from tests.system.skypilot.watching import watch
from tests.system.skypilot.watching import Watched

pytestmark = [pytest.mark.system, pytest.mark.skypilot]

RECORDING = Path(__file__).parents[2] / "backends" / "skypilot" / "cluster.json"
WANTED = {name: SCENARIOS[name] for name in IN_CLUSTER}


def opened(server: SkyPilotClient, run_dir: Path, **settings: object) -> SkyPilotBackend:
    task = {"resources": {"infra": server.infra, "cpus": "1"}}
    backend = TYPE.open(
        BackendContext("skypilot", RUN, run_dir, run_dir, {**CLUSTER, "task": task, **settings})
    )
    assert isinstance(backend, SkyPilotBackend)
    return backend


@pytest.fixture(scope="module")
def watched(server: SkyPilotClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    recorder = Recorder(server.url)
    with pytest.MonkeyPatch.context() as patch, serving(recorder) as url:
        talk_to(patch, url, server.environment)
        backend = opened(server, tmp_path_factory.mktemp("run"))
        watched = watch(
            server,
            backend,
            WANTED,
            env={},
            at_once=len(WANTED),
            cancel=("cancel", CLUSTER["cluster"]["name"]),
        )
        watched.calls.update(f"{each.method} {each.path}" for each in recorder.kept)
        if os.environ.get("CLUSTERJOBS_RECORD"):
            recorder.save(RECORDING, {str(server.folder): "/server"})
        yield watched


@pytest.mark.parametrize("name", IN_CLUSTER)
def test_every_scenario_ends_as_expected(watched: Watched, name: str) -> None:
    scenario = SCENARIOS[name]
    end = watched.end(name)
    result = judged(scenario.spec(name, {}), end)
    assert (result.reason, result.exit_code) == (scenario.reason, scenario.exit_code), end
    assert end.cost is None, "jobs that share a cluster have no price"


def test_all_jobs_shared_one_cluster(watched: Watched) -> None:
    """One launch starts the cluster, and one call polls all jobs."""
    assert watched.calls["POST /launch"] + watched.calls["POST /exec"] == 1 + len(IN_CLUSTER)
    assert 0 < watched.calls["POST /queue"] <= watched.rounds


def test_logs_are_by_rank(watched: Watched) -> None:
    handle = watched.handles[token_of("both-complete")]
    chunks = [watched.backend.logs(handle, node=rank) for rank in (0, 1)]
    assert [chunk.text.splitlines()[0] for chunk in chunks] == ["rank 0 of 2", "rank 1 of 2"]


def test_a_cluster_that_the_backend_launched_goes_down_by_itself(
    watched: Watched, server: SkyPilotClient
) -> None:
    deadline = time.monotonic() + 300
    while "common" in server.slurm.run("squeue", "--noheader", "--format=%j"):
        assert time.monotonic() < deadline, "the idle cluster is still up"
        time.sleep(5.0)
    assert watched.backend.sweep(RUN) == {}


def test_an_existing_cluster_is_used_and_not_changed(
    server: SkyPilotClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk_to(monkeypatch, server.url, server.environment)
    place = ["--infra", server.infra, "--cpus", "8", "--num-nodes", "2"]
    server.run("launch", "--yes", "--detach-run", "--cluster", "own", *place, "true", timeout=600.0)
    before = _autostop(server)
    backend = opened(server, tmp_path, cluster={**CLUSTER["cluster"], "name": "own"})
    two = {name: SCENARIOS[name] for name in ("fails", "both-complete")}
    watched = watch(server, backend, two, env={}, at_once=2, cancel=())
    assert [judged(each.spec(name, {}), watched.end(name)).reason for name, each in two.items()] == [
        each.reason for each in two.values()
    ]
    assert _autostop(server) == before
    server.run("down", "--yes", "own", timeout=120.0)


def _autostop(server: SkyPilotClient) -> str:
    """The column AUTOSTOP."""
    (line,) = (line for line in server.run("status").splitlines() if line.startswith("own "))
    return [cell.strip() for cell in line.split("  ") if cell][4]
