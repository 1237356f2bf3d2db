"""How jobs end on a real SkyPilot. Several are launched at once and watched together: each takes a minute or two."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_clusterjobs.backends.protocol import BackendContext
from pytest_clusterjobs.backends.protocol import BackendError
from pytest_clusterjobs.backends.skypilot import TYPE
from pytest_clusterjobs.backends.skypilot.client import SkyPilotBackend
from pytest_clusterjobs.jobs import Handle
from pytest_clusterjobs.jobs import JobSpec
from pytest_clusterjobs.jobs import Observation
from pytest_clusterjobs.jobs import Phase
from pytest_clusterjobs.testing.skypilot import SkyPilotClient
from tests.backends.skypilot.recordings import Recorder
from tests.backends.skypilot.recordings import serving
from tests.backends.skypilot.recordings import talk_to
from tests.backends.skypilot.scenarios import judged
from tests.backends.skypilot.scenarios import RUN
from tests.backends.skypilot.scenarios import SCENARIOS
from tests.backends.skypilot.scenarios import token_of

pytestmark = [pytest.mark.system, pytest.mark.skypilot]

RECORDING = Path(__file__).parents[2] / "backends" / "skypilot" / "ends.json"
MINUTES = 25 * 60.0
AT_ONCE = 4
"""Clusters at once: each starts dozens of Pythons that import SkyPilot, for some seconds of processor time each."""


@dataclass
class Watched:
    """What became of all jobs."""

    backend: SkyPilotBackend
    handles: dict[str, Handle]
    seen: dict[str, list[Observation]]
    rounds: int
    calls: Counter[str]

    def end(self, name: str) -> Observation:
        return self.seen[token_of(name)][-1]


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
        specs = {
            token_of(name): replace(scenario.spec(name, {}), env={"SHARED": str(shared)})
            for name, scenario in SCENARIOS.items()
        }
        watched = _watch(server, backend, specs)
        watched.calls.update(f"{each.method} {each.path}" for each in recorder.kept)
        if os.environ.get("CLUSTERJOBS_RECORD"):
            recorder.save(RECORDING, {str(server.folder): "/server", str(shared): "/shared"})
        yield watched


def _watch(server: SkyPilotClient, backend: SkyPilotBackend, specs: dict[str, JobSpec]) -> Watched:
    """Submit and poll as a run does, and do the harm that the scenarios ask for."""
    waiting = dict(specs)
    handles: dict[str, Handle] = {}
    seen: dict[str, list[Observation]] = {token: [] for token in specs}
    harms = {token_of(name): scenario.harm for name, scenario in SCENARIOS.items() if scenario.harm}
    deadline = time.monotonic() + MINUTES
    rounds = 0
    while waiting or any(not _has_ended(seen[token]) for token in handles):
        live = {token: handles[token] for token in handles if not _has_ended(seen[token])}
        assert time.monotonic() < deadline, [(token, seen[token][-1:]) for token in live]
        while waiting and len(live) < AT_ONCE:
            token, spec = next(iter(waiting.items()))
            del waiting[token]
            live[token] = handles[token] = backend.submit(spec, token)
        try:
            answer = backend.poll(live)
        except BackendError as error:
            print(f"asked again: {error}")
            answer = {}
        rounds += 1
        for token, observation in answer.items():
            handles[token] = observation.handle or handles[token]
            if observation not in seen[token][-1:]:
                seen[token].append(observation)
                print(f"{time.monotonic() - deadline + MINUTES:5.0f} s", specs[token].name, observation)
            if observation.phase is Phase.RUNNING and token in harms:
                _harm(server, harms.pop(token), str(handles[token].job_id))
        time.sleep(backend.capabilities.min_poll_interval)
    return Watched(backend, handles, seen, rounds, Counter())


def _has_ended(seen: list[Observation]) -> bool:
    return bool(seen) and seen[-1].phase is Phase.ENDED


def _harm(server: SkyPilotClient, harm: str, job_id: str) -> None:
    if harm == "cancel":
        server.run("jobs", "cancel", "--yes", job_id)
        return
    for line in server.slurm.run("squeue", "--noheader", "--format=%i %j").splitlines():
        number, _, name = line.partition(" ")
        if f"-{job_id}-" in name:
            server.slurm.run("scancel", number)


@pytest.mark.parametrize("name", SCENARIOS)
def test_ends(watched: Watched, name: str) -> None:
    scenario = SCENARIOS[name]
    end = watched.end(name)
    result = judged(scenario.spec(name, {}), end)
    assert (result.reason, result.exit_code) == (scenario.reason, scenario.exit_code), end
    assert end.restarts == scenario.restarts, end
    assert end.log_complete


def test_one_call_a_round_asks_about_all_jobs(watched: Watched) -> None:
    """The launches' requests are asked about as well until each has its job."""
    assert 0 < watched.calls["POST /jobs/queue/v2"] <= watched.rounds


def test_ids_are_those_of_the_names(watched: Watched) -> None:
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


def test_what_a_job_prints_is_what_is_read(watched: Watched) -> None:
    handle = watched.handles[token_of("completes")]
    text = watched.backend.logs(handle).text
    assert text.startswith("hello\none\n"), text
    assert watched.backend.logs(handle, tail=10).text == text[-10:]


def test_what_has_ended_is_found_and_leaves_nothing(watched: Watched, server: SkyPilotClient) -> None:
    found = watched.backend.find(token_of("fails"))
    assert found.handle.job_id == watched.handles[token_of("fails")].job_id  # type: ignore[union-attr]
    assert watched.backend.sweep(RUN) == {}
    watched.backend.cancel(watched.handles)
    assert server.slurm.run("squeue", "--noheader") == ""
