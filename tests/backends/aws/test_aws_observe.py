"""Every form of DescribeJobs' answers. The answers are handwritten, in the shapes of AWS's API model."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_clusterjobs.backends.aws_batch.inspect import shown
from pytest_clusterjobs.backends.aws_batch.job_detail import JobDetail
from pytest_clusterjobs.backends.aws_batch.job_detail import StreamName
from pytest_clusterjobs.backends.aws_batch.observe import DescribedJob
from pytest_clusterjobs.backends.aws_batch.observe import observe
from pytest_clusterjobs.backends.aws_batch.observe import RankLog
from pytest_clusterjobs.model import Observation
from pytest_clusterjobs.model import Phase
from pytest_clusterjobs.model import Reason
from pytest_clusterjobs.model import SentinelReport
from pytest_clusterjobs.model import SentinelWord

TOKEN = "cj-20260101t000000-abcdef-0123456789-a1"
ENDED = "Essential container in task exited"
COMPLETE = RankLog(complete=True)
NEVER_BEGAN = RankLog(complete=True, begun=False)
DENIED = "AWS denies GetLogEvents: User: x is not authorized to perform: logs:GetLogEvents"
HOST_LOST = "Host EC2 (instance i-0123456789abcdef0) terminated."
SPOT = "Your Spot Task was interrupted."


def raw(status: str, **more: Any) -> dict[str, Any]:
    return {"jobId": "j", "jobName": TOKEN, "status": status, "createdAt": 1_000_000, **more}


def attempt(
    code: int | None, at: int = 2_000, reason: str = "", stream: str = "s1", **more: Any
) -> dict[str, Any]:
    container = {"logStreamName": stream, "exitCode": code, "reason": reason or None}
    shown = {name: value for name, value in container.items() if value is not None}
    return {
        "container": shown,
        "startedAt": at * 1000,
        "stoppedAt": (at + 10) * 1000,
        "statusReason": ENDED,
        **more,
    }


def seen(found: dict[str, Any], log: RankLog = COMPLETE) -> Observation:
    return observe(DescribedJob(JobDetail(found)), {0: log})


@pytest.mark.parametrize(
    ("status", "phase"),
    [
        ("SUBMITTED", Phase.PENDING),
        ("PENDING", Phase.PENDING),
        ("RUNNABLE", Phase.PENDING),
        ("SCHEDULED", Phase.PENDING),
        ("STARTING", Phase.PENDING),
        ("RUNNING", Phase.RUNNING),
        ("SUCCEEDED", Phase.ENDED),
        ("FAILED", Phase.ENDED),
        ("A_NEW_ONE", Phase.PENDING),
    ],
)
def test_each_status_has_a_phase(status: str, phase: Phase) -> None:
    assert seen(raw(status)).phase is phase
    assert seen(raw(status)).native_state == status


def test_empty_fields_are_accepted() -> None:
    assert seen({"jobId": "j"}).phase is Phase.PENDING
    assert seen({"jobId": "j", "status": "FAILED", "container": None, "attempts": None}).phase is Phase.ENDED


def test_a_job_that_ended_has_its_times_and_exit_code() -> None:
    found = seen(raw("FAILED", attempts=[attempt(3)], stoppedAt=2_010_000, statusReason=ENDED), NEVER_BEGAN)
    assert (found.exit_code, found.restarts, found.reason_hint) == (3, 0, Reason.START_FAILED)
    log = RankLog(SentinelReport(SentinelWord.EXITED, 0, 3), complete=True)
    found = seen(raw("FAILED", attempts=[attempt(3)], stoppedAt=2_010_000, statusReason=ENDED), log)
    assert (found.exit_code, found.reason_hint, found.native_reason) == (3, None, ENDED)
    assert (found.times.submitted, found.times.started, found.times.ended) == (1000.0, 2000.0, 2010.0)


def test_all_attempts_are_counted_and_the_last_decides() -> None:
    attempts = [
        attempt(None, 2_000, stream="s1", statusReason="Host EC2 (instance i-1) terminated."),
        attempt(137, 3_000, "OutOfMemoryError: Container killed due to memory usage", stream="s2"),
        attempt(0, 4_000, stream="s3"),
    ]
    found = seen(raw("SUCCEEDED", attempts=attempts, stoppedAt=4_010_000, statusReason=ENDED))
    assert (found.restarts, found.exit_code, found.reason_hint) == (2, 0, None)
    assert found.times.started == 2000.0
    detail = JobDetail(raw("SUCCEEDED", attempts=attempts))
    assert [str(stream.name) for n in range(3) if (stream := detail.stream(n))] == ["s1", "s2", "s3"]
    assert detail.stream(3) is None


def test_restarts_of_a_job_that_is_running_or_waiting() -> None:
    running = raw("RUNNING", attempts=[attempt(3)], startedAt=3_000_000, container={"logStreamName": "s2"})
    assert (seen(running).restarts, seen(running).times.started) == (1, 2000.0)
    assert JobDetail(running).stream(1) == StreamName("/aws/batch/job", "s2", "")
    # A list that has the current attempt as well is understood, too.
    current = {"container": {"logStreamName": "s2"}, "startedAt": 3_000_000}
    assert seen({**running, "attempts": [attempt(3), current]}).restarts == 1
    waiting = raw("RUNNABLE", attempts=[attempt(3)], container={"logStreamName": "s1", "exitCode": 3})
    assert (seen(waiting).restarts, len(JobDetail(waiting).starts)) == (1, 1)


def test_a_waiting_job_has_its_status_reason() -> None:
    stuck = seen(raw("RUNNABLE", statusReason="MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - too much"))
    assert (stuck.phase, stuck.reason_hint) == (Phase.PENDING, Reason.REJECTED)
    assert stuck.native_reason.startswith("MISCONFIGURATION:")
    full = seen(raw("RUNNABLE", statusReason="CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - none"))
    assert full.reason_hint is None and full.native_reason.startswith("CAPACITY:")


def test_a_job_that_never_started_has_its_reason() -> None:
    failed = raw("FAILED", statusReason="Dependent Job failed", stoppedAt=5_000_000)
    found = seen(failed)
    assert (found.reason_hint, found.restarts, found.times.started) == (Reason.DEPENDENCY_FAILED, 0, None)
    pulled = attempt(
        None, reason="CannotPullContainerError: no such image", statusReason="Task failed to start"
    )
    del pulled["startedAt"], pulled["container"]["logStreamName"]
    found = seen(raw("FAILED", statusReason="Task failed to start", attempts=[pulled]))
    assert (found.reason_hint, found.exit_code, found.times.started) == (Reason.START_FAILED, None, None)
    assert found.native_reason == "Task failed to start; CannotPullContainerError: no such image"


@pytest.mark.parametrize(
    ("code", "never_began"), [(0, True), (1, True), (2, True), (127, True), (137, False), (143, False)]
)
def test_a_command_that_the_image_did_not_run_is_a_failed_start(code: int, never_began: bool) -> None:
    status = "FAILED" if code else "SUCCEEDED"
    ended = raw(status, attempts=[attempt(code)], statusReason=ENDED)
    found = seen(ended, NEVER_BEGAN)
    assert (found.reason_hint is Reason.START_FAILED) is never_began
    assert ("ENTRYPOINT" in found.native_reason) is never_began
    assert found.nodes[0].begun is False
    # Not while the log may still arrive, nor for a job that began, that has a report, or whose log is denied.
    for log in (RankLog(), COMPLETE, RankLog(complete=True, begun=True), RankLog(unread=DENIED)):
        assert seen(ended, log).reason_hint is None and "ENTRYPOINT" not in seen(ended, log).native_reason
    assert (
        seen(ended, RankLog(SentinelReport(SentinelWord.EXITED, 0, code), complete=True)).reason_hint is None
    )


@pytest.mark.parametrize("code", [0, 1, 3, 127])
def test_an_unreadable_log_is_reported_and_not_a_failed_start(code: int) -> None:
    status = "FAILED" if code else "SUCCEEDED"
    found = seen(raw(status, attempts=[attempt(code)], statusReason=ENDED), RankLog(unread=DENIED))
    assert (found.reason_hint, found.log_complete) == (None, False)
    assert (found.nodes[0].begun, found.nodes[0].unread) == (None, DENIED)


def test_aws_s_own_reason_takes_precedence_over_the_log() -> None:
    pulled = attempt(None, reason="CannotPullContainerError: x", statusReason="Task failed to start")
    found = seen(raw("FAILED", statusReason="Task failed to start", attempts=[pulled]), NEVER_BEGAN)
    assert found.reason_hint is Reason.START_FAILED and "ENTRYPOINT" not in found.native_reason
    lost = attempt(None, statusReason=HOST_LOST)
    found = seen(raw("FAILED", statusReason=HOST_LOST, attempts=[lost]), NEVER_BEGAN)
    assert found.reason_hint is Reason.NODE_FAILED


def test_a_job_of_several_containers() -> None:
    """The container is empty then, and the tasks have the exit codes."""
    containers = [
        {"name": "sidecar", "exitCode": 0, "logStreamName": "side"},
        {
            "name": "main",
            "exitCode": 4,
            "reason": "OutOfMemoryError: Container killed",
            "logStreamName": "main",
        },
    ]
    ended = {**attempt(None), "container": {}, "taskProperties": [{"containers": containers}]}
    found = seen(raw("FAILED", attempts=[ended], container={}, ecsProperties={"taskProperties": []}))
    assert (found.exit_code, found.reason_hint) == (4, Reason.OUT_OF_MEMORY)


def test_a_job_on_kubernetes() -> None:
    pod = {
        "podName": "p",
        "nodeName": "ip-10-0-0-1.ec2.internal",
        "startedAt": 2_000_000,
        "stoppedAt": 2_010_000,
        "statusReason": "",
        "initContainers": [{"name": "init", "exitCode": 0}],
        "containers": [{"name": "main", "exitCode": 137, "reason": "OOMKilled"}],
    }
    found = seen(raw("FAILED", eksAttempts=[pod], eksProperties={"podProperties": {"containers": []}}))
    assert (found.exit_code, found.reason_hint, found.restarts) == (137, Reason.OUT_OF_MEMORY, 0)
    assert found.nodes[0].host == "ip-10-0-0-1.ec2.internal"
    assert JobDetail(raw("FAILED", eksAttempts=[pod])).stream(0) is None


def test_the_definition_determines_the_log_group_and_region() -> None:
    options = {"awslogs-group": "/team", "awslogs-region": "eu-west-1"}
    logging = {"logConfiguration": {"logDriver": "awslogs", "options": options}, "logStreamName": "s"}
    assert JobDetail(raw("RUNNING", container=logging)).stream(0) == StreamName("/team", "s", "eu-west-1")
    plain = JobDetail(raw("RUNNING", container={"logStreamName": "s"}))
    assert plain.stream(0, "/site") == StreamName("/site", "s", "")


# Multi-node jobs.


def node(rank: int, status: str, *attempts: dict[str, Any], **more: Any) -> JobDetail:
    about = {"nodeDetails": {"nodeIndex": rank, "isMainNode": rank == 0}, "attempts": list(attempts)}
    return JobDetail({**raw(status, **about, **more), "jobId": f"j#{rank}"})


def parallel(status: str, nodes: list[JobDetail], *attempts: dict[str, Any], **more: Any) -> DescribedJob:
    about = {"nodeProperties": {"numNodes": len(nodes), "mainNode": 0}, "attempts": list(attempts)}
    return DescribedJob(JobDetail(raw(status, **about, **more)), dict(enumerate(nodes)))


def logs(*reports: SentinelReport | None) -> dict[int, RankLog]:
    return {rank: RankLog(report, complete=True) for rank, report in enumerate(reports)}


def exited(rank: int, code: int) -> SentinelReport:
    return SentinelReport(SentinelWord.EXITED, rank, code)


def test_a_child_that_failed_is_reported_while_the_others_run() -> None:
    job = parallel(
        "RUNNING", [node(0, "RUNNING"), node(1, "FAILED", attempt(5)), node(2, "SUCCEEDED", attempt(0))]
    )
    found = observe(job, {})
    assert [(each.rank, each.exit_code, each.ended) for each in found.nodes] == [(1, 5, 2010.0)]
    assert (found.phase, found.reason_hint) == (Phase.RUNNING, None)


def test_a_child_that_never_started_is_reported_while_the_others_run() -> None:
    dead = attempt(None, reason="CannotPullContainerError: x")
    del dead["startedAt"]
    found = observe(parallel("RUNNING", [node(0, "RUNNING"), node(1, "FAILED", dead)]), {})
    assert [(each.rank, each.exit_code) for each in found.nodes] == [(1, None)]


def test_a_failure_of_an_earlier_start_is_ignored() -> None:
    before = attempt(75, 2_000)
    nodes = [node(0, "RUNNING", before), node(1, "FAILED", attempt(5, 2_000, stoppedAt=2_011_000))]
    again = parallel("RUNNING", nodes, before, startedAt=3_000_000)
    assert observe(again, {}).nodes == ()
    assert observe(again, {}).restarts == 1


def test_ranks_that_stopped_after_the_main_node_are_marked() -> None:
    main = node(0, "SUCCEEDED", attempt(0))
    stopped = node(1, "FAILED", attempt(143, stoppedAt=2_011_000), statusReason="Main node exited")
    never = node(2, "FAILED", statusReason="Main node exited")
    failed = node(3, "FAILED", attempt(5, stoppedAt=2_005_000))
    killed = node(4, "FAILED", attempt(137, stoppedAt=2_005_000))
    memory = node(5, "FAILED", attempt(137, 2_000, "OutOfMemoryError: x", stoppedAt=2_012_000))
    job = parallel("SUCCEEDED", [main, stopped, never, failed, killed, memory], attempt(0))
    found = observe(job, logs(exited(0, 0), *[None] * 5))
    assert [each.stopped_by_cluster for each in found.nodes] == [False, True, True, False, False, False]


def test_a_job_is_running_while_its_nodes_are_being_stopped() -> None:
    nodes = [node(0, "FAILED", attempt(3)), node(1, "RUNNING")]
    job = parallel("FAILED", nodes, attempt(3), stoppedAt=2_010_000)
    assert observe(job, logs(exited(0, 3), None), now=2020.0).phase is Phase.RUNNING
    # Not forever: AWS may never show their ends.
    assert observe(job, logs(exited(0, 3), None), now=2100.0).phase is Phase.ENDED


def test_a_failed_main_node_does_not_excuse_other_ranks() -> None:
    main, other = node(0, "FAILED", attempt(3)), node(1, "FAILED", attempt(143, stoppedAt=2_011_000))
    found = observe(parallel("FAILED", [main, other], attempt(3)), logs(exited(0, 3), None))
    assert not any(each.stopped_by_cluster for each in found.nodes)


def test_the_rank_that_failed_first_determines_the_reason() -> None:
    """Although the job was terminated after that."""
    main = node(0, "FAILED", attempt(143, stoppedAt=2_020_000), isTerminated=True)
    child = node(1, "FAILED", attempt(137, 2_000, "OutOfMemoryError: Container killed"), isTerminated=True)
    job = parallel("FAILED", [main, child], attempt(143), isTerminated=True, statusReason="enough")
    assert observe(job, logs(None, None)).reason_hint is Reason.OUT_OF_MEMORY


def test_a_cancelled_multi_node_job_is_cancelled() -> None:
    nodes = [node(rank, "FAILED", attempt(143), isTerminated=True) for rank in range(2)]
    job = parallel("FAILED", nodes, attempt(143), isTerminated=True, statusReason="enough")
    assert observe(job, logs(None, None)).reason_hint is Reason.CANCELLED


CONSEQUENCES = {
    "clean": ("SUCCEEDED", 0, {}),
    "failed later": ("FAILED", 1, {}),
    "stopped by us": (
        "FAILED",
        143,
        {"isTerminated": True, "statusReason": "cancelled by pytest-clusterjobs, run x"},
    ),
}
"""How a job's main node ends when another one is lost: status, exit code, and further fields of the job."""


