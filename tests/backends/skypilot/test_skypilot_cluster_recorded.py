"""The outcomes of jobs of one cluster, from recorded responses of a real server.

``cluster.json`` was recorded by tests/system/skypilot/test_skypilot_cluster.py
with CLUSTERJOBS_RECORD=1; README.md lists later changes.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.backends.skypilot.replaying import Replayed
from tests.backends.skypilot.replaying import replayed_of
from tests.backends.skypilot.scenarios import CLUSTER
from tests.backends.skypilot.scenarios import IN_CLUSTER
from tests.backends.skypilot.scenarios import judged
from tests.backends.skypilot.scenarios import SCENARIOS
from tests.backends.skypilot.scenarios import token_of

pytestmark = pytest.mark.usefixtures("sky")


@pytest.fixture(scope="module")
def replayed(sky: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replayed]:
    with pytest.MonkeyPatch.context() as patch:
        wanted = {name: SCENARIOS[name] for name in IN_CLUSTER}
        folder = tmp_path_factory.mktemp("run")
        yield replayed_of("cluster.json", wanted, CLUSTER, folder, patch)


@pytest.mark.parametrize("name", IN_CLUSTER)
def test_the_end_of_each_scenario(replayed: Replayed, name: str) -> None:
    scenario = SCENARIOS[name]
    end = replayed.seen[token_of(name)][-1]
    result = judged(scenario.spec(name, {}), end)
    assert (result.reason, result.exit_code) == (scenario.reason, scenario.exit_code), end


def test_a_cluster_is_started_once(replayed: Replayed) -> None:
    assert replayed.calls.count("/launch") + replayed.calls.count("/exec") == 1 + len(IN_CLUSTER)
    assert replayed.calls.count("/queue") == replayed.rounds
