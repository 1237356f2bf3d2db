from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from pytest_clusterjobs.devclusters import local_batch as local_batch
from pytest_clusterjobs.devclusters.aws_batch import BatchClient
from tests.system.aws.project import Project
from tests.system.aws.run import Run


@pytest.fixture
def aws(local_batch: BatchClient, worker: str, monkeypatch: pytest.MonkeyPatch) -> BatchClient:
    """The local AWS Batch, with the variables for boto3 in the environment."""
    for name, value in local_batch.environment_of(worker).items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return local_batch


@pytest.fixture
def worker(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A name that restricts faults to this test."""
    return "".join(each for each in f"{tmp_path.parent.name}{tmp_path.name}" if each.isalnum())[-40:]


@pytest.fixture
def queue(aws: BatchClient, worker: str) -> Callable[..., str]:
    """Create a queue for the test, with rules of the local AWS Batch."""

    def make(**rules: Any) -> str:
        return aws.create_queue(f"q-{worker}", **rules)

    return make


@pytest.fixture
def batch(aws: BatchClient) -> Any:
    """A boto3 client of AWS Batch."""
    return boto3.client("batch")


@pytest.fixture
def site(aws: BatchClient) -> dict[str, Any]:
    """Site settings for the local AWS Batch, with short times."""
    return {
        "queue": aws.queue,
        "job_definition": aws.definition,
        "multinode_job_definition": aws.parallel_definition,
        "poll_interval": 0.25,
        "find_settle": 1.0,
        "log_settle": 2.0,
        "linger": 3.0,
    }


@pytest.fixture
def project(tmp_path: Path, site: dict[str, Any]) -> Project:
    """A project on the local AWS Batch."""
    return Project(tmp_path / "project", site)


@pytest.fixture
def run(tmp_path: Path, site: dict[str, Any], worker: str) -> Iterator[Run]:
    """A run for the test."""
    found = Run(tmp_path, f"t{worker.lower()}"[:40], site)
    yield found
    found.close()


@pytest.fixture
def trouble(aws: BatchClient, worker: str) -> Iterator[Callable[..., None]]:
    """Make calls of this test fail."""

    def inject(operation: str, **how: Any) -> None:
        aws.inject_fault(operation, caller=worker, **how)

    yield inject
    aws.clear_faults(caller=worker)
