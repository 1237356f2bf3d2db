"""Observations from rows of SkyPilot's queue and the sentinels' reports."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_clusterjobs.backends.skypilot.observe import is_over
from pytest_clusterjobs.backends.skypilot.observe import limits_in
from pytest_clusterjobs.backends.skypilot.observe import missing_report_cause
from pytest_clusterjobs.backends.skypilot.observe import observe_end
from pytest_clusterjobs.backends.skypilot.observe import observe_live
from pytest_clusterjobs.backends.skypilot.observe import RankReports
from pytest_clusterjobs.backends.skypilot.observe import read_reports
from pytest_clusterjobs.backends.skypilot.observe import without_time_marks
from pytest_clusterjobs.backends.skypilot.records import QueuedJob
from pytest_clusterjobs.backends.skypilot.states import phase_of
from pytest_clusterjobs.backends.skypilot.states import PHASES
from pytest_clusterjobs.judge import outcome
from pytest_clusterjobs.model import Classification
from pytest_clusterjobs.model import JobSpec
from pytest_clusterjobs.model import Observation
from pytest_clusterjobs.model import Phase
from pytest_clusterjobs.model import Reason
from pytest_clusterjobs.model import SentinelReport
from pytest_clusterjobs.model import SentinelWord

NOW = 1_000_000.0
FAILED_7 = "Job exited with exit code 7 (user program failure). To see the details, run: sky jobs logs --controller 3"


def row(status: str, **fields: Any) -> QueuedJob:
    given = {"schedule_state": "DONE", "submitted": NOW - 90, "started": NOW - 60, "ended": NOW - 5, **fields}
    return QueuedJob(3, "cj-x", status, **given)


def exited(code: int, node: int = 0, **fields: Any) -> SentinelReport:
    return SentinelReport(SentinelWord.EXITED, node, code, **fields)


def word(word: SentinelWord, node: int = 0) -> SentinelReport:
    return SentinelReport(word, node)


def rank_reports(*reports: SentinelReport) -> RankReports:
    return RankReports({report.node: report for report in reports})


def judged(seen: Observation, ranks: int = 1) -> tuple[str, int | None]:
    spec = JobSpec("x", nodes=ranks, heartbeat_timeout=10.0)
    result = outcome(spec, seen, action=None, classification=Classification(), log=None)
    return result.reason, result.exit_code


def test_every_state_has_a_phase(sky: None) -> None:
    from sky import JobStatus
    from sky.jobs import ManagedJobStatus

    states = [*ManagedJobStatus, *JobStatus]
    assert {each.value for each in states} - PHASES.keys() == set()
    assert {each.value for each in states if each.is_terminal()} == {
        state for state, phase in PHASES.items() if phase is Phase.ENDED
    }


def test_a_state_of_a_newer_skypilot_is_not_an_end() -> None:
    assert phase_of("DREAMING") is Phase.RUNNING


def test_a_job_ends_when_its_cluster_is_gone_or_overdue() -> None:
    assert is_over(row("FAILED"), NOW, 120)
    going = row("FAILED", schedule_state="ALIVE")
    assert not is_over(going, NOW, 120)
    assert is_over(going, NOW + 120, 120)
    seen = observe_end(going, rank_reports(exited(7)), ranks=1, limit=None)
    assert seen.native_reason == "its cluster was not seen to go down"


def test_a_recovering_job_is_pending() -> None:
    seen = observe_live(row("RECOVERING", recoveries=1, details="Cluster preempted or failed"))
    assert (seen.phase, seen.restarts) == (Phase.PENDING, 1)
    assert seen.native_reason == "Cluster preempted or failed"


@pytest.mark.parametrize(
    ("status", "fields", "reports", "reason", "code"),
    [
        ("SUCCEEDED", {}, [exited(0)], Reason.JOB_COMPLETED, 0),
        ("SUCCEEDED", {}, [], Reason.UNKNOWN, None),
        ("FAILED", {"failure": FAILED_7}, [exited(7)], Reason.JOB_FAILED, 7),
        ("FAILED", {"failure": FAILED_7}, [], Reason.UNKNOWN, None),
        ("SUCCEEDED", {}, [exited(7)], Reason.JOB_FAILED, 7),
        ("FAILED", {}, [word(SentinelWord.HEARTBEAT_TIMEOUT)], Reason.HEARTBEAT_TIMEOUT, None),
        ("FAILED", {}, [exited(137)], Reason.KILLED_BY_SIGNAL, 137),
        ("FAILED", {}, [], Reason.UNKNOWN, None),
        ("FAILED", {}, [exited(0)], Reason.UNKNOWN, None),
        ("FAILED_DRIVER", {}, [exited(0)], Reason.UNKNOWN, None),
        ("FAILED_DRIVER", {}, [exited(7)], Reason.JOB_FAILED, 7),
        ("FAILED_CONTROLLER", {}, [exited(0)], Reason.UNKNOWN, None),
        ("FAILED_SETUP", {}, [], Reason.START_FAILED, None),
        ("FAILED_PRECHECKS", {"started": None, "failure": "no cloud"}, [], Reason.REJECTED, None),
        ("FAILED_NO_RESOURCE", {"started": None}, [], Reason.QUEUE_TIMEOUT, None),
        ("FAILED_NO_RESOURCE", {}, [], Reason.PREEMPTED, None),
        ("FAILED_CONTROLLER", {}, [], Reason.UNKNOWN, None),
        ("CANCELLED", {}, [word(SentinelWord.STOPPED)], Reason.CANCELLED, None),
    ],
)
def test_the_reason_of_each_end(
    status: str, fields: dict[str, Any], reports: list[SentinelReport], reason: Reason, code: int | None
) -> None:
    seen = observe_end(row(status, **fields), rank_reports(*reports), ranks=1, limit=None)
    assert judged(seen) == (reason, code)


def test_the_launcher_s_code_of_several_nodes_is_ignored() -> None:
    """srun reports 143, with which it stopped rank 0, when rank 1 ended with 7."""
    failure = "Job exited with exit codes [143] (user program failure)."
    seen = observe_end(row("FAILED", failure=failure), rank_reports(exited(7, 1)), ranks=2, limit=None)
    assert judged(seen, 2) == (Reason.JOB_FAILED, 7)
    assert judged(observe_end(row("FAILED", failure=failure), RankReports(), ranks=2, limit=None), 2) == (
        Reason.UNKNOWN,
        None,
    )


def test_a_limit_of_an_earlier_start_is_the_end_of_the_job() -> None:
    limit = word(SentinelWord.MAX_RUNTIME_REACHED)
    seen = observe_end(
        row("CANCELLED", recoveries=1), rank_reports(word(SentinelWord.STOPPED)), ranks=1, limit=limit
    )
    assert judged(seen) == (Reason.MAX_RUNTIME_REACHED, None)
    seen = observe_end(row("SUCCEEDED", recoveries=1), rank_reports(exited(0)), ranks=1, limit=limit)
    assert judged(seen) == (Reason.MAX_RUNTIME_REACHED, None)


MARK = "0123456789ab"
LOG = (
    f"(head, rank=0, pid=1) [clusterjobs {MARK} began node=0 at={NOW - 50:.0f}]\n"
    f"(worker1, rank=1, pid=1, ip=1.1.1.1) [clusterjobs {MARK} began node=1 at={NOW - 48:.0f}]\n"
    f"(head, rank=0, pid=1) [clusterjobs {MARK} exited exit_code=0 node=0 restarts=0 heartbeats=0]\n"
    f"(head, rank=0, pid=1) [clusterjobs {MARK} ended node=0 at={NOW - 20:.0f}.%N]\n"
    f"(worker1, rank=1, pid=1, ip=1.1.1.1) [clusterjobs {MARK} exited exit_code=7 node=1 restarts=0 heartbeats=0]\n"
    f"(worker1, rank=1, pid=1, ip=1.1.1.1) [clusterjobs {MARK} ended node=1 at={NOW - 18:.0f}]\n"
)


def test_the_nodes_times_take_precedence() -> None:
    """SkyPilot's times are those of its checks."""
    end = observe_end(row("FAILED"), read_reports(LOG, MARK, 2), ranks=2, limit=None)
    assert (end.times.started, end.times.ended) == (NOW - 50, NOW - 18)
    assert [node.ended for node in end.nodes] == [NOW - 20, NOW - 18]


