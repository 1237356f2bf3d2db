"""A user of the local AWS Batch: submits jobs with boto3, waits for them, reads their logs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import boto3

from pytest_clusterjobs.devclusters.aws_batch import BatchClient

Json = dict[str, Any]
ENDED = ("SUCCEEDED", "FAILED")
WAIT_TIMEOUT_SECONDS = 120.0


def clients(local: BatchClient, caller: str, **options: Any) -> dict[str, Any]:
    """boto3's clients for one caller, independent of the environment."""
    session = boto3.Session(
        aws_access_key_id=local.access_key(caller), aws_secret_access_key="x", region_name=local.region
    )
    names = ("batch", "logs", "secretsmanager", "ssm")
    return {name: session.client(name, endpoint_url=local.url, **options) for name in names}


def wait_until(condition: Callable[[], Any], what: str) -> Any:
    """Wait until ``condition()`` is true, and return its value."""
    deadline = time.monotonic() + WAIT_TIMEOUT_SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited too long for {what}"
        time.sleep(0.01)
    return found


def processes(word: str) -> list[str]:
    """The command lines of processes that contain a word."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            line = Path("/proc", name, "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if word in line and int(name) != os.getpid():
            found.append(f"{name} {line}")
    return found


class BatchUser:
    """Submits jobs, waits for them, reads their logs."""

    def __init__(self, local: BatchClient, caller: str, made: dict[str, Any]) -> None:
        self.local = local
        self.caller = caller
        self.batch = made["batch"]
        self.logs = made["logs"]
        self.secrets = made["secretsmanager"]
        self.parameters = made["ssm"]

    def submit(self, *command: str, **about: Any) -> str:
        """Submit a job that runs ``command``, and return its id. A single word is a script."""
        argv = ["sh", "-c", *command] if len(command) == 1 else list(command)
        overrides = {"command": argv, **about.pop("overrides", {})} if command else {}
        if "nodes" in about:
            about.setdefault("jobDefinition", self.local.parallel_definition)
            about["nodeOverrides"] = nodes(about.pop("nodes"), overrides)
        elif overrides:
            about["containerOverrides"] = overrides
        request = {"jobName": "job", "jobQueue": self.local.queue, "jobDefinition": self.local.definition}
        answer: Json = self.batch.submit_job(**{**request, **about})
        return str(answer["jobId"])

    def look(self, job_id: str) -> Json:
        """The response of DescribeJobs for a job; empty if the job is unknown."""
        jobs: list[Json] = self.batch.describe_jobs(jobs=[job_id])["jobs"]
        return jobs[0] if jobs else {}

    def wait(self, job_id: str, *statuses: str) -> Json:
        """Wait until a job has one of the statuses; without any, until it has ended."""
        wanted: Sequence[str] = statuses or ENDED

        def there() -> Json | None:
            seen = self.look(job_id)
            return seen if seen.get("status") in wanted else None

        found: Json = wait_until(there, f"{job_id} to be {' or '.join(wanted)}: {self.look(job_id)}")
        return found

    def run(self, *command: str, **about: Any) -> Json:
        """Submit, and wait for the end."""
        return self.wait(self.submit(*command, **about))

    def log(self, container: Json, group: str = "/aws/batch/job") -> list[str]:
        """The lines of a container's log."""
        found = self.logs.get_log_events(
            logGroupName=group, logStreamName=container["logStreamName"], startFromHead=True
        )
        return [event["message"] for event in found["events"]]

    def wait_for_log(self, job_id: str, line: str) -> Json:
        """Wait until a job has printed a line, and return its description."""
        seen = self.wait(job_id, "RUNNING", *ENDED)
        wait_until(lambda: line in self.log(seen["container"]), f"{line!r} in the log of {job_id}")
        return seen

    def define(self, name: str, *, type: str = "container", **about: Any) -> str:
        """Register a definition, and return its ARN. Further keywords are container properties."""
        more = {key: about.pop(key) for key in ("retryStrategy", "timeout") if key in about}
        resources = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "512"}]
        container = {"image": "local", "command": ["true"], "resourceRequirements": resources, **about}
        answer: Json = self.batch.register_job_definition(
            jobDefinitionName=name, type=type, containerProperties=container, **more
        )
        return str(answer["jobDefinitionArn"])


def nodes(count: int, overrides: Json) -> Json:
    """Overrides of all nodes of a multi-node job."""
    each = [{"targetNodes": "0:", "containerOverrides": overrides}] if overrides else []
    return {"numNodes": count, "nodePropertyOverrides": each}
