"""The precedence of the sources of a reason. Each test fails if its rule is removed."""

from __future__ import annotations

import pytest

from pytest_clusterjobs.judge import outcome
from pytest_clusterjobs.model import ActionKind
from pytest_clusterjobs.model import Classification
from pytest_clusterjobs.model import ClassifyRule
from pytest_clusterjobs.model import JobSpec
from pytest_clusterjobs.model import LogChunk
from pytest_clusterjobs.model import NodeState
from pytest_clusterjobs.model import Observation
from pytest_clusterjobs.model import Outcome
from pytest_clusterjobs.model import OwnAction
from pytest_clusterjobs.model import Phase
from pytest_clusterjobs.model import Reason
from pytest_clusterjobs.model import REASON_CLASSES
from pytest_clusterjobs.model import ReasonClass
from pytest_clusterjobs.model import SentinelReport
from pytest_clusterjobs.model import SentinelWord
from pytest_clusterjobs.model import Source
from pytest_clusterjobs.model import Times


def said(word: str, rank: int = 0, *, ended: float | None = None, by_cluster: bool = False) -> NodeState:
    report = SentinelReport(SentinelWord(word), rank)
    return NodeState(rank, ended=ended, report=report, stopped_by_cluster=by_cluster)


def exited(code: int, rank: int = 0, *, ended: float | None = None, cluster: int | None = None) -> NodeState:
    return NodeState(rank, cluster, ended, SentinelReport(SentinelWord.EXITED, rank, code))


def bare(code: int | None, rank: int = 0, *, ended: float | None = None) -> NodeState:
    return NodeState(rank, code, ended)


def end_of(
    *nodes: NodeState,
    hint: Reason | None = None,
    action: ActionKind | None = None,
    rules: tuple[ClassifyRule, ...] = (),
    ranks: int | None = None,
    exit_code: int | None = None,
    native: tuple[str, str] = ("", ""),
    phase: Phase = Phase.ENDED,
) -> Outcome:
    seen = Observation(
        phase,
        native_state=native[0],
        native_reason=native[1],
        reason_hint=hint,
        exit_code=exit_code,
        nodes=nodes,
    )
    return outcome(
        JobSpec("true", nodes=len(nodes) if ranks is None else ranks, heartbeat_timeout=1.0),
        seen,
        action=None if action is None else OwnAction(action, "why it was done"),
        classification=Classification(rules),
        log=None,
    )


def test_sources_take_precedence_in_their_order() -> None:
    """All sources disagree, and are removed one by one."""
    limit, rule = said("heartbeat_timeout"), ClassifyRule(status="gone", reason="preempted")
    native = ("gone", "")
    ends = [
        end_of(limit, action=ActionKind.CANCEL, hint=Reason.OUT_OF_MEMORY, rules=(rule,), native=native),
        end_of(limit, hint=Reason.OUT_OF_MEMORY, rules=(rule,), native=native),
        end_of(limit, rules=(rule,), native=native),
        end_of(exited(3), rules=(rule,), native=native),
        end_of(exited(3), exit_code=4),
        end_of(NodeState(0, 4, begun=False)),
        end_of(bare(None), exit_code=4),
    ]
    assert [(end.reason, end.source) for end in ends] == [
        ("cancelled", Source.THIS_RUN),
        ("out_of_memory", Source.SCHEDULER),
        ("heartbeat_timeout", Source.SENTINEL_LIMIT),
        ("preempted", Source.CLASSIFY_RULE),
        ("job_failed", Source.SENTINEL),
        ("start_failed", Source.EXIT_CODE),
        ("unknown", Source.NONE),
    ]
    assert [source for _, source in ((end.reason, end.source) for end in ends)] == list(Source)


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        (ActionKind.CANCEL, "cancelled"),
        (ActionKind.TEST_TIMEOUT, "cancelled"),
        (ActionKind.QUEUE_TIMEOUT, "queue_timeout"),
        (ActionKind.MAX_RUNTIME, "max_runtime_reached"),
        (ActionKind.LOST, "lost"),
        (ActionKind.REJECTED, "rejected"),
        (ActionKind.REFUSED, "rejected"),
    ],
)
def test_an_action_of_this_run_decides_the_reason(action: ActionKind, reason: str) -> None:
    end = end_of(exited(0), action=action, phase=Phase.ABSENT)
    assert (end.reason, end.source, end.exit_code) == (reason, Source.THIS_RUN, None)
    assert end.detail == "why it was done"
    assert end.action is not None


