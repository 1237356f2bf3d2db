"""Errors in credentials, region, queues and definitions are one line, reported before a second submission."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from pytest_clusterjobs.backends.protocol import SubmissionRejected
from pytest_clusterjobs.devclusters.aws_batch import BatchClient
from pytest_clusterjobs.model import JobSpec
from pytest_clusterjobs.model import Phase
from pytest_clusterjobs.model import Reason
from pytest_clusterjobs.model import Verdict
from pytest_clusterjobs.model.records import Result
from tests.system.aws.run import Run
from tests.system.processes import until


def reason(result: Result) -> str:
    return result.outcome.reason


def submitted(aws: BatchClient, worker: str) -> int:
    return aws.calls(caller=worker).get("submitjob", {"calls": 0})["calls"]


def rejections(run: Run, jobs: int = 5, options: dict[str, Any] | None = None, **site: Any) -> set[str]:
    """The messages with which several jobs are rejected."""
    results = run.finish(*[JobSpec("true", options=options or {}) for _ in range(jobs)], **site)
    assert {reason(result) for result in results} == {Reason.REJECTED}
    assert {result.judgement.verdict for result in results} == {Verdict.ERROR}
    return {result.outcome.native_reason for result in results}


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"queue": "nowhere"}, "there is no job queue 'nowhere' in us-east-1"),
        ({"job_definition": "nothing"}, "there is no active job definition 'nothing' in us-east-1"),
        ({"job_definition": "local:99"}, "there is no active job definition 'local:99'"),
        ({"job_definition": "local-parallel"}, "has type multinode"),
        ({"profile": "missing"}, "AWS profile: The config profile (missing) could not be found"),
    ],
)
def test_a_wrong_setting_is_reported_before_any_submission(
    run: Run, aws: BatchClient, worker: str, wrong: dict[str, Any], expected: str
) -> None:
    [reported] = rejections(run, **wrong)
    assert expected in reported and "\n" not in reported
    assert submitted(aws, worker) == 0


def test_all_queues_and_definitions_are_checked_before_any_submission(
    run: Run, aws: BatchClient, worker: str
) -> None:
    """Otherwise the jobs of several nodes would be rejected long after the first jobs have started."""
    specs = [*(JobSpec("true") for _ in range(20)), *(JobSpec("true", nodes=2) for _ in range(20))]
    backend = run.open(multinode_job_definition="local")
    reported = backend.check_selection(specs)
    assert reported[:20] == [""] * 20
    assert (
        len(set(reported[20:])) == 1
        and "has type container: jobs of 2 node(s) need multinode" in reported[-1]
    )
    assert submitted(aws, worker) == 0
    assert sum(each["calls"] for each in aws.calls(caller=worker).values()) <= 3
    one, two = run.finish(JobSpec("exit 3"), JobSpec("true", nodes=2), multinode_job_definition="local")
    assert (one.outcome.exit_code, two.outcome.native_reason) == (3, reported[-1])
    assert submitted(aws, worker) == 1


def test_a_wrong_queue_of_one_cell_does_not_affect_others(run: Run) -> None:
    wrong, right = run.finish(JobSpec("true", options={"jobQueue": "nowhere"}), JobSpec("exit 3"))
    assert (reason(wrong), right.outcome.exit_code) == (Reason.REJECTED, 3)


@pytest.mark.parametrize(
    ("unset", "expected"),
    [
        (("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "AWS credentials: Unable to locate credentials"),
        (("AWS_SECRET_ACCESS_KEY",), "AWS credentials: Partial credentials"),
        (("AWS_DEFAULT_REGION", "AWS_REGION"), "AWS region: not set"),
    ],
)
def test_missing_credentials_or_region_are_reported(
    run: Run, monkeypatch: pytest.MonkeyPatch, unset: tuple[str, ...], expected: str
) -> None:
    for name in unset:
        monkeypatch.delenv(name)
    [reported] = rejections(run)
    assert expected in reported


@pytest.mark.parametrize(
    ("status", "code", "message", "expected"),
    [
        (
            403,
            "ExpiredTokenException",
            "The security token included in the request is expired",
            "has expired",
        ),
        (
            403,
            "UnrecognizedClientException",
            "The security token is invalid.",
            "does not know this access key",
        ),
        (403, "InvalidSignatureException", "The Canonical String: x-amz-security-token:SECRET", "secret key"),
    ],
)
def test_rejected_credentials_are_reported_once(
    run: Run,
    trouble: Callable[..., None],
    aws: BatchClient,
    worker: str,
    status: int,
    code: str,
    message: str,
    expected: str,
) -> None:
    trouble("*", status=status, code=code, message=message, times=1000)
    [reported] = rejections(run)
    assert expected in reported and "SECRET" not in reported
    assert sum(each["calls"] for each in aws.calls(caller=worker).values()) <= 2


def test_an_unreachable_endpoint_is_reported_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL_BATCH", f"http://127.0.0.1:{closed.getsockname()[1]}")
        [reported] = rejections(run)
    assert "Could not connect to the endpoint URL" in reported


def test_a_denied_submission_is_reported_once(
    run: Run, trouble: Callable[..., None], aws: BatchClient, worker: str
) -> None:
    message = "User: arn:aws:iam::1:user/ci is not authorized to perform: batch:SubmitJob"
    trouble("SubmitJob", status=403, code="AccessDeniedException", message=message, times=1000)
    [reported] = rejections(run)
    assert "AWS denies SubmitJob" in reported and "batch:SubmitJob" in reported
    assert submitted(aws, worker) == 1


def test_submitting_does_not_need_the_rights_to_describe(run: Run, trouble: Callable[..., None]) -> None:
    for operation in ("DescribeJobQueues", "DescribeJobDefinitions"):
        trouble(operation, status=403, code="AccessDeniedException", message="no", times=1000)
    [result] = run.finish(JobSpec("exit 3"))
    assert result.outcome.exit_code == 3


def test_an_expired_token_does_not_affect_running_jobs(run: Run, trouble: Callable[..., None]) -> None:
    trouble("DescribeJobs", status=403, code="ExpiredTokenException", message="expired", times=3)
    [result] = run.finish(JobSpec("exit 3"))
    assert result.outcome.exit_code == 3


def test_logs_in_another_group_are_read(run: Run, batch: Any, worker: str, tmp_path: Path) -> None:
    container = {
        "image": "local",
        "command": ["true"],
        "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "2048"}],
    }
    logging = {"logDriver": "awslogs", "options": {"awslogs-group": f"/team/{worker}"}}
    batch.register_job_definition(
        jobDefinitionName=f"g-{worker}",
        type="container",
        containerProperties={**container, "logConfiguration": logging},
    )
    [result] = run.finish(JobSpec("exit 3"), job_definition=f"g-{worker}")
    assert result.outcome.exit_code == 3
    assert f"$252Fteam$252F{worker}" in str(result.outcome.nodes[0].log)
    batch.register_job_definition(
        jobDefinitionName=f"s-{worker}",
        type="container",
        containerProperties={**container, "logConfiguration": {"logDriver": "splunk"}},
    )
    [reported] = rejections(run, job_definition=f"s-{worker}")
    assert "has the log driver 'splunk'" in reported


def test_logs_are_readable_after_aws_batch_has_forgotten_the_job(run: Run) -> None:
    backend = run.open()
    name = run.token()
    handle = backend.submit(JobSpec("echo hello; exit 3"), name)
    until(lambda: backend.poll({name: handle})[name].phase is Phase.ENDED)
    full = backend.poll({name: handle})[name].handle
    assert full is not None
    forgotten = type(full)("00000000-0000-0000-0000-000000000000", dict(full.data))
    chunk = run.open().logs(forgotten)
    assert "hello" in chunk.text and chunk.complete


def test_a_secret_comes_from_its_arn_and_is_not_needed_here(run: Run, worker: str) -> None:
    arn = boto3.client("secretsmanager").create_secret(Name=f"t-{worker}", SecretString="hunter2")["ARN"]
    spec = JobSpec("[ ${#TOKEN} = 7 ]", secrets=("TOKEN",))
    [result] = run.finish(spec, secrets={"TOKEN": arn})
    assert reason(result) == Reason.JOB_COMPLETED
    shown = run.open(secrets={"TOKEN": arn}).preview(spec, run.token())
    assert "(local with secret TOKEN)" in shown and "hunter2" not in shown


def test_a_job_that_is_not_in_a_matrix_is_checked(run: Run) -> None:
    with pytest.raises(SubmissionRejected, match="move long scripts into the image"):
        run.open().submit(JobSpec("x" * 9000), run.token())
