"""Jobs of one cluster, by SkyPilot's real client, and what a real server answered it.

``cluster.json`` was taken down by tests/system/skypilot/test_skypilot_cluster.py with CLUSTERJOBS_RECORD=1; README.md
says what was changed since.
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
def test_ends(replayed: Replayed, name: str) -> None:
    scenario = SCENARIOS[name]
    end = replayed.seen[token_of(name)][-1]
    result = judged(scenario.spec(name, {}), end)
    assert (result.reason, result.exit_code) == (scenario.reason, scenario.exit_code), end


def test_a_cluster_is_brought_up_once(replayed: Replayed) -> None:
    assert replayed.calls.count("/launch") + replayed.calls.count("/exec") == 1 + len(IN_CLUSTER)
    assert replayed.calls.count("/queue") == replayed.rounds