@pytest.mark.parametrize("action", list(ActionKind))
def test_every_action_gives_an_outcome(action: ActionKind) -> None:
    assert end_of(exited(1), action=action).reason in REASON_CLASSES


@pytest.mark.parametrize("phase", [Phase.PENDING, Phase.RUNNING])
def test_a_job_that_has_not_ended_has_no_outcome(phase: Phase) -> None:
    with pytest.raises(ValueError, match=f"a job that is {phase} has no outcome yet"):
        end_of(exited(0), phase=phase)


def test_a_certain_reason_of_the_scheduler_is_quoted() -> None:
    end = end_of(exited(1), hint=Reason.NODE_FAILED, native=("NODE_FAIL", "node7\x1b[2J\nis down"))
    assert (end.reason, end.native_reason) == ("node_failed", "node7\x1b[2J\nis down")
    assert end.detail == r'the scheduler reports "NODE_FAIL", "node7\x1b[2J\nis down"'


@pytest.mark.parametrize("hint", [Reason.JOB_COMPLETED, Reason.JOB_FAILED, Reason.KILLED_BY_SIGNAL])
def test_a_scheduler_does_not_decide_how_the_command_ended(hint: Reason) -> None:
    assert end_of(exited(0), hint=hint).reason == "job_completed"
    assert end_of(exited(3), hint=hint).reason == "job_failed"


def test_a_native_success_with_a_failed_command_is_a_failure() -> None:
    end = end_of(exited(3, cluster=0), exit_code=0, native=("SUCCEEDED", ""))
    assert (end.reason, end.exit_code, end.source) == ("job_failed", 3, Source.SENTINEL)


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("heartbeat_timeout", "heartbeat_timeout"),
        ("max_runtime_reached", "max_runtime_reached"),
    ],
)
def test_a_limit_that_was_reached_has_no_exit_code(word: str, reason: str) -> None:
    end = end_of(said(word), exit_code=124)
    assert (end.reason, end.source, end.exit_code) == (reason, Source.SENTINEL_LIMIT, None)


def test_a_stop_from_outside_is_not_a_failure_of_the_product() -> None:
    end = end_of(said("stopped"), exit_code=143)
    assert (end.reason, end.reason_class, end.exit_code) == ("unknown", ReasonClass.INFRA, None)
    assert end.detail.startswith("stopped from outside (rank 0)")


def test_a_classify_rule_does_not_explain_a_stop_from_outside_away() -> None:
    assert (
        end_of(
            said("stopped"), rules=(ClassifyRule(status="x", reason="job_failed"),), native=("x", "")
        ).reason
        == "unknown"
    )


def test_a_cancel_on_the_cluster_explains_a_stop_from_outside() -> None:
    end = end_of(said("stopped"), hint=Reason.CANCELLED, native=("CANCELLED by 1000", ""))
    assert (end.reason, end.source) == ("cancelled", Source.SCHEDULER)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (0, "job_completed"),
        (1, "job_failed"),
        (124, "job_failed"),
        (128, "job_failed"),
        (129, "killed_by_signal"),
        (137, "killed_by_signal"),
        (192, "killed_by_signal"),
        (193, "job_failed"),
        (255, "job_failed"),
    ],
)
def test_the_exit_code_is_the_commands_own(code: int, reason: str) -> None:
    end = end_of(exited(code))
    assert (end.reason, end.exit_code, end.source) == (reason, code, Source.SENTINEL)


