"""Lost and late responses, and throttling: each job runs once, and no verdict is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_clusterjobs.devclusters.aws_batch import BatchClient
from pytest_clusterjobs.model import JobSpec
from pytest_clusterjobs.model import Phase
from pytest_clusterjobs.model import Reason
from pytest_clusterjobs.model import Verdict
from pytest_clusterjobs.model.records import Result
from tests.system.aws.run import Run


def reason(result: Result) -> str:
    return result.outcome.reason


def test_a_lost_response_does_not_lead_to_a_second_job(
    run: Run, trouble: Callable[..., None], batch: Any
) -> None:
    trouble("SubmitJob", status=0, after=True)
    [result] = run.finish(JobSpec("exit 3"))
    assert result.outcome.exit_code == 3
    assert len(run.listed()) == 1


@pytest.mark.parametrize("status", [500, 503, 0])
def test_a_submission_that_did_not_arrive_is_repeated(
    run: Run, trouble: Callable[..., None], batch: Any, status: int
) -> None:
    trouble("SubmitJob", status=status)
    [result] = run.finish(JobSpec("exit 3"))
    assert result.outcome.exit_code == 3
    assert len(run.listed()) == 1


def test_a_throttled_submission_is_repeated_without_a_find(
    run: Run, trouble: Callable[..., None], aws: BatchClient, worker: str
) -> None:
    trouble("SubmitJob", status=429, times=2)
    handle = run.open().submit(JobSpec("true"), run.token())
    assert handle.job_id
    assert aws.calls(caller=worker)["submitjob"] == {"calls": 3, "throttled": 2}


def test_a_duplicate_job_is_ended_when_it_is_found(run: Run, batch: Any) -> None:
    backend = run.open()
    first = backend.submit(JobSpec("sleep 600"), run.token())
    duplicate = run.open().submit(JobSpec("sleep 600"), run.token())
    assert duplicate.job_id != first.job_id
    found = run.open().find(run.token())
    assert getattr(found, "handle", None) == first
    shown = {job["jobId"]: job for job in batch.describe_jobs(jobs=[first.job_id, duplicate.job_id])["jobs"]}
    assert shown[duplicate.job_id].get("isTerminated") and not shown[first.job_id].get("isTerminated")
    backend.cancel({run.token(): first})


def test_bursts_of_throttling_and_errors_during_polls(run: Run, trouble: Callable[..., None]) -> None:
    trouble("DescribeJobs", status=429, times=2)
    trouble("DescribeJobs", status=500, times=2)
    trouble("GetLogEvents", status=429)
    [result] = run.finish(JobSpec("exit 3"))
    assert (reason(result), result.outcome.exit_code) == (Reason.JOB_FAILED, 3)


def test_late_responses(run: Run, queue: Callable[..., str]) -> None:
    """A job is unknown at first, and each state is reported late."""
    results = run.finish(JobSpec("exit 3"), JobSpec("true"), queue=queue(lag=1.5), find_settle=3)
    assert [result.outcome.exit_code for result in results] == [3, 0]


def test_a_lost_response_while_lists_are_late(
    run: Run, queue: Callable[..., str], trouble: Callable[..., None], batch: Any
) -> None:
    name = queue(lag=1.0)
    trouble("SubmitJob", status=0, after=True)
    [result] = run.finish(JobSpec("exit 3"), queue=name, find_settle=2.5)
    assert result.outcome.exit_code == 3
    assert len(run.listed(name)) == 1


def test_late_logs(run: Run, queue: Callable[..., str]) -> None:
    results = run.finish(JobSpec("exit 3"), JobSpec("true"), queue=queue(log_delay=2.0), log_settle=20)
    assert [result.outcome.exit_code for result in results] == [3, 0]


def test_missing_logs_are_not_a_success(run: Run, queue: Callable[..., str]) -> None:
    [result] = run.finish(JobSpec("true"), queue=queue(log_delay=600), log_settle=0.5)
    assert result.judgement.verdict is Verdict.ERROR
    assert reason(result) == Reason.UNKNOWN


def test_jobs_are_polled_a_hundred_at_a_time(run: Run, aws: BatchClient, worker: str) -> None:
    backend = run.open()
    handles = {run.token(str(n)): backend.submit(JobSpec("true"), run.token(str(n))) for n in range(150)}
    before = aws.calls(caller=worker).get("describejobs", {"calls": 0})["calls"]
    assert len(backend.poll(handles)) == 150
    assert aws.calls(caller=worker)["describejobs"]["calls"] - before == 2


def test_an_id_that_is_missing_from_a_response_is_absent(run: Run) -> None:
    backend = run.open()
    known, unknown = run.token("a"), run.token("b")
    handle = backend.submit(JobSpec("sleep 600"), known)
    other = type(handle)("00000000-0000-0000-0000-000000000000", dict(handle.data))
    seen = backend.poll({known: handle, unknown: other})
    assert seen[unknown].phase is Phase.ABSENT and seen[known].phase is not Phase.ABSENT
    backend.cancel({known: handle})
