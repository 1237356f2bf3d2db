"""SkyPilot's real client, and what a real server answered it: the mapping, fast.

``ends.json`` was taken down by tests/system/skypilot/test_skypilot_ends.py with CLUSTERJOBS_RECORD=1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_clusterjobs.backends.protocol import BackendContext
from pytest_clusterjobs.backends.skypilot import TYPE
from pytest_clusterjobs.jobs import Handle
from pytest_clusterjobs.jobs import Observation
from pytest_clusterjobs.jobs import Phase
from tests.backends.skypilot.recordings import Replay
from tests.backends.skypilot.recordings import serving
from tests.backends.skypilot.recordings import talk_to
from tests.backends.skypilot.scenarios import judged
from tests.backends.skypilot.scenarios import RUN
from tests.backends.skypilot.scenarios import SCENARIOS
from tests.backends.skypilot.scenarios import token_of

pytestmark = pytest.mark.usefixtures("sky")

ROUNDS = 300


@dataclass(frozen=True)
class Replayed:
    """What a backend saw of all jobs."""

    seen: dict[str, list[Observation]]
    calls: list[str]
    rounds: int


@pytest.fixture(scope="module")
def replayed(sky: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replayed]:
    replay = Replay(Path(__file__).with_name("ends.json"))
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch, serving(replay) as url:
        talk_to(patch, url, {"HOME": str(tmp_path_factory.mktemp("home"))})
        backend = TYPE.open(
            BackendContext("skypilot", RUN, folder, folder, {"find_settle": 0.0, "teardown": 3600})
        )
        handles: dict[str, Handle] = {
            token_of(name): backend.submit(scenario.spec(name, {}), token_of(name))
            for name, scenario in SCENARIOS.items()
        }
        seen: dict[str, list[Observation]] = {token: [] for token in handles}
        live, rounds = dict(handles), 0
        while live and rounds < ROUNDS:
            rounds += 1
            for token, observation in backend.poll(live).items():
                seen[token].append(observation)
                live[token] = observation.handle or live[token]
                if observation.phase is Phase.ENDED:
                    del live[token]
        assert not live, {token: seen[token][-1:] for token in live}
        yield Replayed(seen, replay.calls, rounds)


@pytest.mark.parametrize("name", SCENARIOS)
def test_ends(replayed: Replayed, name: str) -> None:
    scenario = SCENARIOS[name]
    end = replayed.seen[token_of(name)][-1]
    result = judged(scenario.spec(name, {}), end)
    assert (result.reason, result.exit_code) == (scenario.reason, scenario.exit_code), end
    assert end.restarts == scenario.restarts


def test_a_round_is_one_question(replayed: Replayed) -> None:
    assert replayed.calls.count("/jobs/queue/v2") == replayed.rounds


def test_a_recovery_is_seen(replayed: Replayed) -> None:
    states = [seen.native_state.partition(" ")[0] for seen in replayed.seen[token_of("preempted")]]
    assert "RECOVERING" in states


def test_a_job_whose_cluster_goes_down_is_not_running(replayed: Replayed) -> None:
    """Or a limit of running ones would strike it."""
    running = [each for seen in replayed.seen.values() for each in seen if each.phase is Phase.RUNNING]
    assert running
    assert not [each for each in running if each.native_state.startswith(("SUCCEEDED", "FAILED"))]
