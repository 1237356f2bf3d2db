"""Histories that once had a violation, each with what was wrong.

A change of the engine or of the simulation may give a seed another history. Where a fault can be shown
without a seed, tests/engine/test_core.py shows it as well.
"""

from __future__ import annotations

import pytest

from pytest_clusterjobs.testing.simulation.history import run

CAUSES: dict[int, str] = {
    3023: "a submission whose answer was lost was given up after five minutes in which each lookup failed",
    18127: "the reports of a preempted job ended it before the scheduler reported the cause, so no retry followed",
    1765: "a resume did not count a rerun after a test's deadline",
    1872: "the records of a first start counted as the end of the second one, which had run",
    2224: "a job that the list showed before its submission was answered was cancelled as a second one",
    3422: "an absent job was judged by its first start, while its second one ran",
    7459: "one absence and a log read that took minutes counted as an absence of five minutes",
    18264: "an absent job whose logs could not be read was never lost while calls failed in between",
    2199: "two jobs whose submissions had failed made each other's queue_timeout wait for ever",
    5405: "the records of a first start counted as the end of a job that waited for its second one",
    9008: "a cell that was cancelled while a resume looked for its job was submitted",
    12070: "two waits of a job with a short start between them counted as one, up to queue_timeout",
    16449: "queue_timeout counted from an intent whose submission arrived much later",
    17064: "a cancelled submission that no lookup could decide was looked up for ever",
    18555: "a reason why a pending job could never start outlived the records of its start",
    19893: "an attempt that was withdrawn while a hook was asked lost the time by which it must answer",
    308135: "a check counted the time in which a job had been suspended as run time, and ended it",
    208872088: "time in which a job was not shown counted as run time, although it was started again",
    208872189: "a job that was not visible yet was judged by records that do not tell which rank was the first",
}


@pytest.mark.parametrize("seed", CAUSES, ids=str)
def test_the_history_has_no_violation(seed: int) -> None:
    assert [str(each) for each in run(seed).violations] == [], CAUSES[seed]
