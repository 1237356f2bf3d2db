"""Histories that once had a violation, each with what was wrong.

A change of the engine or of the simulation may give a seed another history. Where a fault can be shown
without a seed, tests/engine/test_core.py shows it as well.
"""

from __future__ import annotations

import pytest

from pytest_clusterjobs.testing.simulation.history import run

CAUSES: dict[int, str] = {
    3023: "a submission whose answer was lost was given up after five minutes in which each lookup failed",
    18127: "the reports of a preempted job ended it before the scheduler told the cause, so no retry followed",
    1765: "a resume did not count a rerun after a test's deadline",
}


@pytest.mark.parametrize("seed", CAUSES, ids=str)
def test_the_history_has_no_violation(seed: int) -> None:
    assert [str(each) for each in run(seed).violations] == [], CAUSES[seed]