def test_a_signal_has_its_name() -> None:
    assert "signal SIGKILL (exit code 137)" in end_of(exited(137)).detail
    assert "signal SIGSEGV (exit code 139)" in end_of(bare(139)).detail
    assert "signal 60 (exit code 188)" in end_of(exited(188)).detail


def test_an_exit_code_137_alone_is_never_out_of_memory() -> None:
    end = end_of(bare(137), native=("FAILED", "OutOfMemory?"))
    assert (end.reason, end.exit_code, end.source) == ("unknown", None, Source.NONE)
    assert "SIGKILL" in end.detail


def test_an_exit_code_0_without_a_report_is_not_a_success() -> None:
    """An image's ENTRYPOINT may have swallowed the command."""
    end = end_of(bare(0), exit_code=0)
    assert (end.reason, end.source, end.exit_code) == ("unknown", Source.NONE, None)
    assert "ENTRYPOINT" in end.detail


def test_a_report_of_0_does_not_override_another_code_of_the_cluster() -> None:
    assert (end_of(exited(0, cluster=1)).reason, end_of(exited(0, cluster=1)).exit_code) == ("unknown", None)
    end = end_of(exited(0), exit_code=1)
    assert (end.reason, end.exit_code, end.source) == ("unknown", None, Source.EXIT_CODE)


def test_a_failed_setup_is_not_a_failure_of_the_command() -> None:
    node = NodeState(0, report=SentinelReport(SentinelWord.START_FAILED, 0, exit_code=7))
    end = end_of(node, exit_code=7)
    assert (end.reason, end.exit_code, end.source) == ("start_failed", None, Source.SENTINEL)
    assert "exit code 7" in end.detail


def test_every_rank_has_to_end_with_0() -> None:
    assert end_of(exited(0), exited(0, 1)).reason == "job_completed"
    assert end_of(exited(0), exited(3, 1)).reason == "job_failed"


@pytest.mark.parametrize("second", [(), (bare(None, 1),), (bare(0, 1),)])
def test_a_rank_without_a_report_is_unknown(second: tuple[NodeState, ...]) -> None:
    end = end_of(exited(0), *second, ranks=2, exit_code=0)
    assert (end.reason, end.exit_code) == ("unknown", None)
    assert "no report from rank 1" in end.detail


def test_a_report_without_a_code_does_not_count() -> None:
    node = NodeState(0, report=SentinelReport(SentinelWord.EXITED, 0, None))
    assert end_of(node).reason == "unknown"


def test_a_rank_that_the_cluster_stopped_after_a_clean_main_node_is_named() -> None:
    end = end_of(exited(0), said("stopped", 1, by_cluster=True), exited(0, 2))
    assert (end.reason, end.exit_code) == ("job_completed", 0)
    assert "the cluster stopped rank 1" in end.detail


@pytest.mark.parametrize("code", [None, 137, 143])
def test_a_rank_that_the_cluster_stopped_needs_no_sentinel(code: int | None) -> None:
    assert end_of(exited(0), NodeState(1, code, stopped_by_cluster=True)).reason == "job_completed"


@pytest.mark.parametrize(
    "main", [bare(None), bare(0), NodeState(0, stopped_by_cluster=True), said("stopped", by_cluster=True)]
)
def test_a_rank_stopped_by_the_cluster_does_not_prove_a_clean_main_node(main: NodeState) -> None:
    assert end_of(main, said("stopped", 1, by_cluster=True)).reason == "unknown"
    assert end_of(main).reason == "unknown"


def test_a_command_that_handled_the_clusters_signal_was_stopped_too() -> None:
    report = SentinelReport(SentinelWord.EXITED, 1, 143)
    assert end_of(exited(0), NodeState(1, report=report, stopped_by_cluster=True)).reason == "job_completed"
    assert end_of(exited(0), NodeState(1, report=report)).reason == "killed_by_signal"


