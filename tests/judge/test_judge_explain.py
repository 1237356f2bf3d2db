"""Failure texts, which must be clear without any other output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pytest_clusterjobs.judge import failure_text
from pytest_clusterjobs.judge import judge
from pytest_clusterjobs.model import ActionKind
from pytest_clusterjobs.model import Expectation
from pytest_clusterjobs.model import JobSpec
from pytest_clusterjobs.model import LogChunk
from pytest_clusterjobs.model import LogExpectation
from pytest_clusterjobs.model import MetricExpectation
from pytest_clusterjobs.model import NodeState
from pytest_clusterjobs.model import Outcome
from pytest_clusterjobs.model import OwnAction
from pytest_clusterjobs.model import Range
from pytest_clusterjobs.model import Reason
from pytest_clusterjobs.model import ReasonClass
from pytest_clusterjobs.model import SentinelReport
from pytest_clusterjobs.model import SentinelWord
from pytest_clusterjobs.model import Source
from pytest_clusterjobs.model import Times

COMPLETED = Outcome(Reason.JOB_COMPLETED, ReasonClass.PRODUCT, Source.SENTINEL, exit_code=0)
FAILED_EXPECTED = Expectation((Reason.JOB_FAILED,), (3,))


def text_of(
    expect: Expectation,
    outcome: Outcome,
    tails: Mapping[int, str] | None = None,
    log: str = "",
    **limits: float,
) -> str:
    judgement = judge(expect, outcome, log=lambda rank: LogChunk(log, complete=True), nodes=1)
    return failure_text(
        judgement,
        outcome,
        expect,
        replace(JobSpec("exit 0", name="arena-2n-cmd_fails"), **limits),  # type: ignore[arg-type]
        location="matrices/exit_conditions.yaml:14",
        rerun="pytest 'matrices/exit_conditions.yaml::arena-2n-cmd_fails'",
        log_tails=tails or {},
        job_id="4711",
        url="https://cluster.example/jobs/4711",
    )


def first_line(expect: Expectation, outcome: Outcome, log: str = "") -> str:
    return (
        text_of(expect, outcome, log=log)
        .splitlines()[0]
        .removeprefix("matrices/exit_conditions.yaml:14: arena-2n-cmd_fails: ")
    )


def test_the_first_line_has_the_expectation_and_the_end() -> None:
    assert text_of(FAILED_EXPECTED, COMPLETED).splitlines()[0] == (
        "matrices/exit_conditions.yaml:14: arena-2n-cmd_fails: "
        "expected job_failed exit 3, got job_completed exit 0"
    )


def test_each_kind_of_end_has_a_first_line() -> None:
    limit = Outcome(Reason.HEARTBEAT_TIMEOUT, ReasonClass.PRODUCT, Source.SENTINEL_LIMIT)
    assert first_line(Expectation(), limit) == "expected job_completed exit 0, got heartbeat_timeout"
    either = Expectation((Reason.JOB_FAILED, Reason.KILLED_BY_SIGNAL), "nonzero")
    assert first_line(either, COMPLETED) == (
        "expected job_failed or killed_by_signal exit nonzero, got job_completed exit 0"
    )
    restarts = Expectation(restarts=Range(1, 1, text="1"))
    assert first_line(restarts, COMPLETED) == "expected restarts 1, got 0"
    more = Expectation(restarts=Range(1, 1, text="1"), log=LogExpectation(contains=("done",)))
    assert first_line(more, COMPLETED) == "expected restarts 1, got 0 (and 1 more unmet)"
    metric = Expectation(metrics={"sps": MetricExpectation(r"sps=(\d+)", min=100)})
    assert first_line(metric, COMPLETED, "sps=7") == "expected metrics.sps last >= 100, got 7"


def test_the_text_names_the_source_of_a_stop() -> None:
    action = OwnAction(ActionKind.TEST_TIMEOUT, "Timeout (>2.0s) from pytest-timeout.")
    outcome = Outcome(Reason.CANCELLED, ReasonClass.USER, Source.THIS_RUN, action=action)
    assert first_line(Expectation("any"), outcome) == (
        "expected any product reason, got stopped by the test's deadline: Timeout (>2.0s) from pytest-timeout."
    )


def test_every_fact_is_in_the_text() -> None:
    nodes = (
        NodeState(0, report=SentinelReport(SentinelWord.STOPPED, 0), host="node1"),
        NodeState(1, 7, report=SentinelReport(SentinelWord.EXITED, 1, 7), host="node2"),
        NodeState(2, stopped_by_cluster=True),
    )
    outcome = Outcome(
        Reason.JOB_FAILED,
        ReasonClass.PRODUCT,
        Source.SENTINEL,
        "rank 1: the command ended with exit code 7",
        exit_code=7,
        restarts=2,
        nodes=nodes,
        first_failing_node=1,
        times=Times(100.0, 112.5, 172.75),
        native_state="FAILED",
        native_reason="NonZeroExitCode",
    )
    expect = Expectation(metrics={"sps": MetricExpectation(r"sps=(\d+)")}, restarts=Range(0, 0, text="0"))
    assert (
        text_of(expect, outcome, {0: "zero\n", 1: "one\n"}, "sps=12\n")
        == """\
