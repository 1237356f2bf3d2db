"""The AWS Batch backend passes the conformance suite on the local AWS Batch."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from pytest_clusterjobs.devclusters.aws_batch import BatchClient
from pytest_clusterjobs.devclusters.aws_batch import LocalBatch
from pytest_clusterjobs.model import Phase
from pytest_clusterjobs.model import Reason
from pytest_clusterjobs.model import Resources
from pytest_clusterjobs.testing import BackendConformance
from pytest_clusterjobs.testing import Cluster
from pytest_clusterjobs.testing import Harness
from pytest_clusterjobs.testing import SubmittedJob
from pytest_clusterjobs.testing.conformance.base import Suite
from pytest_clusterjobs.testing.conformance.control import ControlTests
from pytest_clusterjobs.testing.conformance.submission import SubmissionTests

BACKEND = "pytest_clusterjobs.backends.aws_batch:TYPE"
SECRET = "s3cr3t 'quoted' $(echo x) äö\nsecond line"
"""The suite's secrets, which are in Secrets Manager here, not in the environment."""
PENDING = "test_a_pending_job_has_no_log_and_that_is_no_error"
"""Jobs start at once here, maybe before the first log is read. For this test they start a second later."""
NO_RESTART = "AWS Batch starts a multi-node job again only if its main node failed"


def started(cluster: Cluster) -> SubmittedJob:
    job = cluster.submit("sleep 600")
    cluster.wait(job, until=lambda seen: seen.phase is Phase.RUNNING)
    return job


@pytest.fixture
def secret(aws: BatchClient, worker: str) -> str:
    """The ARN of a secret with the suite's value."""
    made = boto3.client("secretsmanager").create_secret(Name=f"suite-{worker}", SecretString=SECRET)
    return str(made["ARN"])


@pytest.fixture
def provoke(
    aws: BatchClient, queue: Callable[..., str], batch: Any
) -> dict[Reason, Callable[[Cluster], SubmittedJob]]:
    def cancelled(cluster: Cluster) -> SubmittedJob:
        job = started(cluster)
        batch.terminate_job(jobId=job.handle.job_id, reason="not needed any more")
        return job

    def depends_on_a_failure(cluster: Cluster) -> SubmittedJob:
        failed = cluster.submit("sleep 1; exit 1")
        return cluster.submit("true", options={"dependsOn": [{"jobId": failed.handle.job_id}]})

    def too_much_memory(cluster: Cluster) -> SubmittedJob:
        run = f"{cluster.harness.python} -c 'kept = bytearray(400 << 20); __import__(\"time\").sleep(60)'"
        return cluster.submit(run, resources=Resources(memory=64 << 20))

    def too_long(cluster: Cluster) -> SubmittedJob:
        return cluster.submit("sleep 600", options={"jobQueue": queue(time_scale=0.003)})

    def reclaimed(cluster: Cluster) -> SubmittedJob:
        job = started(cluster)
        aws.reclaim(str(job.handle.job_id), fargate=True)
        return job

    def host_lost(cluster: Cluster) -> SubmittedJob:
        job = started(cluster)
        aws.reclaim(str(job.handle.job_id))
        return job

    return {
        Reason.CANCELLED: cancelled,
        Reason.DEPENDENCY_FAILED: depends_on_a_failure,
        Reason.OUT_OF_MEMORY: too_much_memory,
        Reason.MAX_RUNTIME_REACHED: too_long,
        Reason.PREEMPTED: reclaimed,
        Reason.NODE_FAILED: host_lost,
    }


class TestBatch(BackendConformance):
    @pytest.fixture
    def harness(
        self,
        site: dict[str, Any],
        secret: str,
        provoke: dict[Reason, Callable[[Cluster], SubmittedJob]],
        tmp_path: Path,
        queue: Callable[..., str],
        request: pytest.FixtureRequest,
    ) -> Harness:
        shared = tmp_path / "shared"
        shared.mkdir()
        if request.node.name == PENDING:
            site = {**site, "queue": queue(step=1.0)}
        return Harness(
            backend=BACKEND,
            settings={**site, "secrets": {"CONFORMANCE_SECRET": secret}},
            many=100,
            start_seconds=30.0,
            refused={"options": {"jobQueue": "no-such-queue"}},
            shared=shared,
            same_host=True,
            silence="kill -9 $PPID",
            provoke=provoke,
            lacks={"test_every_node_starts_again": NO_RESTART},
        )


class TestAFullQueue(Suite):
    """Tests that need a cluster without a free place, on a cluster of their own."""

    @pytest.fixture
    def harness(self, monkeypatch: pytest.MonkeyPatch, site: dict[str, Any]) -> Iterator[Harness]:
        with LocalBatch(slots=2) as small:
            for name, value in small.environment.items():
                monkeypatch.setenv(name, value)
            yield Harness(backend=BACKEND, settings=site, slots=2, max_nodes=1, start_seconds=30.0)

    test_a_job_without_a_free_slot_is_pending = SubmissionTests.test_a_job_without_a_free_slot_is_pending
    test_a_waiting_job_is_cancelled = ControlTests.test_a_waiting_job_is_cancelled_and_never_starts
