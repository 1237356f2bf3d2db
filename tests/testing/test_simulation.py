"""The simulation: its histories break no rule, and a seed replays them exactly."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields

import pytest

from pytest_clusterjobs.engine.outbox import Outbox
from pytest_clusterjobs.testing.simulation.__main__ import main
from pytest_clusterjobs.testing.simulation.faults import CALLS
from pytest_clusterjobs.testing.simulation.faults import JOB_FAULTS
from pytest_clusterjobs.testing.simulation.faults import LOG_FAULTS
from pytest_clusterjobs.testing.simulation.history import run
from pytest_clusterjobs.testing.simulation.network import ANSWER_KINDS
from pytest_clusterjobs.testing.simulation.plans import draw
from pytest_clusterjobs.testing.simulation.shrink import EVERYTHING
from pytest_clusterjobs.testing.simulation.shrink import Plan
from pytest_clusterjobs.testing.simulation.situations import Situation
from pytest_clusterjobs.testing.simulation.situations import SITUATIONS
from pytest_clusterjobs.testing.simulation.traits import Traits

KINDS = {kind for kind, _ in (*JOB_FAULTS, *LOG_FAULTS)}
COMMAND = [sys.executable, "-m", "pytest_clusterjobs.testing.simulation"]


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_histories_break_no_rule(first: int) -> None:
    broken = {}
    for seed in range(first, first + 50):
        violations = run(seed).violations
        if violations:
            broken[seed] = [str(each) for each in violations]
    assert broken == {}


def test_an_end_that_is_not_written_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Outbox, "observed", lambda outbox, token, seen, handle: None)
    violations = [violation for seed in range(3) for violation in run(seed).violations]
    assert any("is not in the next transaction" in violation.text for violation in violations)


def test_a_seed_gives_the_same_history_twice() -> None:
    for seed in range(20):
        first, second = run(seed), run(seed)
        assert first.digest() == second.digest()
        assert first.timeline == second.timeline


def test_a_history_does_not_depend_on_the_order_of_hashes() -> None:
    assert _digest("0") == _digest("12345")


def _digest(hash_seed: str) -> str:
    command = [*COMMAND, "--seeds", "0..19", "--hash"]
    env = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()[0]


def test_a_history_is_shown_with_its_events(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--seed", "3"])
    shown = capsys.readouterr().out
    assert "seed 3, " in shown
    assert "CellsAdded" in shown
    assert run(3).digest() in shown


def test_a_plan_keeps_some_cells_only() -> None:
    whole = next(each for each in map(run, range(20)) if len(each.cells) > 2)
    part = run(whole.seed, Plan(cells=(1,)))
    assert list(part.cells) == [1]
    assert part.cells[1] == whole.cells[1]


def test_a_plan_without_kinds_has_no_faults_of_the_cluster_and_its_network() -> None:
    history = next(
        each for each in map(run, range(50)) if any(k == "error_before" for k, _ in each.faults.values())
    )
    calm = run(history.seed, Plan(kinds=(), faults=()))
    assert not {"error_before", "throttled", "stale"} & {kind for kind, _ in calm.faults.values()}


def test_histories_are_neither_trivial_nor_all_disturbed() -> None:
    histories = [run(seed) for seed in range(60)]
    middle = len(histories) // 2
    assert sorted(len(each.cells) for each in histories)[middle] >= 3
    assert sorted(len(each.faults) for each in histories)[middle] >= 2
    assert sorted(each.events for each in histories)[middle] >= 40
    assert sum(each.faultless for each in histories) >= 6


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda each: each.name)
def test_a_situation_names_what_there_is(situation: Situation) -> None:
    assert {*situation.traits, *situation.spans} <= {each.name for each in fields(Traits)}
    assert {*situation.job_faults, *situation.log_faults} <= KINDS
    assert set(situation.answers) <= set(ANSWER_KINDS)
    assert set(situation.calls) <= set(CALLS)


def test_each_situation_happens_and_can_be_left_out() -> None:
    drawn = [draw(seed, EVERYTHING).situation for seed in range(600)]
    assert {each.name for each in drawn if each is not None} == {each.name for each in SITUATIONS}
    assert 0.2 < sum(each is not None for each in drawn) / len(drawn) < 0.35
    assert all(draw(seed, Plan(situation=False)).situation is None for seed in range(50))
