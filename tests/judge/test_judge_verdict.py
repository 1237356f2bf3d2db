"""The verdict on an end: passed, failed, error or not run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from pytest_clusterjobs.judge import judge
from pytest_clusterjobs.judge import logs as judge_logs
from pytest_clusterjobs.model import ActionKind
from pytest_clusterjobs.model import BadExpectation
from pytest_clusterjobs.model import COMMAND_ENDED
from pytest_clusterjobs.model import Expectation
from pytest_clusterjobs.model import Judgement
from pytest_clusterjobs.model import LogChunk
from pytest_clusterjobs.model import LogExpectation
from pytest_clusterjobs.model import MetricExpectation
from pytest_clusterjobs.model import Mismatch
from pytest_clusterjobs.model import Outcome
from pytest_clusterjobs.model import OwnAction
from pytest_clusterjobs.model import Range
from pytest_clusterjobs.model import Reason
from pytest_clusterjobs.model import REASON_CLASSES
from pytest_clusterjobs.model import ReasonClass
from pytest_clusterjobs.model import Source
from pytest_clusterjobs.model import Times
from pytest_clusterjobs.model import Verdict

INFRA = [reason for reason in Reason if reason.reason_class is ReasonClass.INFRA]


def ended(reason: str, code: int | None = None, **more: Any) -> Outcome:
    more.setdefault("source", Source.SENTINEL)
    return Outcome(reason, more.pop("reason_class", None) or REASON_CLASSES[reason], exit_code=code, **more)


def expecting(*reasons: str, **more: Any) -> Expectation:
    more.setdefault("exit_codes", None)
    return Expectation(reasons=reasons or "any", **more)


def by_us(kind: ActionKind) -> OwnAction:
    return OwnAction(kind, "for a reason")


def judged(
    expect: Expectation, outcome: Outcome, logs: Mapping[int, str] | None = None, *, complete: bool = True
) -> Judgement:
    if logs is None:
        return judge(expect, outcome, log=None, nodes=1)
    return judge(expect, outcome, log=lambda rank: LogChunk(logs[rank], complete=complete), nodes=len(logs))


COMPLETED = ended("job_completed", 0)


def test_the_default_expectation_is_completion() -> None:
    assert judged(Expectation(), COMPLETED) == Judgement(Verdict.PASSED)
    assert judged(Expectation(), ended("job_failed", 3)) == Judgement(
        Verdict.FAILED, (Mismatch("reason", "job_completed", "job_failed"), Mismatch("exit_code", "0", "3"))
    )


@pytest.mark.parametrize("reason", INFRA)
def test_infrastructure_that_was_not_expected_is_an_error(reason: Reason) -> None:
    judgement = judged(Expectation(), ended(reason))
    assert judgement == Judgement(Verdict.ERROR, (Mismatch("reason", "job_completed", reason),))


@pytest.mark.parametrize("reason", INFRA)
def test_infrastructure_that_was_expected_can_pass(reason: Reason) -> None:
    """A test may expect a rejected submission, and even ``unknown``."""
    assert judged(expecting(reason), ended(reason)).verdict is Verdict.PASSED
    assert judged(expecting(reason), COMPLETED).verdict is Verdict.FAILED


def test_any_accepts_every_reason_of_the_product() -> None:
    verdicts = {reason: judged(expecting(), ended(reason)).verdict for reason in Reason}
    assert {reason for reason, verdict in verdicts.items() if verdict is Verdict.PASSED} == {
        reason for reason in Reason if reason.reason_class is ReasonClass.PRODUCT
    }
    assert {verdicts[reason] for reason in INFRA} == {Verdict.ERROR}


def test_a_custom_reason_is_judged_by_its_class() -> None:
    for reason_class, verdict in (
        (ReasonClass.PRODUCT, Verdict.FAILED),
        (ReasonClass.INFRA, Verdict.ERROR),
        (ReasonClass.USER, Verdict.ERROR),
    ):
        assert judged(Expectation(), ended("nccl_failed", reason_class=reason_class)).verdict is verdict
    assert (
        judged(expecting("nccl_failed"), ended("nccl_failed", reason_class=ReasonClass.INFRA)).verdict
        is Verdict.PASSED
    )


def test_a_cancel_by_another_user_is_an_error_unless_expected() -> None:
    assert judged(Expectation(), ended("cancelled")).verdict is Verdict.ERROR
    assert judged(expecting(), ended("cancelled")).verdict is Verdict.ERROR
    assert judged(expecting("cancelled"), ended("cancelled")).verdict is Verdict.PASSED


@pytest.mark.parametrize("expect", [Expectation(), expecting(), expecting("cancelled")])
def test_cancelled_by_this_run_is_not_run(expect: Expectation) -> None:
    judgement = judged(expect, ended("cancelled", action=by_us(ActionKind.CANCEL)))
    assert judgement.verdict is Verdict.NOT_RUN
    assert judgement.misses[0].seen == "stopped by this run: for a reason"


@pytest.mark.parametrize("expect", [Expectation(), expecting(), expecting("cancelled"), expecting(*Reason)])
def test_the_timeout_of_the_test_fails_despite_any_expectation(expect: Expectation) -> None:
    judgement = judged(expect, ended("cancelled", action=by_us(ActionKind.TEST_TIMEOUT)))
    assert judgement.verdict is Verdict.FAILED
    assert judgement.misses[0].seen == "stopped by the test's deadline: for a reason"


@pytest.mark.parametrize("expect", [Expectation(), expecting("rejected"), expecting(*Reason)])
def test_a_job_that_this_run_did_not_submit_is_an_error_despite_any_expectation(expect: Expectation) -> None:
    judgement = judged(expect, ended("rejected", action=by_us(ActionKind.REFUSED)))
    assert judgement.verdict is Verdict.ERROR
    assert judgement.misses[0].seen == "rejected by this run"


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (ActionKind.QUEUE_TIMEOUT, "queue_timeout"),
        (ActionKind.REJECTED, "rejected"),
        (ActionKind.LOST, "lost"),
    ],
)
def test_other_actions_of_this_run_are_judged_by_their_reason(kind: ActionKind, reason: str) -> None:
    outcome = ended(reason, action=by_us(kind))
    assert judged(Expectation(), outcome).verdict is Verdict.ERROR
    assert judged(expecting(reason), outcome).verdict is Verdict.PASSED


@pytest.mark.parametrize(
    ("codes", "seen", "met"),
    [
        (None, None, True),
        (None, 3, True),
        ((3,), 3, True),
        ((1, 3), 3, True),
        ((1,), 3, False),
        ((1,), None, False),
        ("nonzero", 3, True),
        ("nonzero", 0, False),
        ("nonzero", None, False),
    ],
)
def test_an_exit_code_must_be_an_expected_one(codes: Any, seen: int | None, met: bool) -> None:
    judgement = judged(expecting("job_failed", exit_codes=codes), ended("job_failed", seen))
    assert judgement.verdict is (Verdict.PASSED if met else Verdict.FAILED)


def test_all_that_is_unmet_is_reported_at_once() -> None:
    expect = Expectation(
        restarts=Range(1, 1, text="1"),
        run_time=Range(high=10, high_open=True, text="<10s"),
        heartbeats=Range(5, text=">=5"),
        log=LogExpectation(contains=("done",), excludes=("Traceback",), matches=(r"^epoch \d+$",)),
        metrics={"sps": MetricExpectation(r"sps=(\S+)", min=100), "loss": MetricExpectation(r"loss=(\S+)")},
    )
    outcome = ended("job_failed", 3, heartbeats=2, times=Times(0.0, 5.0, 35.5))
    judgement = judged(expect, outcome, {0: "sps=50\nTraceback\n epoch 1\n"})
    assert judgement == Judgement(
        Verdict.FAILED,
        (
            Mismatch("reason", "job_completed", "job_failed"),
            Mismatch("exit_code", "0", "3"),
            Mismatch("restarts", "1", "0"),
            Mismatch("run_time", "<10s", "30.5s"),
            Mismatch("heartbeats", ">=5", "2"),
            Mismatch("log.contains", '"done"', "not in the log"),
            Mismatch("log.excludes", 'no "Traceback"', "in the log of rank 0"),
            Mismatch("log.matches", r'"^epoch \\d+$"', "no match in the log"),
            Mismatch("metrics.sps", "last >= 100", "50"),
            Mismatch("metrics.loss", "last a finite number", "not in the log"),
        ),
        {"sps": 50.0},
    )


def test_a_count_that_is_unknown_is_unmet() -> None:
    expect = Expectation(run_time=Range(0, text=">=0s"), heartbeats=Range(0, text=">=0"))
    assert [miss.seen for miss in judged(expect, COMPLETED).misses] == ["none", "none"]


def test_text_may_be_in_any_ranks_log_and_must_be_missing_from_all() -> None:
    logs = {0: "alpha\n", 1: "beta\n"}

    def verdict(**log: tuple[str, ...]) -> Verdict:
        return judged(Expectation(log=LogExpectation(**log)), COMPLETED, logs).verdict

    assert verdict(contains=("alpha", "beta")) is Verdict.PASSED
    assert verdict(matches=("^alp", "ta$")) is Verdict.PASSED
    assert verdict(excludes=("gamma",)) is Verdict.PASSED
    assert verdict(excludes=("beta",)) is Verdict.FAILED
    assert verdict(contains=("alpha\nbeta",)) is Verdict.FAILED


@pytest.mark.parametrize(
    "pattern",
    [r"begin\s*end", "begin[^#]*end", "(?s)begin.*end", r"begin(?:.|\n)*end", r"\Aend\Z(?!\n)x|begin\Wend"],
)
def test_a_match_is_within_one_line(pattern: str) -> None:
    expect = Expectation(log=LogExpectation(matches=(pattern,)))
    for apart in ("begin\nend\n", "begin\rend\r", "begin\r\n end"):
        assert judged(expect, COMPLETED, {0: apart}).verdict is Verdict.FAILED
    assert judged(expect, COMPLETED, {0: "x\nbegin end\ny"}).verdict is Verdict.PASSED


def test_anchors_match_at_each_line() -> None:
    log = {0: "first\nsecond line\nthird\n"}
    for pattern in ("^second", r"\Asecond", "line$", r"line\Z", "(?m)^third$", r"\Afirst\Z", r"\Athird\Z"):
        assert (
            judged(Expectation(log=LogExpectation(matches=(pattern,))), COMPLETED, log).verdict
            is Verdict.PASSED
        )


@pytest.mark.parametrize(
    ("pattern", "seen"),
    [
        ("x*", "the pattern matches an empty line, so it matches every text"),
        (
            r"a\nb",
            "each line is searched by itself, so a line break never matches: write a pattern for each line",
        ),
        ("(", "not a valid regular expression: missing ), unterminated subpattern at position 0"),
    ],
)
def test_an_invalid_pattern_from_python_is_unmet(pattern: str, seen: str) -> None:
    judgement = judged(Expectation(log=LogExpectation(matches=(pattern,))), COMPLETED, {0: "x\na\nb\n"})
    assert [miss.seen for miss in judgement.misses] == [seen]


TIMEOUT = Reason.HEARTBEAT_TIMEOUT
NEVER_BEAT = "0: the job never touched $CLUSTERJOBS_HEARTBEAT_FILE; output does not count"


@pytest.mark.parametrize(
    "reasons", [(TIMEOUT,), (TIMEOUT, Reason.JOB_FAILED), ("heartbeat_timeout", "cancelled")]
)
def test_an_expected_heartbeat_timeout_requires_a_heartbeat(reasons: tuple[str, ...]) -> None:
    expect = expecting(*reasons)
    limit = Source.SENTINEL_LIMIT
    assert judged(expect, ended(TIMEOUT, heartbeats=1, source=limit)).verdict is Verdict.PASSED
    never = judged(expect, ended(TIMEOUT, heartbeats=0, source=limit))
    advice = "(for a job without heartbeats, expect heartbeats: '>=0')"
    implied = ">=1 (implied by heartbeat_timeout)"
    assert never == Judgement(Verdict.FAILED, (Mismatch("heartbeats", implied, f"{NEVER_BEAT} {advice}"),))
    not_counted = judged(expect, ended(TIMEOUT, heartbeats=None, source=limit))
    assert not_counted == Judgement(Verdict.FAILED, (Mismatch("heartbeats", implied, f"none {advice}"),))


def test_an_explicit_heartbeats_expectation_replaces_the_default() -> None:
    opted_out = expecting(TIMEOUT, heartbeats=Range(0, text=">=0"))
    assert judged(opted_out, ended(TIMEOUT, heartbeats=0)).verdict is Verdict.PASSED
    more = judged(expecting(TIMEOUT, heartbeats=Range(5, text=">=5")), ended(TIMEOUT, heartbeats=0))
    assert more.misses == (Mismatch("heartbeats", ">=5", NEVER_BEAT),)
    none = expecting(TIMEOUT, heartbeats=Range(0, 0, text="0"))
    assert judged(none, ended(TIMEOUT, heartbeats=0)).verdict is Verdict.PASSED


def test_a_job_with_another_end_needs_no_heartbeat() -> None:
    assert (
        judged(expecting(TIMEOUT, "job_failed"), ended("job_failed", 3, heartbeats=0)).verdict
        is Verdict.PASSED
    )
    assert [miss.field for miss in judged(expecting(TIMEOUT), ended("job_failed", 3)).misses] == ["reason"]
    assert judged(expecting(), ended(TIMEOUT, heartbeats=0)).verdict is Verdict.PASSED, "any"
    assert [miss.field for miss in judged(Expectation(), ended(TIMEOUT, heartbeats=0)).misses] == [
        "reason",
        "exit_code",
    ]


def test_a_timeout_of_a_wrapper_needs_no_heartbeat() -> None:
    end = ended(TIMEOUT, heartbeats=0, source=Source.CLASSIFY_RULE)
    assert judged(expecting(TIMEOUT), end).verdict is Verdict.PASSED


def test_logs_are_cleaned_before_they_are_searched() -> None:
    log = "50%\r\x1b[32m(head, rank=0, pid=7)\x1b[0m do\x1b[1mne\x1b[0m\r\n"
    expect = Expectation(log=LogExpectation(matches=("^done$",)))
    assert judged(expect, COMPLETED, {0: log}).verdict is Verdict.PASSED


@pytest.mark.parametrize(
    "log", [LogExpectation(contains=("x",)), LogExpectation(excludes=("y",)), LogExpectation(matches=("x",))]
)
def test_an_incomplete_log_is_an_error_and_never_a_pass(log: LogExpectation) -> None:
    judgement = judged(Expectation(log=log), COMPLETED, {0: "x"}, complete=False)
    assert judgement == Judgement(
        Verdict.ERROR, (Mismatch("log", "complete", "the log of rank 0 is incomplete"),)
    )


def test_an_incomplete_log_under_a_metric_is_an_error() -> None:
    expect = Expectation(metrics={"sps": MetricExpectation(r"sps=(\d+)", min=100)})
    judgement = judged(expect, COMPLETED, {0: "sps=500"}, complete=False)
    assert (judgement.verdict, judgement.metrics) == (Verdict.ERROR, {"sps": 500.0})
    assert (
        judged(expect, ended("job_completed", 0, log_complete=False), {0: "sps=500"}).verdict is Verdict.ERROR
    )
    assert judged(expect, COMPLETED).verdict is Verdict.ERROR, "no log at all"


def test_an_incomplete_log_does_not_matter_where_logs_are_not_judged() -> None:
    assert judged(Expectation(), ended("job_completed", 0, log_complete=False)).verdict is Verdict.PASSED


def test_a_failure_with_an_incomplete_log_is_a_failure() -> None:
    expect = Expectation(log=LogExpectation(contains=("x",), excludes=("Traceback",)))
    judgement = judged(expect, ended("job_failed", 3), {0: "Traceback"}, complete=False)
    assert judgement.verdict is Verdict.FAILED
    assert [miss.field for miss in judgement.misses] == ["reason", "exit_code", "log.excludes", "log"]


def test_a_log_that_is_too_long_counts_as_incomplete(monkeypatch: pytest.MonkeyPatch) -> None:
    chunk = LogChunk("begin\n" + "x" * 100 + "\nend\n", complete=True)
    short = judge_logs.read_log(lambda rank: chunk, 0, limit=50)
    assert short.text.endswith("\nend\n") and len(short.text) == 50
    assert short.gap == "the log of rank 0 is longer than 50 characters"
    monkeypatch.setattr(judge_logs.read_log, "__kwdefaults__", {"limit": 50})
    expect = Expectation(log=LogExpectation(contains=("end",)))
    assert judge(expect, COMPLETED, log=lambda rank: chunk, nodes=1).verdict is Verdict.ERROR


def test_logs_are_read_when_they_decide_and_once() -> None:
    read: list[int] = []

    def log(rank: int) -> LogChunk:
        read.append(rank)
        return LogChunk("a=1 b=2", complete=True)

    judge(Expectation(), COMPLETED, log=log, nodes=3)
    metric = MetricExpectation(r"a=(\d)", node=2)
    judge(Expectation(metrics={"a": metric}), ended("node_failed"), log=log, nodes=3)
    assert read == []
    judge(Expectation(metrics={"a": metric}), COMPLETED, log=log, nodes=3)
    assert read == [2]
    both = {"a": metric, "b": MetricExpectation(r"b=(\d)")}
    judge(Expectation(metrics=both, log=LogExpectation(contains=("a",))), COMPLETED, log=log, nodes=3)
    assert read == [2, 0, 1, 2]


def metric_verdict(metric: MetricExpectation, *logs: str) -> tuple[Verdict, str]:
    judgement = judged(Expectation(metrics={"m": metric}), COMPLETED, dict(enumerate(logs)))
    return judgement.verdict, judgement.misses[0].seen if judgement.misses else str(judgement.metrics["m"])


@pytest.mark.parametrize(
    ("pick", "value"),
    [("last", 2.0), ("first", 4.0), ("min", 1.0), ("max", 9.0), ("mean", 4.0), ("median", 3.0)],
)
def test_each_pick_selects_its_number(pick: Any, value: float) -> None:
    log = "m=4 m=9 m=1\nm=2\n"
    assert metric_verdict(MetricExpectation(r"m=(\S+)", pick), log) == (Verdict.PASSED, str(value))


def test_a_metric_without_a_group_is_the_whole_match() -> None:
    assert metric_verdict(MetricExpectation(r"\d+"), "7 of") == (Verdict.PASSED, "7.0")


def test_a_metric_of_one_rank_and_of_all() -> None:
    logs = ("m=1", "m=2", "m=3")
    assert metric_verdict(MetricExpectation(r"m=(\d)", node=1), *logs)[1] == "2.0"
    assert metric_verdict(MetricExpectation(r"m=(\d)"), *logs)[1] == "3.0"
    assert metric_verdict(MetricExpectation(r"m=(\d)", "first"), *logs)[1] == "1.0"
    assert metric_verdict(MetricExpectation(r"m=(\d)", node=7), *logs) == (Verdict.FAILED, "not in the log")
    with_text = Expectation(metrics={"m": MetricExpectation(r"m=(\d)", node=1)}, log=LogExpectation(("m=3",)))
    assert judged(with_text, COMPLETED, dict(enumerate(logs))) == Judgement(Verdict.PASSED, (), {"m": 2.0})


@pytest.mark.parametrize("text", ["3", "-0.5", "+1e3", ".5", "7.", "1E-9"])
def test_a_number_is_read_as_python_and_c_write_it(text: str) -> None:
    assert metric_verdict(MetricExpectation(r"m=(\S+)"), f"m={text}") == (Verdict.PASSED, str(float(text)))


@pytest.mark.parametrize("text", ["1,234", "1_000", "0x1f", "3.5.", "fast", "٣", "--1"])
def test_text_that_is_not_a_number_is_unmet(text: str) -> None:
    assert metric_verdict(MetricExpectation(r"m=(\S+)"), f"m={text}") == (
        Verdict.FAILED,
        f'"{text}" is not a number',
    )


@pytest.mark.parametrize("pick", ["last", "min", "max", "mean", "median"])
@pytest.mark.parametrize("text", ["nan", "NaN", "inf", "-Infinity", "1e999"])
def test_a_metric_that_is_not_finite_is_unmet(text: str, pick: Any) -> None:
    assert metric_verdict(MetricExpectation(r"m=(\S+)", pick), f"m=1 m={text}") == (
        Verdict.FAILED,
        f'"{text}" is not finite',
    )


def test_a_mean_that_overflows_is_unmet() -> None:
    assert (
        metric_verdict(MetricExpectation(r"m=(\S+)", "mean"), "m=1e308 m=1e308 m=1e308")[0] is Verdict.FAILED
    )


@pytest.mark.parametrize(
    ("bounds", "inside", "outside"),
    [
        ({"min": 3.0}, (3, 1e9), (2.999,)),
        ({"max": 3.0}, (3, -1e9), (3.001,)),
        ({"min": 1.0, "max": 3.0}, (1, 3), (0.9, 3.1)),
        ({"reference": 100.0, "tolerance_below": 0.05, "tolerance_above": 0.05}, (95, 105), (94.9, 105.1)),
        ({"reference": 100.0, "tolerance_below": 0.05}, (95, 1000), (94.9,)),
        ({"reference": 100.0, "tolerance_below": 0.05, "tolerance_above": 0.2}, (95, 120), (94, 121)),
        ({"reference": -10.0, "tolerance_below": 0.1, "tolerance_above": 0.1}, (-11, -9), (-11.1, -8.9)),
        (
            {"reference": 0.01, "tolerance_below": 0.1, "tolerance_above": 0.1},
            (0.009, 0.011),
            (0.0089, 0.0111),
        ),
        (
            {"reference": 0.009, "tolerance_below": 0.1, "tolerance_above": 0.1},
            (0.0081, 0.0099),
            (0.0091 + 0.0009,),
        ),
        ({"reference": 100.0, "tolerance_below": 0.5, "min": 90.0}, (90,), (89,)),
    ],
)
def test_a_number_must_be_within_its_bounds(
    bounds: dict[str, float], inside: tuple[float, ...], outside: tuple[float, ...]
) -> None:
    metric = MetricExpectation(r"m=(\S+)", **bounds)  # type: ignore[arg-type]
    assert {metric_verdict(metric, f"m={value}")[0] for value in inside} == {Verdict.PASSED}
    assert {metric_verdict(metric, f"m={value}")[0] for value in outside} <= {Verdict.FAILED}


def test_bounds_are_shown_with_their_tolerance() -> None:
    metric = MetricExpectation(
        "x", "max", min=3, reference=120.0, tolerance_below=0.05, tolerance_above=0.125
    )
    judgement = judged(Expectation(metrics={"m": metric}), COMPLETED, {0: ""})
    assert judgement.misses[0].expected == "max >= 3 and within -5%..+12.5% of 120"


def test_only_a_command_that_ended_by_itself_meets_an_exit_code() -> None:
    for reason in set(Reason) - COMMAND_ENDED:
        assert judged(expecting(exit_codes="nonzero"), ended(reason)).verdict is not Verdict.PASSED
        with pytest.raises(BadExpectation, match="has no exit code of its own"):
            expecting(reason, exit_codes="nonzero")
