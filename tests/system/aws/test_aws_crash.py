"""Sessions on AWS Batch that are killed at a critical moment and resumed: every cell starts exactly once."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest

from tests.system.aws.project import Project

MATRIX = """
defaults: {setup: 'echo "$CLUSTERJOBS_CELL $CLUSTERJOBS_ATTEMPT" >> "$STARTS"', env: {STARTS: @STARTS@}}
recipes: {a: sleep 0.5, b: "true", c: sleep 2}
nodes: [1]
conditions:
  good: {}
  bad: {run: "sleep 0.5; exit 3", expect: {exit_code: 3}}
"""

CRASHER = '''
"""Kills the process at the point that a variable names."""

import os
import signal
from collections import Counter

from pytest_clusterjobs.backends.aws_batch.api import Api
from pytest_clusterjobs.backends.aws_batch.client import BatchBackend

when, name, count = os.environ.get("CRASH_AT", "never-none-0").split("-")
calls = Counter()


def dying(real):
    def call(*arguments, **more):
        calls[name] += 1
        if when == "before" and calls[name] == int(count):
            os.kill(os.getpid(), signal.SIGKILL)
        answer = real(*arguments, **more)
        if when == "after" and calls[name] == int(count):
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    return call


home = Api if name == "request" else BatchBackend
real = "submit" if name == "request" else name
if when != "never":
    setattr(home, real, dying(getattr(home, real)))
'''

POINTS = [
    # The request was sent, and its response not received.
    "after-request-1",
    "after-request-4",
    "before-submit-3",
    "before-poll-1",
    "after-poll-3",
    "before-logs-1",
]


@pytest.fixture
def crashing(project: Project) -> Project:
    (project.path / "conftest.py").write_text(CRASHER)
    starts = project.path / "starts"
    starts.touch()
    project.matrix(MATRIX.replace("@STARTS@", str(starts)))
    return project


def starts(project: Project) -> Counter[str]:
    return Counter((project.path / "starts").read_text().splitlines())


def live(batch: Any, project: Project) -> list[str]:
    """Names of the project's jobs that have not ended."""
    runs = [path.name for path in (project.path / ".clusterjobs" / "runs").iterdir()]
    found = []
    for run in runs:
        filters = [{"name": "JOB_NAME", "values": [f"cj-{run}-*"]}]
        jobs = batch.list_jobs(jobQueue="local", filters=filters)["jobSummaryList"]
        found += [job["jobName"] for job in jobs if job["status"] not in ("SUCCEEDED", "FAILED")]
    return found


@pytest.mark.parametrize("point", POINTS)
def test_a_resumed_session_starts_every_cell_once(crashing: Project, batch: Any, point: str) -> None:
    said = crashing.run("--cluster-on-crash=keep", CRASH_AT=point)
    assert "passed" not in said.splitlines()[-1:], said
    said = crashing.run("--cluster-resume")
    assert "6 passed" in said, said
    assert set(starts(crashing).values()) == {1}
    assert len(starts(crashing)) == 6
    assert live(batch, crashing) == []


def test_the_reaper_ends_the_jobs_of_a_killed_session(crashing: Project, batch: Any) -> None:
    crashing.matrix(MATRIX.replace("@STARTS@", str(crashing.path / "starts")).replace("sleep", "sleep 9"))
    crashing.run(CRASH_AT="after-poll-2")
    deadline = time.monotonic() + 60
    while left := live(batch, crashing):
        assert time.monotonic() < deadline, left
        time.sleep(0.2)


def test_a_launched_run_is_checked_later(crashing: Project) -> None:
    said = crashing.run("--cluster-launch")
    assert "6 " in said, said
    said = crashing.run("--cluster-check", "--cluster-check-wait")
    assert "6 passed" in said, said
    assert set(starts(crashing).values()) == {1}


def test_clusterjobs_kill_ends_a_run(crashing: Project, batch: Any) -> None:
    crashing.matrix(MATRIX.replace("@STARTS@", str(crashing.path / "starts")).replace("sleep", "sleep 9"))
    crashing.run("--cluster-launch")
    assert len(live(batch, crashing)) >= 4
    code, out, err = crashing.command("kill")
    assert code == 0, out + err
    assert live(batch, crashing) == []