@pytest.mark.parametrize("main", CONSEQUENCES)
@pytest.mark.parametrize(
    ("status_reason", "container_reason", "code", "reason"),
    [
        (HOST_LOST, "", None, Reason.NODE_FAILED),
        (HOST_LOST, "", 143, Reason.NODE_FAILED),
        (SPOT, "", 137, Reason.PREEMPTED),
        (SPOT, "", 0, Reason.PREEMPTED),
        ("Task failed to start", "CannotPullContainerError: x", None, Reason.START_FAILED),
        ("Task failed to start", "", None, Reason.START_FAILED),
        (ENDED, "OutOfMemoryError: Container killed", 137, Reason.OUT_OF_MEMORY),
        (ENDED, "OutOfMemoryError: Container killed", 0, Reason.OUT_OF_MEMORY),
    ],
)
def test_the_reason_of_a_child_is_the_reason_of_the_job(
    main: str, status_reason: str, container_reason: str, code: int | None, reason: Reason
) -> None:
    status, main_code, about = CONSEQUENCES[main]
    flags = {name: value for name, value in about.items() if name == "isTerminated"}
    nodes = [
        node(0, status, attempt(main_code, stoppedAt=2_020_000), **flags),
        node(
            1,
            "FAILED" if code != 0 else "SUCCEEDED",
            attempt(code, reason=container_reason, statusReason=status_reason),
            statusReason=status_reason,
            **flags,
        ),
        node(2, "FAILED", attempt(143, stoppedAt=2_021_000), **flags),
    ]
    job = parallel(
        status,
        nodes,
        attempt(main_code, stoppedAt=2_020_000),
        stoppedAt=2_020_000,
        **{"statusReason": ENDED, **about},
    )
    found = observe(job, logs(exited(0, main_code), None, None))
    assert found.reason_hint is reason
    assert status_reason in found.native_reason
    assert not found.nodes[1].stopped_by_cluster


