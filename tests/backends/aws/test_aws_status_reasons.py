"""The texts of AWS Batch that have a meaning, and their precedence."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_clusterjobs.backends.aws_batch.job_detail import JobDetail
from pytest_clusterjobs.backends.aws_batch.observe import end_reason
from pytest_clusterjobs.backends.aws_batch.status_reasons import at_end
from pytest_clusterjobs.backends.aws_batch.status_reasons import CATALOGUE
from pytest_clusterjobs.backends.aws_batch.status_reasons import while_waiting
from pytest_clusterjobs.model import Reason

WAITING = [
    (
        "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - Service cannot fulfill the capacity requested for instance type [p5]",
        None,
    ),
    (
        "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE - CE(s) associated with the job queue cannot meet the CPU"
        " requirement of the job.",
        Reason.REJECTED,
    ),
    (
        "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - The job resource requirement (vCPU/memory/GPU) is higher than that"
        " can be met by the CE(s) attached to the job queue.",
        Reason.REJECTED,
    ),
    ("MISCONFIGURATION:EC2_INSTANCE_CONFIGURATION_UNSUPPORTED - unsupported", Reason.REJECTED),
    (
        "MISCONFIGURATION:SERVICE_ROLE_PERMISSIONS – Batch service role has a permission issue.",  # noqa: RUF001
        Reason.REJECTED,
    ),
    ("ACTION_REQUIRED - CE(s) associated with the job queue are invalid.", Reason.REJECTED),
    ("UNDETERMINED - Batch job is blocked, root cause is undetermined.", None),
]

ENDS: list[tuple[dict[str, Any], Reason | None]] = [
    ({"status": "Essential container in task exited"}, None),
    ({"status": "Job attempt duration exceeded timeout"}, Reason.MAX_RUNTIME_REACHED),
    ({"status": "Host EC2 (instance i-0123456789abcdef0) terminated."}, Reason.NODE_FAILED),
    ({"status": "Your Spot Task was interrupted."}, Reason.PREEMPTED),
    (
        {
            "status": "Essential container in task exited",
            "container": "OutOfMemoryError: Container killed due to memory usage",
        },
        Reason.OUT_OF_MEMORY,
    ),
    ({"status": "Task failed to start"}, Reason.START_FAILED),
    (
        {
            "status": "Task failed to start",
            "container": "CannotPullContainerError: pull image manifest has been retried",
        },
        Reason.START_FAILED,
    ),
    ({"container": "CannotPullImageManifestError: Error response from daemon"}, Reason.START_FAILED),
    ({"container": "CannotPullECRContainerError: no basic auth credentials"}, Reason.START_FAILED),
    (
        {"container": "CannotStartContainerError: Error response from daemon: failed to create task"},
        Reason.START_FAILED,
    ),
    ({"container": "CannotCreateContainerError: Error response from daemon"}, Reason.START_FAILED),
    (
        {
            "container": "CannotInspectContainerError: Could not transition to inspecting; timed out after waiting 30s"
        },
        Reason.NODE_FAILED,
    ),
    (
        {"container": "DockerTimeoutError: Could not transition to created; timed out after waiting 4m0s"},
        Reason.START_FAILED,
    ),
    (
        {"container": "ResourceInitializationError: unable to pull secrets or registry auth"},
        Reason.START_FAILED,
    ),
    ({"status": "ResourceInitializationError: unable to pull secrets or registry auth"}, Reason.START_FAILED),
    ({"status": "Dependent Job failed"}, Reason.DEPENDENCY_FAILED),
    ({"status": "Array Child Job failed"}, None),
    ({"status": "Container Overrides length must be at most 8192"}, Reason.REJECTED),
    ({"container": "OOMKilled"}, Reason.OUT_OF_MEMORY),
    ({"container": "ImagePullBackOff: Back-off pulling image"}, Reason.START_FAILED),
    ({"container": "ErrImagePull"}, Reason.START_FAILED),
    ({"status": "the caller's text", "terminated": True}, Reason.CANCELLED),
    ({"status": "the caller's text", "cancelled": True}, Reason.CANCELLED),
    # An unknown text.
    ({"status": "Something new happened", "container": "NewError: of next year"}, None),
]


def reason_of(*, status: str = "", container: str = "", **flags: bool) -> Reason | None:
    row = at_end(
        terminated=flags.get("terminated", False),
        cancelled=flags.get("cancelled", False),
        status_reason=status,
        container_reasons=[container] if container else [],
    )
    return None if row is None else row.reason


@pytest.mark.parametrize(("text", "reason"), WAITING)
def test_the_reason_of_a_waiting_job(text: str, reason: Reason | None) -> None:
    row = while_waiting(text)
    assert row is not None and row.reason is reason and row.meaning


@pytest.mark.parametrize(("fields", "reason"), ENDS)
def test_the_reason_of_an_ended_job(fields: dict[str, Any], reason: Reason | None) -> None:
    assert reason_of(**fields) is reason


def test_every_row_is_tested() -> None:
    texts = [text for text, _ in WAITING] + [str(text) for fields, _ in ENDS for text in fields.values()]
    untested = [
        row.text for row in CATALOGUE if not any(text.lower().startswith(row.text.lower()) for text in texts)
    ]
    assert untested == []


@pytest.mark.parametrize(
    "text", ["out of cheese", "", "capacity planning is hard", "MISCONFIGURATION of mine"]
)
def test_other_texts_of_a_waiting_job_have_no_reason(text: str) -> None:
    assert while_waiting(text) is None


def test_case_is_ignored() -> None:
    assert reason_of(container="outofmemoryerror: container killed") is Reason.OUT_OF_MEMORY


def test_the_text_of_a_termination_does_not_change_its_reason() -> None:
    for forged in (
        "OutOfMemoryError: Container killed",
        "Host EC2 (instance i-1) terminated.",
        "Task failed to start",
    ):
        assert reason_of(status=forged, terminated=True) is Reason.CANCELLED


def test_a_container_s_reason_takes_precedence_over_the_job_s() -> None:
    status, container = "Host EC2 (instance i-1) terminated.", "CannotPullContainerError: x"
    assert reason_of(status=status, container=container) is Reason.START_FAILED


def test_a_text_in_another_field_has_no_reason() -> None:
    assert reason_of(status="OutOfMemoryError: in the wrong field") is None
    assert reason_of(container="Host EC2 (instance i-1) terminated.") is None


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        ("CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY", Reason.QUEUE_TIMEOUT),
        ("MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT", Reason.REJECTED),
        ("something else", Reason.QUEUE_TIMEOUT),
    ],
)
def test_a_time_limit_of_the_queue_takes_precedence_over_the_flags(cause: str, reason: Reason) -> None:
    text = f"Canceled by JobStateTimeLimit action due to reason: {cause}"
    assert reason_of(status=text) is reason
    assert reason_of(status=text, cancelled=True, terminated=True) is reason


@pytest.mark.parametrize("code", [137, 139, 143, 1, None])
def test_an_exit_code_alone_is_not_a_reason(code: int | None) -> None:
    container = {} if code is None else {"exitCode": code}
    raw = {"jobId": "j", "status": "FAILED", "attempts": [{"container": container, "stoppedAt": 2}]}
    assert end_reason(JobDetail(raw)) is None


def test_a_flag_after_success_is_ignored() -> None:
    raw = {"jobId": "j", "status": "SUCCEEDED", "isTerminated": True, "statusReason": "too late"}
    assert end_reason(JobDetail(raw)) is None
    assert end_reason(JobDetail({**raw, "status": "FAILED"})) is not None