def test_skypilot_s_start_time_is_used_after_a_restart() -> None:
    end = observe_end(row("FAILED", recoveries=1), read_reports(LOG, MARK, 2), ranks=2, limit=None)
    assert (end.times.started, end.times.ended) == (NOW - 60, NOW - 18)


def test_a_clock_that_differs_too_much_is_ignored() -> None:
    off = LOG.replace(f"at={NOW - 18:.0f}", "at=18")
    assert observe_end(row("FAILED"), read_reports(off, MARK, 2), ranks=2, limit=None).times.ended == NOW - 20
    assert (
        observe_end(
            row("FAILED"), read_reports(LOG.replace("at=9", "at=19"), MARK, 2), ranks=2, limit=None
        ).times.ended
        == NOW - 5
    )


def test_a_report_about_another_rank_counts_for_neither() -> None:
    mixed = LOG.replace("exit_code=7 node=1", "exit_code=0 node=0")
    found = read_reports(mixed, MARK, 2)
    assert [report.exit_code for report in found.reports.values()] == [0] and 1 not in found.reports
    # A log may have no prefixes.
    bare = "".join(line.partition(") ")[2] for line in LOG.splitlines(keepends=True))
    assert read_reports(bare, MARK, 2) == read_reports(LOG, MARK, 2)