def test_a_rank_that_failed_before_the_cluster_could_stop_it_counts() -> None:
    """AWS Batch ignores the failure of a child; the verdict does not."""
    report = SentinelReport(SentinelWord.EXITED, 1, 5)
    end = end_of(exited(0), NodeState(1, report=report, stopped_by_cluster=True), exit_code=0)
    assert (end.reason, end.exit_code, end.first_failing_node) == ("job_failed", 5, 1)
    assert end_of(exited(0), NodeState(1, 5, stopped_by_cluster=True)).reason == "unknown"


def test_the_rank_that_failed_first_decides() -> None:
    end = end_of(exited(1, 0, ended=20.0), exited(3, 1, ended=10.0), exited(4, 2, ended=15.0))
    assert (end.exit_code, end.first_failing_node) == (3, 1)


def test_the_lowest_of_the_ranks_that_failed_at_once_decides() -> None:
    assert end_of(exited(0), exited(4, 1, ended=9.0), exited(3, 2, ended=9.0)).exit_code == 4


def test_an_early_clean_end_is_not_a_failure() -> None:
    end = end_of(exited(0, ended=1.0), exited(3, 1, ended=2.0))
    assert (end.exit_code, end.first_failing_node) == (3, 1)


def test_a_failed_setup_of_one_rank_explains_the_failure_of_the_others() -> None:
    end = end_of(exited(1, ended=9.0), said("start_failed", 1, ended=3.0))
    assert (end.reason, end.first_failing_node) == ("start_failed", 1)


@pytest.mark.parametrize("times", [(12.0, 10.0), (10.0, 10.0), (None, None), (None, 10.0)])
def test_ranks_that_were_stopped_after_the_first_failure_are_consequences(
    times: tuple[float | None, float | None],
) -> None:
    stopped, failed = times
    end = end_of(said("stopped", 0, ended=stopped), exited(3, 1, ended=failed))
    assert (end.reason, end.exit_code, end.first_failing_node) == ("job_failed", 3, 1)


def test_a_stop_before_the_first_failure_is_its_cause() -> None:
    end = end_of(said("stopped", 0, ended=10.0), exited(3, 1, ended=12.0))
    assert (end.reason, end.exit_code) == ("unknown", None)


@pytest.mark.parametrize("other", [bare(143, 1), bare(137, 1), exited(143, 1), exited(0, 1)])
def test_a_stop_is_not_explained_by_ranks_that_were_stopped_too(other: NodeState) -> None:
    assert end_of(said("stopped"), other).reason == "unknown"


@pytest.mark.parametrize("code", [137, 143])
def test_without_times_a_failed_rank_takes_precedence_over_a_killed_one(code: int) -> None:
    end = end_of(bare(code, 0), exited(3, 1))
    assert (end.reason, end.exit_code, end.first_failing_node) == ("job_failed", 3, 1)


def test_times_of_some_ranks_only_do_not_order_them() -> None:
    assert end_of(exited(143, 0), exited(3, 1, ended=5.0)).exit_code == 3


def test_a_limit_on_any_rank_counts() -> None:
    end = end_of(exited(0), said("max_runtime_reached", 1))
    assert (end.reason, end.first_failing_node) == ("max_runtime_reached", 1)


def test_the_first_of_several_limits_counts() -> None:
    end = end_of(said("max_runtime_reached", 1, ended=9.0), said("heartbeat_timeout", 0, ended=5.0))
    assert end.reason == "heartbeat_timeout"


def test_a_limit_names_the_rank_that_failed_as_well() -> None:
    end = end_of(said("heartbeat_timeout"), exited(3, 1))
    assert end.reason == "heartbeat_timeout"
    assert "rank 1: the command ended with exit code 3" in end.detail


