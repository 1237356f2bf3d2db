"""Reading the output of squeue and sacct, taken from a real Slurm 22.05."""

from __future__ import annotations

from pytest_clusterjobs.backends.command_line import parse_time
from pytest_clusterjobs.backends.command_line import QueueRow
from pytest_clusterjobs.backends.slurm.queue import sacct_rows
from pytest_clusterjobs.backends.slurm.queue import squeue_rows
from pytest_clusterjobs.model import Phase
from pytest_clusterjobs.model import Reason

TOKEN = "cj-20261124t055102-9278aa-8577e2cf4d-a1"


def squeue_row(line: str) -> QueueRow | None:
    return next(squeue_rows([line]), None)


def sacct_row(line: str) -> QueueRow | None:
    return next(sacct_rows([line]), None)


def test_a_job_that_failed() -> None:
    line = f"39|39|FAILED|768|0|0|1795499462|1795499463|1795499463|node1|{TOKEN}|NonZeroExitCode|"
    row = squeue_row(line)
    assert row == QueueRow(
        job_id="39",
        name=TOKEN,
        phase=Phase.ENDED,
        state="FAILED",
        reason="NonZeroExitCode",
        exit_code=3,
        submitted=1795499462.0,
        started=1795499463.0,
        ended=1795499463.0,
    )


def test_a_pending_job_has_no_start() -> None:
    row = squeue_row(f"3|3|PENDING|0|0|0|1795498213|N/A|N/A||{TOKEN}|JobHeldUser|")
    assert row is not None
    assert (row.phase, row.started, row.reason) == (Phase.PENDING, None, "JobHeldUser")
    # With BeginTime the start is the one that is planned.
    row = squeue_row(f"3|3|PENDING|0|0|1|1795498213|1795498400|N/A||{TOKEN}|BeginTime|")
    assert row is not None and (row.started, row.restarts) == (None, 1)


def test_a_job_cancelled_before_its_start_has_no_start() -> None:
    row = squeue_row(f"4|4|CANCELLED|0|0|0|1795498213|1795498220|1795498220||{TOKEN}|PartitionNodeLimit|")
    assert row is not None and (row.phase, row.started, row.ended) == (Phase.ENDED, None, 1795498220.0)


def test_a_reason_may_contain_separators_and_other_lines_are_left_out() -> None:
    row = squeue_row(f"4|4|PENDING|0|0|0|1|N/A|N/A||{TOKEN}|a | b, c|")
    assert row is not None and row.reason == "a | b, c"
    assert squeue_row("") is None
    assert squeue_row("a name with a|") is None
    assert squeue_row("line|break|in|it|0|0|1|2|3|4|5|6|") is None


def test_tasks_of_an_array_are_one_job() -> None:
    row = squeue_row(f"6|5|RUNNING|0|0|0|1795498213|1795498213|1795498813|node1|{TOKEN}|None|")
    assert row is not None and (row.job_id, row.reason) == ("5", "")
    row = sacct_row(f"7|5_2|COMPLETED|0:0|0:0|1795498213|1795498213|1795498213|node1|{TOKEN}|None")
    assert row is not None and row.job_id == "5"


def test_the_accounts_of_a_job() -> None:
    line = f"9|9|CANCELLED by 0|0:0|0:15|1795498498|1795498499|1795498500|node[1-3]|{TOKEN}|None"
    row = sacct_row(line)
    assert row is not None
    assert (row.job_id, row.phase, row.state) == ("9", Phase.ENDED, "CANCELLED by 0")
    assert (row.hint, row.started) == (Reason.CANCELLED, 1795498499.0)
    row = sacct_row(f"10|10|CANCELLED by 0|0:0|0:0|1795498498|None|1795498500|None assigned|{TOKEN}|None")
    assert row is not None and row.started is None
    assert sacct_row("9.batch|9.batch|COMPLETED|0:0||1|1|1|node1|batch|") is None


def test_times_are_epoch_seconds_or_utc() -> None:
    assert parse_time("2026-11-24T05:30:13") == 1795498213.0 == parse_time("1795498213")
    assert (
        parse_time("N/A")
        is parse_time("Unknown")
        is parse_time("None")
        is parse_time("")
        is parse_time("0")
        is None
    )
