"""Histories that once had a violation, each with what was wrong.

A change of the engine or of the simulation may give a seed another history. Where a fault can be shown
without a seed, tests/engine/test_core.py shows it as well.
"""

from __future__ import annotations

import pytest

from pytest_clusterjobs.testing.simulation.history import run
from pytest_clusterjobs.testing.simulation.shrink import Plan

WITHOUT_SITUATIONS = Plan(situation=False)

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
    300290: "a job that was not shown was stopped for a failed rank of a start that was over",
    313231: "an error because of a late hook hid that the job might still run",
    315697: "a kill judged a job whose other ranks had been stopped without reading its logs",
    316874: "the records of two starts, some of them from earlier polls, counted as one end",
    320752: "old answers put off the stop of the ranks that outlived a failed one",
    325957: "a limit that was not reached hid that the job had run out of memory",
    326534: "of two ranks that had failed, the lower one counted, not the one that ran for a shorter time",
    337356: "a reason that only the log of a job without a report had met the expectation",
    340394: "a poll that failed made a cancel overtake the record of its action",
    347300: "an old answer made a job time out in the queue that had started long before",
    355173: "a job that was suspended right after its start counted as pending since its submission",
    435785: "the token of an attempt that a stopped session could still submit was used again",
    449620: "a single list that lacked a cancelled job counted as its end",
    462960: "a superseded session that ended released the run that another session owned",
    467015: "the action on a withdrawn attempt counted for the next one with its token",
    309771: "a session that was stopped for an hour took that for silence of the cluster",
    1104413: "one answer that the cluster cannot tell, and an outage of five minutes, made a job lost",
    1215476: "a suspension during an outage counted as run time, and the job was ended for it",
    2007054: "the cancel of this run counted as one by another program, which the cell expected",
    3024571: "a job that waited to be started again was judged by the start before when it vanished",
    4022254: "a log that could not be read put off the poll that would have shown an end",
    5009231: "a suspension and the wait for another start counted as one wait, up to queue_timeout",
    5483: "one answer that the cluster cannot tell, with no other lookup after it, made a submission lost",
    308135: "a check counted the time in which a job had been suspended as run time, and ended it",
    208872088: "time in which a job was not shown counted as run time, although it was started again",
    208872189: "a job that was not visible yet was judged by records that do not tell which rank was the first",
}
"""Found before histories had situations; what these have shown are tests of the core."""


@pytest.mark.parametrize("seed", CAUSES, ids=str)
def test_the_history_has_no_violation(seed: int) -> None:
    assert [str(each) for each in run(seed, WITHOUT_SITUATIONS).violations] == [], CAUSES[seed]
