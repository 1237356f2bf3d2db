"""``classify``: jobs whose output reports how they ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pytest

from pytest_clusterjobs.judge import judge
from pytest_clusterjobs.judge import outcome
from pytest_clusterjobs.model import ActionKind
from pytest_clusterjobs.model import Classification
from pytest_clusterjobs.model import ClassifyRule
from pytest_clusterjobs.model import Expectation
from pytest_clusterjobs.model import JobSpec
from pytest_clusterjobs.model import LogChunk
from pytest_clusterjobs.model import NodeState
from pytest_clusterjobs.model import Observation
from pytest_clusterjobs.model import Outcome
from pytest_clusterjobs.model import OwnAction
from pytest_clusterjobs.model import Phase
from pytest_clusterjobs.model import Reason
from pytest_clusterjobs.model import ReasonClass
from pytest_clusterjobs.model import SentinelReport
from pytest_clusterjobs.model import SentinelWord
from pytest_clusterjobs.model import Source
from pytest_clusterjobs.model import Verdict

WRAPPER = Classification(
    rules=(
        ClassifyRule(log=r"\[SUMMARY\] Termination reason: (?P<reason>.+?)(?:\s*\[|$)"),
        ClassifyRule(log=r"\[SUMMARY\] Exit code: (?P<exit_code>-?\d+)"),
        ClassifyRule(log=r"\[SUMMARY\] Restart Count: (?P<restarts>\d+)"),
    ),
    translate={"unknown": "job_failed", "cluster_stop": "cancelled", "nccl_test_failure": "nccl_failed"},
    reasons={"nccl_failed": ReasonClass.INFRA},
)
"""Rules for the summary of a wrapper that always exits with 0."""


def summary(reason: str, code: int, restarts: int = 0) -> str:
    return (
        "step 1 of 3\rstep 3 of 3\r\n"
        f"\x1b[36m(head, rank=0, pid=2618)\x1b[0m [SUMMARY] Restart Count: {restarts}\r\n"
        f"\x1b[36m(head, rank=0, pid=2618)\x1b[0m [SUMMARY] Exit code: {code}\n"
        f"(head, rank=0, pid=2618) \x1b[1m[SUMMARY] Termination reason: {reason}\x1b[0m\n"
        "(worker1, rank=1, pid=1987, ip=172.31.10.228) torch: SignalException\n"
    )


def end_of(
    log: str | Mapping[int, str],
    classification: Classification = WRAPPER,
    *,
    code: int = 0,
    word: SentinelWord = SentinelWord.EXITED,
    hint: Reason | None = None,
    action: OwnAction | None = None,
    complete: bool = True,
    native: tuple[str, str] = ("", ""),
) -> Outcome:
    logs = {0: log} if isinstance(log, str) else log
    reads: Counter[int] = Counter()

    def read(rank: int) -> LogChunk:
        reads[rank] += 1
        return LogChunk(logs[rank], complete=complete)

    nodes = tuple(
        NodeState(rank, report=SentinelReport(word, rank, code if word is SentinelWord.EXITED else None))
        for rank in logs
    )
    seen = Observation(
        Phase.ENDED, native_state=native[0], native_reason=native[1], reason_hint=hint, nodes=nodes
    )
    end = outcome(
        JobSpec("true", nodes=len(logs)), seen, action=action, classification=classification, log=read
    )
    assert set(reads.values()) <= {1}, "a log was read more than once"
    return end


@pytest.mark.parametrize(
    ("words", "code", "reason", "exit_code"),
    [
        ("job_completed", 0, "job_completed", 0),
        ("heartbeat_timeout", 0, "heartbeat_timeout", None),
        ("max_runtime_reached", 0, "max_runtime_reached", None),
        ("unknown", 1, "job_failed", 1),
        ("unknown", 137, "job_failed", 137),
        ("cluster_stop", 0, "cancelled", None),
    ],
)
def test_a_rule_reads_the_end_from_a_wrapper_that_always_exits_0(
    words: str, code: int, reason: str, exit_code: int | None
) -> None:
    end = end_of(summary(words, code))
    assert (end.reason, end.exit_code) == (reason, exit_code)
    assert end.source is (Source.SENTINEL if reason == "job_completed" else Source.CLASSIFY_RULE)


def test_a_custom_reason_brings_its_class_and_keeps_the_code() -> None:
    end = end_of(summary("nccl_test_failure", 42))
    assert (end.reason, end.reason_class, end.exit_code) == ("nccl_failed", ReasonClass.INFRA, 42)


def test_the_last_occurrence_counts() -> None:
    end = end_of(summary("unknown", 1, 0) + summary("job_completed", 0, 1))
    assert (end.reason, end.restarts) == ("job_completed", 1)


def test_the_first_rule_with_a_value_for_a_field_decides_it() -> None:
    rules = (
        ClassifyRule(log="first (?P<reason>\\w+)"),
        ClassifyRule(log="second (?P<reason>\\w+) (?P<exit_code>\\d)"),
    )
    end = end_of("second preempted 5\nfirst job_failed\n", Classification(rules))
    assert (end.reason, end.exit_code) == ("job_failed", 5)


def test_output_of_two_processes_on_one_line_is_read() -> None:
    assert (
        end_of("[SUMMARY] Termination reason: heartbeat_timeout [INFO] other").reason == "heartbeat_timeout"
    )


def test_a_word_that_is_not_a_reason_is_unknown_and_quoted() -> None:
    end = end_of(summary("spontaneous \x07combustion" + "!" * 500, 0))
    assert (end.reason, end.reason_class, end.exit_code) == ("unknown", ReasonClass.INFRA, None)
    assert r'"spontaneous \x07combustion!!' in end.detail
    assert "is not a known reason" in end.detail
    assert len(end.detail) < 400


def test_an_empty_word_is_not_a_reason() -> None:
    rule = Classification((ClassifyRule(log="reason: (?P<reason>.*)$"),))
    assert end_of("reason: \n", rule).reason == "unknown"


@pytest.mark.parametrize("text", ["oops", "9" * 30, "1.5", "٣"])
def test_a_captured_text_that_is_not_a_number_gives_no_answer(text: str) -> None:
    rule = Classification((ClassifyRule(log=r"code (?P<exit_code>\S+)"),))
    end = end_of(f"code {text}\n", rule)
    assert (end.reason, end.log_complete) == ("unknown", True)
    assert "not a number" in end.detail


@pytest.mark.parametrize(
    ("pattern", "last", "words"),
    [
        (r"code: (?P<exit_code>\d+)", "code: None", '"code:" is followed by "None", where the pattern does not match'),
        (r"code: (?P<exit_code>\d+)", "code: -1", '"code:" is followed by "-1", where the pattern does not match'),
        (r"code:\s*(?P<exit_code>\d+)", "code:\n0", '"code:" is followed by nothing, where the pattern does not match'),
        (r"code: (?P<exit_code>\d+)", "code: 0x7F", '"0" is only part of "0x7F"'),
        (r"code: (?P<exit_code>\d+)", "code: 0.5", '"0" is only part of "0.5"'),
        (r"code: (?P<exit_code>\d)", "code: 09", '"0" is only part of "09"'),
        (r"code: .*(?P<exit_code>\d)", "code: 10", '"0" is only part of "10"'),
        (r"end: (?P<reason>\w+)", "end: job_completed-ish", '"job_completed" is only part of "job_completed-ish"'),
        (r"end: (?P<reason>\w+)", "end: ---", '"end:" is followed by "---", where the pattern does not match'),
    ],
)  # fmt: skip
def test_an_older_line_or_a_part_of_a_word_is_never_a_success(pattern: str, last: str, words: str) -> None:
    end = end_of(f"code: 0\nend: job_completed\n{last}\n", Classification((ClassifyRule(log=pattern),)))
    assert (end.reason, end.exit_code) == ("unknown", None)
    assert words in end.detail


@pytest.mark.parametrize(
    "pattern", [r"end:\s*(?P<reason>\w+)", r"end:[^#]*(?P<reason>job_\w+)", r"(?s)end:.*?(?P<reason>job_\w+)"]
)
def test_a_rule_does_not_match_across_lines(pattern: str) -> None:
    rules = Classification((ClassifyRule(log=pattern),))
    assert end_of("end:\njob_failed\n", rules).reason != "job_failed"
    assert end_of("end:\rjob_failed\n", rules).reason != "job_failed"
    assert end_of("end: job_failed\n", rules).reason == "job_failed"


@pytest.mark.parametrize("silent", [0, 1])
def test_a_required_line_must_be_in_the_log_of_every_rank(silent: int) -> None:
    rules = Classification((ClassifyRule(log="end: (?P<reason>.*)", required=True),))
    logs = {rank: "all is well\n" if rank == silent else "end: heartbeat_timeout\n" for rank in (0, 1)}
    end = end_of(logs, rules)
    assert (end.reason, end.source) == ("unknown", Source.CLASSIFY_RULE)
    assert f"the log of rank {silent} has no line for a rule that requires one" in end.detail
    assert end_of(dict.fromkeys((0, 1), "end: heartbeat_timeout\n"), rules).reason == "heartbeat_timeout"


def test_a_missing_required_number_gives_no_answer() -> None:
    rules = Classification((ClassifyRule(log=r"code: (?P<exit_code>\d+)", required=True),))
    assert end_of("", rules).reason == "unknown"
    assert end_of("code: 0\n", rules).reason == "job_completed"


@pytest.mark.parametrize(
    "pattern", [r"(?P<reason>\w*)", r"\A(?![\s\S]*END)(?P<reason>)", r"a\n(?P<reason>b)", "("]
)
def test_an_invalid_rule_gives_no_answer(pattern: str) -> None:
    end = end_of("x\n", Classification((ClassifyRule(log=pattern),)))
    assert end.reason == "unknown"
    assert "a rule cannot be used: " in end.detail
    by_status = end_of("x\n", Classification((ClassifyRule(status=pattern, reason="job_failed"),)))
    assert by_status.reason == "unknown"


def test_text_of_the_pattern_after_a_word_is_not_part_of_the_word() -> None:
    rules = Classification((ClassifyRule(log=r"end: (?P<reason>[a-z_]+)-\d+"),))
    assert end_of("end: preempted-12\n", rules).reason == "preempted"
    assert end_of("end: preempted-12\nend: preempted+1\n", rules).reason == "unknown"


def test_a_code_alone_decides_the_reason() -> None:
    rule = Classification((ClassifyRule(log=r"code (?P<exit_code>-?\d+)"),))
    assert (end_of("code 3\n", rule).reason, end_of("code 3\n", rule).exit_code) == ("job_failed", 3)
    assert end_of("code 137\n", rule).reason == "killed_by_signal"
    assert end_of("code -9\n", rule).reason == "job_failed"


@pytest.mark.parametrize("words", [summary("job_completed", 0), "[SUMMARY] Exit code: 0"])
def test_no_rule_turns_a_failure_into_job_completed(words: str) -> None:
    end = end_of(words, code=3)
    assert (end.reason, end.exit_code, end.source) == ("job_failed", 3, Source.SENTINEL)
    assert "against it: the log reports" in end.detail


def test_job_completed_with_another_code_in_the_same_log_is_a_failure() -> None:
    end = end_of(summary("job_completed", 3))
    assert (end.reason, end.exit_code) == ("job_failed", 3)


def test_a_rule_does_not_replace_the_report_of_a_silent_rank() -> None:
    log = LogChunk(summary("job_completed", 0), complete=True)
    seen = Observation(Phase.ENDED, nodes=(NodeState(0, exit_code=0),))
    end = outcome(JobSpec("x"), seen, action=None, classification=WRAPPER, log=lambda rank: log)
    assert end.reason == "unknown"


def test_a_rule_does_not_replace_a_missing_report() -> None:
    log = LogChunk(summary("unknown", 5), complete=True)
    seen = Observation(Phase.ENDED, nodes=(NodeState(0),))
    end = outcome(JobSpec("x"), seen, action=None, classification=WRAPPER, log=lambda rank: log)
    assert (end.reason, end.exit_code) == ("unknown", None)
    assert "against it: " in end.detail


def test_a_rule_may_give_an_infrastructure_reason_for_a_silent_rank() -> None:
    rules = Classification((ClassifyRule(status="Maintenance", reason="preempted"),))
    seen = Observation(Phase.ENDED, native_reason="Maintenance", nodes=(NodeState(0),))
    assert outcome(JobSpec("x"), seen, action=None, classification=rules, log=None).reason == "preempted"


def test_an_expected_reason_from_the_log_of_a_rank_without_a_report_is_an_error() -> None:
    log = LogChunk(summary("nccl_test_failure", 1), complete=True)
    seen = Observation(Phase.ENDED, nodes=(NodeState(0),), log_complete=True)
    end = outcome(JobSpec("x"), seen, action=None, classification=WRAPPER, log=lambda rank: log)
    assert (end.reason, end.source) == ("nccl_failed", Source.NONE)
    judgement = judge(Expectation(reasons=("nccl_failed",)), end, log=None, nodes=1)
    assert judgement.verdict is Verdict.ERROR
    assert "a rank has left no report" in judgement.misses[0].seen


def test_an_exit_code_rule_gives_the_reason() -> None:
    rules = Classification(
        (ClassifyRule(exit_code=42, reason="nccl_failed"),), reasons={"nccl_failed": ReasonClass.INFRA}
    )
    assert end_of("", rules, code=42).reason == "nccl_failed"
    assert end_of("", rules, code=42).exit_code == 42
    assert end_of("", rules, code=41).reason == "job_failed"


@pytest.mark.parametrize("native", [("SPOT_TAKEN", ""), ("FAILED", "host: SPOT_TAKEN at noon")])
def test_a_status_rule_reads_the_schedulers_state_and_text(native: tuple[str, str]) -> None:
    rules = Classification((ClassifyRule(status="SPOT_TAKEN", reason="preempted"),))
    end = end_of("SPOT_TAKEN in the log is not meant", rules, code=1, native=native)
    assert (end.reason, end.source, end.exit_code) == ("preempted", Source.CLASSIFY_RULE, None)
    assert end_of("SPOT_TAKEN", rules, code=1).reason == "job_failed"


@pytest.mark.parametrize("bad_rank", [0, 1])
def test_a_rank_that_reports_a_failure_takes_precedence(bad_rank: int) -> None:
    logs = {rank: summary("heartbeat_timeout" if rank == bad_rank else "job_completed", 0) for rank in (0, 1)}
    assert end_of(logs).reason == "heartbeat_timeout"
    codes = {rank: summary("unknown", 3 if rank == bad_rank else 0, restarts=rank) for rank in (0, 1)}
    assert (end_of(codes).exit_code, end_of(codes).restarts) == (3, 1)


def test_an_incomplete_log_under_a_rule_gives_no_answer() -> None:
    end = end_of("training goes well\n", complete=False)
    assert (end.reason, end.log_complete) == ("unknown", False)
    assert "the log of rank 0 is incomplete" in end.detail
    early = end_of(summary("unknown", 1), complete=False)
    assert early.reason == "unknown", "what comes last may be missing"


def test_an_incomplete_log_that_no_rule_needs_does_not_matter() -> None:
    rules = (ClassifyRule(exit_code=3, reason="job_failed"), ClassifyRule(log="(?P<reason>x)"))
    end = end_of("", Classification(rules), code=3, complete=False)
    assert (end.reason, end.source) == ("job_failed", Source.CLASSIFY_RULE)


def test_a_wrapper_counts_its_restarts_under_a_limit_too() -> None:
    end = end_of(summary("job_completed", 0, restarts=2), word=SentinelWord.MAX_RUNTIME_REACHED)
    assert (end.reason, end.restarts) == ("max_runtime_reached", 2)
    early = end_of("", word=SentinelWord.MAX_RUNTIME_REACHED, complete=False)
    assert early.reason == "unknown"


def test_a_lost_machine_needs_no_log() -> None:
    assert end_of("", hint=Reason.NODE_FAILED, complete=False).reason == "node_failed"


def test_a_rule_does_not_override_a_source_of_higher_precedence() -> None:
    log = summary("heartbeat_timeout", 9)
    assert end_of(log, word=SentinelWord.MAX_RUNTIME_REACHED).reason == "max_runtime_reached"
    assert end_of(log, hint=Reason.OUT_OF_MEMORY).reason == "out_of_memory"
    assert end_of(log, action=OwnAction(ActionKind.CANCEL, "^C")).reason == "cancelled"


def test_a_setup_that_failed_leaves_no_code_of_the_command() -> None:
    rules = Classification((ClassifyRule(exit_code=42, reason="job_failed"),))
    node = NodeState(0, report=SentinelReport(SentinelWord.START_FAILED, 0, 42))
    seen = Observation(Phase.ENDED, nodes=(node,))
    end = outcome(JobSpec("x"), seen, action=None, classification=rules, log=None)
    assert (end.reason, end.exit_code) == ("job_failed", None)