matrices/exit_conditions.yaml:14: arena-2n-cmd_fails: expected job_completed exit 0, got job_failed exit 7 (and 1 more unmet)

               expected       seen
E reason       job_completed  job_failed
E exit_code    0              7
E restarts     0              2
  metrics.sps                 12

why:            rank 1: the command ended with exit code 7 (source: sentinel)
scheduler:      "FAILED", "NonZeroExitCode"
failed first:   rank 1
ranks:          0: stopped by TERM on node1, 1: exited 7 on node2, 2: no report (stopped by the cluster)
times:          queued 12.5s, ran 60.2s
job:            4711
link:           https://cluster.example/jobs/4711
run it again:   pytest 'matrices/exit_conditions.yaml::arena-2n-cmd_fails'

--- end of the log of rank 1 ---
| one

--- end of the log of rank 0 ---
| zero"""
    )


def test_an_infrastructure_error_is_named_as_one() -> None:
    lost = Outcome(Reason.NODE_FAILED, ReasonClass.INFRA, Source.SCHEDULER)
    text = text_of(Expectation(), lost)
    assert text.splitlines()[0].endswith("expected job_completed exit 0, got node_failed")
    assert "infrastructure error: the job gave no answer about the product" in text
    assert "infrastructure" not in text_of(FAILED_EXPECTED, COMPLETED)
    action = OwnAction(ActionKind.CANCEL, "Ctrl-C")
    stopped = Outcome(Reason.CANCELLED, ReasonClass.USER, Source.THIS_RUN, action=action)
    assert "not run: this run stopped the job" in text_of(Expectation(), stopped)


def test_a_log_tail_is_bounded_and_escaped() -> None:
    tail = "start\n" + "\x1b[31mx\x1b[0m" * 10_000 + "\r50%\r\x00\x1b[2Jend\n"
    text = text_of(FAILED_EXPECTED, COMPLETED, dict.fromkeys(range(10), tail))
    assert len(text) < 4500
    assert text.endswith("50%\n| \\x00end")
    assert not {char for char in text if ord(char) < 32} - {"\n"}


def test_text_of_the_cluster_is_bounded_and_escaped() -> None:
    outcome = Outcome(
        Reason.NODE_FAILED,
        ReasonClass.INFRA,
        Source.SCHEDULER,
        "x\x1b[2J\n" * 1000,
        native_state="\x1b[H" * 1000,
        native_reason="\n\nwhy: everything is fine\n" * 1000,
        nodes=tuple(NodeState(rank, host="h\x07" * 1000) for rank in range(1000)),
    )
    text = text_of(Expectation(), outcome)
    assert len(text) < 5000
    assert "and 984 more" in text
    assert not {char for char in text if ord(char) < 32} - {"\n"}
    assert sum(line.startswith("why") for line in text.splitlines()) == 1


def test_a_cell_without_an_expectation_gets_a_hint_on_how_to_expect_its_limit() -> None:
    hint = "if the cell is meant to end this way, write expect: {reason: max_runtime_reached}"
    stopped = Outcome(Reason.MAX_RUNTIME_REACHED, ReasonClass.PRODUCT, Source.SENTINEL)
    assert hint in text_of(Expectation(), stopped, max_runtime=60.0).splitlines()
    assert hint not in text_of(Expectation(), stopped)
    assert hint not in text_of(FAILED_EXPECTED, stopped, max_runtime=60.0)
    stalled = Outcome(Reason.HEARTBEAT_TIMEOUT, ReasonClass.PRODUCT, Source.SENTINEL, heartbeats=3)
    assert "expect: {reason: heartbeat_timeout}" in text_of(Expectation(), stalled, heartbeat_timeout=9.0)


def test_times_are_left_out_of_the_text_of_a_job_that_has_none() -> None:
    rejected = Outcome(Reason.REJECTED, ReasonClass.INFRA, Source.SCHEDULER, detail="no such partition")
    assert "\ntimes:" not in text_of(Expectation(), rejected)
    submitted = replace(rejected, times=Times(submitted=1.0, started=3.0))
    assert "\ntimes:          queued 2.0s, ran unknown\n" in text_of(Expectation(), submitted)