def test_stopping_the_rest_after_a_failure_leaves_the_reason_to_the_ranks() -> None:
    """The cluster reports the cancel by this run; the failed rank still decides the reason."""
    nodes = (said("stopped", 0, ended=4.0), exited(3, 1, ended=5.0))
    end = end_of(*nodes, action=ActionKind.STOP_REST, hint=Reason.CANCELLED)
    assert (end.reason, end.exit_code, end.source) == ("job_failed", 3, Source.SENTINEL)
    assert end_of(*nodes, action=ActionKind.STOP_REST, hint=Reason.NODE_FAILED).reason == "node_failed"


def test_the_code_that_the_cluster_saw_of_a_stopped_rank_is_not_its_own() -> None:
    stopped = NodeState(0, 143, 4.0, SentinelReport(SentinelWord.STOPPED, 0))
    end = end_of(stopped, exited(3, 1, ended=5.0), action=ActionKind.STOP_REST)
    assert (end.exit_code, end.first_failing_node) == (3, 1)


def test_a_stopped_rank_never_ended_with_0() -> None:
    stopped = NodeState(0, 0, report=SentinelReport(SentinelWord.STOPPED, 0, exit_code=0))
    assert end_of(stopped, action=ActionKind.STOP_REST).reason == "unknown"


def test_a_stop_by_this_run_is_not_a_signal_of_the_product() -> None:
    end = end_of(said("stopped"), said("stopped", 1), action=ActionKind.STOP_REST, exit_code=143)
    assert end.reason == "unknown"


def test_restarts_are_the_larger_count_of_cluster_and_sentinel() -> None:
    def restarts(cluster: int, sentinel: int) -> int:
        report = SentinelReport(SentinelWord.EXITED, 0, 0, restarts=sentinel)
        seen = Observation(Phase.ENDED, nodes=(NodeState(0, report=report),), restarts=cluster)
        end = outcome(JobSpec("true"), seen, action=None, classification=Classification(), log=None)
        return end.restarts

    assert (restarts(2, 0), restarts(0, 1), restarts(0, 0)) == (2, 1, 0)


def test_heartbeats_are_those_of_rank_0() -> None:
    beats = [
        NodeState(rank, report=SentinelReport(SentinelWord.EXITED, rank, 0, heartbeats=count))
        for rank, count in ((1, 50), (0, 7))
    ]
    assert end_of(*beats).heartbeats == 7
    assert end_of(bare(1)).heartbeats is None


def test_times_are_the_clusters_or_else_those_of_this_run() -> None:
    def submitted(cluster: float | None) -> float | None:
        seen = Observation(Phase.ENDED, Times(cluster, 110.0, 130.0), nodes=(exited(0),))
        end = outcome(
            JobSpec("true"), seen, action=None, classification=Classification(), log=None, submitted=100.0
        )
        assert end.run_seconds == 20.0
        return end.times.submitted

    assert (submitted(101.0), submitted(None)) == (101.0, 100.0)


def test_a_log_is_read_only_if_a_rule_needs_it() -> None:
    def log(rank: int) -> LogChunk:
        raise AssertionError(f"the log of rank {rank} was read")

    rules = Classification((ClassifyRule(exit_code=3, reason="preempted"), ClassifyRule(log="(?P<reason>x)")))
    seen = Observation(Phase.ENDED, nodes=(exited(3),))
    assert outcome(JobSpec("x"), seen, action=None, classification=rules, log=log).reason == "preempted"
    limit = Observation(Phase.ENDED, nodes=(said("heartbeat_timeout"),))
    assert (
        outcome(JobSpec("x", heartbeat_timeout=1.0), limit, action=None, classification=rules, log=log).reason
        == "heartbeat_timeout"
    )


def test_the_outcome_records_an_incomplete_log() -> None:
    seen = Observation(Phase.ENDED, nodes=(exited(0),), log_complete=False)
    end = outcome(JobSpec("true"), seen, action=None, classification=Classification(), log=None)
    assert (end.reason, end.log_complete) == ("job_completed", False)
