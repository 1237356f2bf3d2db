"""``clusterjobs show``, ``logs`` and ``watch`` with jobs that no run has submitted, and ``plan``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_clusterjobs.devclusters.aws_batch import BatchClient
from tests.system.aws.project import Project
from tests.system.processes import until

Submit = Callable[..., str]


@pytest.fixture
def submit(batch: Any, aws: BatchClient) -> Submit:
    """Submit a job as another tool does; returns its id."""

    def do(command: str, **more: Any) -> str:
        overrides = {
            "command": ["sh", "-c", command],
            "environment": [{"name": "PASSWORD", "value": "hunter2"}],
        }
        given = {"jobName": "theirs", "jobQueue": aws.queue, "jobDefinition": aws.definition}
        return str(batch.submit_job(**given, containerOverrides=overrides, **more)["jobId"])

    return do


@pytest.fixture
def ended(batch: Any) -> Callable[[str], str]:
    """Wait for a job's end; returns its id."""

    def wait(job_id: str) -> str:
        until(lambda: batch.describe_jobs(jobs=[job_id])["jobs"][0]["status"] in ("SUCCEEDED", "FAILED"))
        return job_id

    return wait


def test_show_prints_the_facts_of_a_job(
    project: Project, submit: Submit, ended: Callable[[str], str]
) -> None:
    job_id = ended(submit("echo hello; exit 3", retryStrategy={"attempts": 2}, tags={"team": "a"}))
    code, out, err = project.command("show", f"aws:{job_id}")
    assert (code, err) == (0, "")
    for expected in (
        f"aws:{job_id}  ended",
        "FAILED",
        "Essential container in task exited",
        "attempt 2",
        "exit code 3",
        "PASSWORD",
        "team=a",
        "queued",
        "ran",
        "https://us-east-1.console.aws.amazon.com/cloudwatch/home?region=us-east-1#logsV2:log-groups",
        f"#jobs/detail/{job_id}",
    ):
        assert expected in out, expected
    assert "hunter2" not in out


def test_show_prints_json(project: Project, submit: Submit, ended: Callable[[str], str]) -> None:
    # The type's own name needs no site settings.
    job_id = ended(submit("exit 3"))
    code, out, _ = project.command("show", f"aws-batch:{job_id}", "--json")
    found = json.loads(out)
    assert (code, found["backend"], found["job_id"]) == (0, "aws-batch", job_id)
    assert (found["observation"]["phase"], found["observation"]["exit_code"]) == ("ended", 3)
    assert found["raw"]["attempts"][0]["container"]["exitCode"] == 3
    assert "hunter2" not in out


def test_show_prints_why_a_job_waits(
    project: Project, batch: Any, aws: BatchClient, queue: Callable[..., str]
) -> None:
    name = queue(stuck="MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - too much")
    job_id = batch.submit_job(jobName="x", jobQueue=name, jobDefinition=aws.definition)["jobId"]
    until(lambda: batch.describe_jobs(jobs=[job_id])["jobs"][0].get("statusReason"))
    _, out, _ = project.command("show", f"aws:{job_id}")
    assert "pending" in out and "RUNNABLE (rejected: this queue can never run it)" in out
    batch.terminate_job(jobId=job_id, reason="enough")


def test_show_follows_a_job_to_its_end(project: Project, submit: Submit, tmp_path: Path) -> None:
    flag = tmp_path / "go"
    job_id = submit(f"until [ -e '{flag}' ]; do sleep 0.1; done; exit 3")
    with project.start_command("show", "--follow", f"aws:{job_id}") as process:
        assert process.stdout is not None
        while "running" not in (line := process.stdout.readline()):
            assert line, "it ended before the job ran"
        flag.touch()
        rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert f"aws:{job_id}  ended" in rest and "exit code 3" in rest


@pytest.mark.parametrize("follow", [[], ["-f"]])
def test_logs_prints_the_log_of_a_job(
    project: Project, submit: Submit, ended: Callable[[str], str], follow: list[str]
) -> None:
    job_id = submit("echo first; sleep 1; printf 'red \\033[31m\\007\\n'; echo last")
    if not follow:
        ended(job_id)
        until(lambda: project.command("logs", f"aws:{job_id}")[0] == 0)
    code, out, err = project.command("logs", f"aws:{job_id}", *follow)
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "first" and out.splitlines()[-1] == "last"
    # Output of a job cannot contain control sequences for the terminal.
    assert "\x1b" not in out and "\x07" not in out


