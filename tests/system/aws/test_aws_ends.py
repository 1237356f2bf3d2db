"""Ends of jobs on AWS Batch, and jobs that never start."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_clusterjobs.backends.aws_batch.api import Api
from pytest_clusterjobs.devclusters.aws_batch import BatchClient
from pytest_clusterjobs.engine import limits
from pytest_clusterjobs.model import ActionKind
from pytest_clusterjobs.model import JobSpec
from pytest_clusterjobs.model import Phase
from pytest_clusterjobs.model import Reason
from pytest_clusterjobs.model import Resources
from pytest_clusterjobs.model import Verdict
from pytest_clusterjobs.model.records import Result
from tests.system.aws.run import Run
from tests.system.processes import until


def reason(result: Result) -> str:
    return result.outcome.reason


def test_one_call_terminates_many_jobs_and_names_the_run(
    run: Run, aws: BatchClient, worker: str, batch: Any
) -> None:
    backend = run.open()
    handles = {run.token(str(n)): backend.submit(JobSpec("sleep 600"), run.token(str(n))) for n in range(60)}
    backend.cancel(handles)
    assert aws.calls(caller=worker)["terminatejobs"]["calls"] == 2
    assert "terminatejob" not in aws.calls(caller=worker)
    until(lambda: not backend.sweep(run.run_id))
    shown = batch.describe_jobs(jobs=[handles[run.token("0")].job_id])["jobs"][0]
    assert shown["isTerminated"] and run.run_id in shown["statusReason"]


@pytest.mark.parametrize("why", ["the service", "boto3"])
def test_without_terminatejobs_each_job_is_terminated_by_itself(
    run: Run,
    trouble: Callable[..., None],
    aws: BatchClient,
    worker: str,
    monkeypatch: pytest.MonkeyPatch,
    why: str,
) -> None:
    if why == "boto3":
        monkeypatch.setattr(Api, "has_operation", lambda self, operation: False)
    else:
        trouble("TerminateJobs", status=404, code="404", message="Not Found")
    backend = run.open()
    handles = {run.token(str(n)): backend.submit(JobSpec("sleep 600"), run.token(str(n))) for n in range(3)}
    backend.cancel(handles)
    assert aws.calls(caller=worker)["terminatejob"]["calls"] == 3
    until(lambda: not backend.sweep(run.run_id))


def test_a_child_that_fails_ends_its_job(run: Run) -> None:
    spec = JobSpec('[ "$CLUSTERJOBS_NODE_RANK" != 2 ] || exit 5; sleep 600', nodes=3)
    [result] = run.finish(spec)
    outcome = result.outcome
    assert (outcome.reason, outcome.exit_code, outcome.first_failing_node) == (Reason.JOB_FAILED, 5, 2)
    assert outcome.action is not None and outcome.action.kind is ActionKind.STOP_REST


def test_a_child_that_is_killed_for_memory_is_the_reason_of_its_job(run: Run) -> None:
    hog = "python3 -c 'kept = bytearray(400 << 20); __import__(\"time\").sleep(60)'"
    spec = JobSpec(
        f'[ "$CLUSTERJOBS_NODE_RANK" = 0 ] || {hog}; sleep 600', nodes=2, resources=Resources(memory=64 << 20)
    )
    [result] = run.finish(spec)
    assert (reason(result), result.outcome.first_failing_node) == (Reason.OUT_OF_MEMORY, 1)


def test_a_job_restarts_after_its_machine_was_lost(run: Run, aws: BatchClient, tmp_path: Path) -> None:
    flag = tmp_path / "started"
    backend = run.open()
    job = f"echo x >>'{flag}'; [ \"$CLUSTERJOBS_RESTARTS\" = 1 ] || sleep 600"
    handle = backend.submit(JobSpec(job, max_restarts=1), run.token())
    until(flag.exists)
    aws.reclaim(str(handle.job_id))
    until(lambda: backend.poll({run.token(): handle})[run.token()].phase is Phase.ENDED)
    seen = backend.poll({run.token(): handle})[run.token()]
    assert (seen.restarts, seen.exit_code, seen.reason_hint) == (1, 0, None)


def test_a_job_that_can_never_start_is_rejected(
    run: Run, queue: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STUCK_AFTER_SECONDS", 1.0)
    name = queue(stuck="MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - too much")
    [result] = run.finish(JobSpec("true", options={"jobQueue": name}))
    assert reason(result) == Reason.REJECTED
    assert "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT" in result.outcome.detail


def test_a_job_that_waits_for_capacity_ends_at_its_queue_timeout(run: Run, queue: Callable[..., str]) -> None:
    name = queue(stuck="CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - none of [p5.48xlarge]")
    [result] = run.finish(JobSpec("true", queue_timeout=2, options={"jobQueue": name}))
    assert reason(result) == Reason.QUEUE_TIMEOUT
    assert "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY" in result.outcome.detail


def test_a_job_that_its_queue_cancels_is_rejected(run: Run, queue: Callable[..., str]) -> None:
    name = queue(stuck="MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE - too much", give_up=1.0)
    [result] = run.finish(JobSpec("true", options={"jobQueue": name}))
    assert reason(result) == Reason.REJECTED
    assert "JobStateTimeLimit" in result.outcome.native_reason


@pytest.mark.parametrize("code", [0, 2])
def test_an_entrypoint_that_does_not_run_the_command_is_an_error(
    run: Run, aws: BatchClient, worker: str, code: int
) -> None:
    image = aws.add_image(f"swallows-{worker}", entrypoint=("sh", "-c", f"echo usage; exit {code}", "--"))
    [result] = run.finish(JobSpec("true", image=image), log_settle=0.5)
    assert result.judgement.verdict is Verdict.ERROR
    assert reason(result) == Reason.START_FAILED
    assert "ENTRYPOINT" in result.outcome.detail + result.outcome.native_reason


def test_an_image_that_cannot_be_pulled_is_a_failed_start(run: Run) -> None:
    [result] = run.finish(JobSpec("true", image="registry.invalid/x:1", max_restarts=2))
    assert reason(result) == Reason.START_FAILED
    assert "CannotPullContainerError" in result.outcome.native_reason
    assert result.outcome.restarts == 0


def test_a_definition_for_an_image_is_registered_once(
    run: Run, batch: Any, aws: BatchClient, worker: str
) -> None:
    image = aws.add_image(f"img-{worker}")
    for _ in range(2):
        # The second time by another process.
        results = run.finish(*[JobSpec("exit 4", image=image, nodes=nodes) for nodes in (1, 1, 2)])
        assert [result.outcome.exit_code for result in results] == [4, 4, 4]
    assert aws.calls(caller=worker)["registerjobdefinition"]["calls"] == 2
    pages = batch.get_paginator("describe_job_definitions").paginate(status="ACTIVE")
    ours = [
        each
        for page in pages
        for each in page["jobDefinitions"]
        if each.get("containerProperties", {}).get("image") == image
    ]
    assert [(each["jobDefinitionName"][:12], each["revision"]) for each in ours] == [("clusterjobs-", 1)]
