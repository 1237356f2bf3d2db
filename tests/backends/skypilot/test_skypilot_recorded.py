"""The outcomes of recorded responses of a real server, read by SkyPilot's real client.

``ends.json`` was recorded by tests/system/skypilot/test_skypilot_ends.py
with CLUSTERJOBS_RECORD=1; README.md lists later changes.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_clusterjobs.model import Phase
from tests.backends.skypilot.replaying import Replayed
from tests.backends.skypilot.replaying import replayed_of
from tests.backends.skypilot.scenarios import judged
from tests.backends.skypilot.scenarios import SCENARIOS
from tests.backends.skypilot.scenarios import token_of

pytestmark = pytest.mark.usefixtures("sky")


@pytest.fixture(scope="module")
def replayed(sky: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replayed]:
    with pytest.MonkeyPatch.context() as patch:
        yield replayed_of("ends.json", SCENARIOS, {}, tmp_path_factory.mktemp("run"), patch)


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_end_of_each_scenario(replayed: Replayed, name: str) -> None:
    scenario = SCENARIOS[name]
    end = replayed.seen[token_of(name)][-1]
    result = judged(scenario.spec(name, {}), end)
    assert (result.reason, result.exit_code) == (scenario.reason, scenario.exit_code), end
    assert end.restarts == scenario.restarts


def test_each_rank_that_ran_shows_that_its_command_began(replayed: Replayed) -> None:
    ends = {name: replayed.seen[token_of(name)][-1] for name in SCENARIOS}
    began = {
        name: [node.begun if node.report is None else node.report.begun for node in end.nodes]
        for name, end in ends.items()
    }
    assert began["setup-fails"] == [False]
    assert began["rank-1-fails"] == began["both-complete"] == [True, True]
    for name in (
        "completes",
        "fails",
        "dies",
        "too-long",
        "silent",
        "restarts",
        "too-long-twice",
        "preempted",
    ):
        assert began[name] == [True], name
    assert not any(node.unread for end in ends.values() for node in end.nodes)


def test_a_round_of_polling_is_one_call(replayed: Replayed) -> None:
    assert replayed.calls.count("/jobs/queue/v2") == replayed.rounds


def test_a_recovery_is_observed(replayed: Replayed) -> None:
    states = [seen.native_state.partition(" ")[0] for seen in replayed.seen[token_of("preempted")]]
    assert "RECOVERING" in states


def test_a_job_whose_cluster_goes_down_is_not_running(replayed: Replayed) -> None:
    """Otherwise a limit of running jobs would apply to it."""
    running = [each for seen in replayed.seen.values() for each in seen if each.phase is Phase.RUNNING]
    assert running
    assert not [each for each in running if each.native_state.startswith(("SUCCEEDED", "FAILED"))]