def test_logs_of_an_attempt_and_of_a_node(
    project: Project, submit: Submit, batch: Any, aws: BatchClient, ended: Callable[[str], str]
) -> None:
    job_id = ended(submit("echo attempt $AWS_BATCH_JOB_ATTEMPT; exit 1", retryStrategy={"attempts": 2}))
    assert "attempt 1" in project.command("logs", f"aws:{job_id}", "--restart", "0")[1]
    assert "attempt 2" in project.command("logs", f"aws:{job_id}")[1]
    run = "echo node $AWS_BATCH_JOB_NODE_INDEX; [ $AWS_BATCH_JOB_NODE_INDEX = 1 ] || sleep 1"
    each = {"targetNodes": "0:", "containerOverrides": {"command": ["sh", "-c", run]}}
    nodes = {"numNodes": 2, "nodePropertyOverrides": [each]}
    given = {"jobName": "x", "jobQueue": aws.queue, "jobDefinition": aws.parallel_definition}
    job_id = ended(batch.submit_job(**given, nodeOverrides=nodes)["jobId"])
    assert "node 1" in project.command("logs", f"aws:{job_id}", "--node", "1")[1]
    assert "node 1" in project.command("logs", f"aws:{job_id}#1")[1]
    _, out, _ = project.command("show", f"aws:{job_id}")
    assert "node 0" in out and "node 1" in out


@pytest.mark.parametrize(
    ("command", "code", "expected"), [("exit 0", 0, "job_completed"), ("exit 3", 1, "exit code 3")]
)
def test_watch_exits_with_the_result_of_a_job(
    project: Project, submit: Submit, command: str, code: int, expected: str
) -> None:
    job_id = submit(f"sleep 1; {command}")
    got, out, _ = project.command("watch", f"aws:{job_id}")
    assert got == code
    assert expected in out.splitlines()[-1] and "ended" in out.splitlines()[-1]


def test_watch_prints_json(project: Project, submit: Submit) -> None:
    _, out, _ = project.command("watch", f"aws:{submit('sleep 1')}", "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["state"] for line in lines][-1] == "ended"
    assert lines[-1]["reason"] == "job_completed"


def test_an_array_and_one_of_its_jobs(project: Project, submit: Submit, ended: Callable[[str], str]) -> None:
    job_id = ended(
        submit(
            "echo $AWS_BATCH_JOB_ARRAY_INDEX; exit $AWS_BATCH_JOB_ARRAY_INDEX", arrayProperties={"size": 2}
        )
    )
    _, out, _ = project.command("show", f"aws:{job_id}")
    assert "2 jobs: 1 SUCCEEDED, 1 FAILED" in out
    assert project.command("watch", f"aws:{job_id}")[0] == 1
    assert "exit code 1" in project.command("show", f"aws:{job_id}:1")[1]
    assert project.command("watch", f"aws:{job_id}:0")[0] == 0


@pytest.mark.parametrize("command", ["show", "logs", "watch"])
def test_an_unknown_job_is_an_error(project: Project, command: str) -> None:
    code, _, err = project.command(command, "aws:00000000-0000-0000-0000-000000000000")
    assert code == 4
    assert err == "clusterjobs: aws has no job 00000000-0000-0000-0000-000000000000\n"


def test_an_error_of_aws_is_one_line(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.delenv("AWS_REGION")
    code, _, err = project.command("show", "aws:x")
    assert code == 3
    assert err.startswith("clusterjobs: AWS region: not set") and err.count("\n") == 1


def test_a_backend_that_cannot_inspect_jobs(project: Project) -> None:
    code, _, err = project.command("show", "local:1")
    assert (code, err) == (3, "clusterjobs: backend local cannot look up jobs by id: write a cell of a run\n")


def test_a_name_that_is_not_a_job_is_a_cell(project: Project) -> None:
    project.matrix("{recipes: {a: echo hello}, nodes: [1], conditions: {good: {}}}")
    assert "1 passed" in project.run()
    assert project.command("show", "matrices/m.yaml::a-1n-good")[0] == 0
    code, out, _ = project.command("logs", "a-1n-good")
    assert (code, out.splitlines()[1]) == (0, "hello")
    code, _, err = project.command("show", "nowhere:1")
    assert code == 4 and "there is no backend 'nowhere': write one of aws, " in err