def test_a_reclaimed_main_node_is_the_reason_of_the_job() -> None:
    lost = attempt(None, statusReason=HOST_LOST)
    nodes = [
        node(0, "FAILED", lost, statusReason=HOST_LOST),
        node(1, "FAILED", attempt(143, stoppedAt=2_020_000)),
    ]
    job = parallel("FAILED", nodes, lost, statusReason=HOST_LOST, stoppedAt=2_010_000)
    assert observe(job, logs(None, None)).reason_hint is Reason.NODE_FAILED


def test_a_loss_without_a_time_or_noticed_late_is_the_reason() -> None:
    """Either may have caused the main node's failure."""
    for late in ({"stoppedAt": None}, {"stoppedAt": 2_050_000}):
        lost = {name: value for name, value in attempt(None, statusReason=HOST_LOST, **late).items() if value}
        nodes = [node(0, "FAILED", attempt(1)), node(1, "FAILED", lost, statusReason=HOST_LOST)]
        job = parallel("FAILED", nodes, attempt(1), statusReason=ENDED, stoppedAt=2_010_000)
        assert observe(job, logs(exited(0, 1), None)).reason_hint is Reason.NODE_FAILED


def test_a_child_that_failed_later_is_not_the_reason() -> None:
    def hint(reason: str, status_reason: str, at: int, **about: Any) -> Reason | None:
        late = attempt(None, reason=reason, statusReason=status_reason, stoppedAt=at)
        flags = {name: value for name, value in about.items() if name == "isTerminated"}
        nodes = [
            node(0, "FAILED", attempt(1), **flags),
            node(1, "FAILED", late, statusReason=status_reason, **flags),
        ]
        job = parallel("FAILED", nodes, attempt(1), **{"statusReason": ENDED, **about}, stoppedAt=2_010_000)
        return observe(job, logs(exited(0, 1), None)).reason_hint

    assert hint("OutOfMemoryError: x", ENDED, 2_020_000) is None
    assert hint("", HOST_LOST, 2_200_000) is None
    # The machines of a terminated job disappear.
    ended = {"isTerminated": True, "statusReason": "enough"}
    assert hint("", HOST_LOST, 2_011_000, **ended) is Reason.CANCELLED


def test_the_text_of_a_termination_is_not_interpreted() -> None:
    about = {"isTerminated": True, "statusReason": HOST_LOST}
    nodes = [node(rank, "FAILED", attempt(143, statusReason=HOST_LOST), **about) for rank in range(2)]
    job = parallel("FAILED", nodes, attempt(143, statusReason=HOST_LOST), **about)
    assert observe(job, logs(None, None)).reason_hint is Reason.CANCELLED


def test_values_of_variables_are_hidden() -> None:
    container = {"environment": [{"name": "TOKEN", "value": "hunter2"}], "command": ["true"]}
    nodes = [JobDetail({**raw("RUNNING", container=container), "jobId": "j#0"})]
    text = repr(shown(parallel("RUNNING", nodes, container=container)))
    assert "TOKEN" in text and "hunter2" not in text
