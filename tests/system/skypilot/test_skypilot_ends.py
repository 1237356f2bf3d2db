"""Ends of jobs on a real SkyPilot.

They are launched at once and polled together: each takes a minute or two.
"""

from __future__ import annotations

import os
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
from tests.backends.skypilot.scenarios import judged
from tests.backends.skypilot.scenarios import RUN
from tests.backends.skypilot.scenarios import SCENARIOS
from tests.backends.skypilot.scenarios import token_of
from tests.system.skypilot.watching import watch
from tests.system.skypilot.watching import Watched

pytestmark = [pytest.mark.system, pytest.mark.skypilot]

RECORDING = Path(__file__).parents[2] / "backends" / "skypilot" / "ends.json"
AT_ONCE = 4
"""Clusters at once: each starts dozens of Pythons that import SkyPilot, for some seconds of processor time
each."""


@pytest.fixture(scope="module")
def watched(server: SkyPilotClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    shared = tmp_path_factory.mktemp("shared")
    recorder = Recorder(server.url)
    with pytest.MonkeyPatch.context() as patch, serving(recorder) as url:
        talk_to(patch, url, server.environment)
        run_dir = tmp_path_factory.mktemp("run")
        task = {"resources": {"infra": server.infra, "cpus": "1"}}
        context = BackendContext("skypilot", RUN, run_dir, run_dir, {"task": task})
        backend = TYPE.open(context)
        assert isinstance(backend, SkyPilotBackend)
        watched = watch(
            server,
            backend,
            SCENARIOS,
            env={"SHARED": str(shared)},
            at_once=AT_ONCE,
            cancel=("jobs", "cancel"),
        )
        watched.calls.update(f"{each.method} {each.path}" for each in recorder.kept)
        if os.environ.get("CLUSTERJOBS_RECORD"):
            recorder.save(RECORDING, {str(server.folder): "/server", str(shared): "/shared"})
        yield watched


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_ends_as_expected(watched: Watched, name: str) -> None:
    scenario = SCENARIOS[name]
    end = watched.end(name)
    result = judged(scenario.spec(name, {}), end)
    assert (result.reason, result.exit_code) == (scenario.reason, scenario.exit_code), end
    assert end.restarts == scenario.restarts, end
    assert end.log_complete


def test_one_call_polls_all_jobs(watched: Watched) -> None:
    """Launch requests are polled as well, until each has its job."""
    assert 0 < watched.calls["POST /jobs/queue/v2"] <= watched.rounds


def test_ids_belong_to_the_names(watched: Watched) -> None:
    assert all(handle.job_id for handle in watched.handles.values())
    assert len({handle.job_id for handle in watched.handles.values()}) == len(SCENARIOS)


def test_logs_are_by_rank(watched: Watched) -> None:
    handle = watched.handles[token_of("both-complete")]
    chunks = [watched.backend.logs(handle, node=rank) for rank in (0, 1)]
    assert [chunk.text.splitlines()[0] for chunk in chunks] == ["rank 0 of 2", "rank 1 of 2"]
    assert all(chunk.complete for chunk in chunks)


def test_logs_are_by_start(watched: Watched) -> None:
    handle = watched.handles[token_of("restarts")]
    first, second = (watched.backend.logs(handle, restart=restart).text for restart in (0, 1))
    assert first.splitlines()[0] == "start 0"
    assert second.splitlines()[0] == "start 1"


def test_a_log_has_what_the_job_printed(watched: Watched) -> None:
    handle = watched.handles[token_of("completes")]
    text = watched.backend.logs(handle).text
    assert text.startswith("hello\none\n"), text
    assert watched.backend.logs(handle, tail=10).text == text[-10:]


def test_an_ended_job_is_found_and_leaves_nothing(watched: Watched, server: SkyPilotClient) -> None:
    found = watched.backend.find(token_of("fails"))
    assert found.handle.job_id == watched.handles[token_of("fails")].job_id  # type: ignore[union-attr]
    assert watched.backend.sweep(RUN) == {}
    watched.backend.cancel(watched.handles)
    assert server.slurm.run("squeue", "--noheader") == ""


def test_a_job_that_ran_has_its_price(watched: Watched) -> None:
    """With the simulated prices of the Slurm on this machine; a job that starts twice costs both."""
    assert watched.end("infeasible").cost is None
    costs = {name: watched.end(name).cost for name in ("completes", "both-complete", "restarts")}
    assert all(cost is not None and 0 < cost < 0.1 for cost in costs.values()), costs