BEGUN = f"(head, rank=0, pid=1) [clusterjobs {MARK} begun node=0 restarts=0]\n"


@pytest.mark.parametrize(
    ("log", "begun", "cause"),
    [
        # The script ended and printed that; the command had not begun.
        (LOG.replace("exited exit_code=0 node=0", "x"), False, ""),
        (LOG.replace("exited exit_code=0 node=0", "x") + BEGUN, True, ""),
        # It was killed, or its log was cut off.
        (LOG.partition("\n")[0] + "\n" + BEGUN, True, ""),
        (LOG.partition("\n")[0] + "\n", None, "ends before its command began"),
        ("", None, "the log is lost, or the rank's script never ran"),
        ("ERROR: something of SkyPilot's\n", None, "the log is lost, or the rank's script never ran"),
    ],
)
def test_a_log_shows_whether_the_command_began(log: str, begun: bool | None, cause: str) -> None:
    end = observe_end(row("FAILED"), read_reports(log, MARK, 1), ranks=1, limit=None)
    assert (end.nodes[0].report, end.nodes[0].begun) == (None, begun)
    assert cause in end.nodes[0].unread and bool(cause) == bool(end.nodes[0].unread)
    assert end.log_complete is not bool(cause)
    assert missing_report_cause(log, MARK, 0) == end.nodes[0].unread


@pytest.mark.parametrize("status", ["CANCELLED", "FAILED_SETUP", "FAILED_PRECHECKS", "FAILED_NO_RESOURCE"])
def test_a_missing_report_that_skypilot_s_state_explains_is_complete(status: str) -> None:
    end = observe_end(row(status), read_reports("", MARK, 2), ranks=2, limit=None)
    assert end.log_complete and not any(node.unread for node in end.nodes)


def test_a_limit_is_accepted_from_its_own_rank_only() -> None:
    line = f"[clusterjobs {MARK} max_runtime_reached exit_code=- node=1 restarts=0 heartbeats=0 begun=1 cs=300]\n"
    assert [report.node for report in limits_in(f"(worker1, rank=1, pid=1, ip=1.1.1.1) {line}", MARK)] == [1]
    assert limits_in(f"(head, rank=0, pid=1) {line}", MARK) == []


def test_time_marks_are_removed_from_logs() -> None:
    text = f"[clusterjobs {MARK} began node=0 at=5]\nhello\n[clusterjobs {MARK} ended node=0 at=6]\n"
    assert without_time_marks(text) == "hello\n"
