"""A thousand jobs at the service's rate limit, with throttling and errors: each runs exactly once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from pytest_clusterjobs.devclusters.aws_batch import BatchClient
from pytest_clusterjobs.model import JobSpec
from tests.system.aws.run import Run

JOBS = 1000
SUBMISSIONS_PER_SECOND = 50
"""AWS Batch's limit for an account."""


@pytest.mark.quiet
def test_a_thousand_jobs(run: Run, aws: BatchClient, worker: str, trouble: Callable[..., None]) -> None:
    aws.limit("SubmitJob", SUBMISSIONS_PER_SECOND, caller=worker)
    trouble("SubmitJob", status=0, after=True, times=5)
    trouble("SubmitJob", status=503, times=5)
    trouble("DescribeJobs", status=429, times=5)
    trouble("DescribeJobs", status=500, times=5)
    trouble("GetLogEvents", status=429, times=5)
    specs = [JobSpec(f"exit {number % 100}", shell="sh") for number in range(JOBS)]
    results = run.finish(*specs, seconds=240, poll_interval=2, find_settle=2, log_settle=10)
    calls = aws.calls(caller=worker)
    print("calls for 1000 jobs:", calls)

    assert [result.outcome.exit_code for result in results] == [number % 100 for number in range(JOBS)]
    names = Counter(job["jobName"] for job in run.listed())
    assert len(names) == JOBS and set(names.values()) == {1}
    # The five submissions that failed are repeated; nothing else is requested twice.
    assert calls["submitjob"]["calls"] - calls["submitjob"]["throttled"] == JOBS + 5
    assert calls["submitjob"]["throttled"] <= JOBS / 100
    # One call for each log, except for the few that were throttled.
    assert calls["getlogevents"]["calls"] <= 1.2 * JOBS


def test_a_round_of_a_thousand_jobs_is_ten_calls(run: Run, aws: BatchClient, worker: str) -> None:
    backend = run.open()
    tokens = [run.token(str(number)) for number in range(JOBS)]
    handle = backend.submit(JobSpec("sleep 60"), tokens[0])
    others = {
        token: type(handle)(f"00000000-0000-0000-0000-{number:012}", dict(handle.data))
        for number, token in enumerate(tokens[1:])
    }
    handles = {tokens[0]: handle, **others}
    before = aws.calls(caller=worker).get("describejobs", {"calls": 0})["calls"]
    size = backend.capabilities.ids_per_poll
    for start in range(0, JOBS, size):
        backend.poll({token: handles[token] for token in tokens[start : start + size]})
    assert aws.calls(caller=worker)["describejobs"]["calls"] - before == 10
    backend.cancel({tokens[0]: handle})
