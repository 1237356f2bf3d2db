"""The conformance suite of the Slurm backend on a real Slurm."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_clusterjobs.devclusters.slurm import SlurmClient
from pytest_clusterjobs.devclusters.slurm import SlurmCluster
from pytest_clusterjobs.model import Phase
from pytest_clusterjobs.model import Reason
from pytest_clusterjobs.testing import BackendConformance
from pytest_clusterjobs.testing import Cluster
from pytest_clusterjobs.testing import Harness
from pytest_clusterjobs.testing import SubmittedJob
from pytest_clusterjobs.testing.conformance.base import Suite
from pytest_clusterjobs.testing.conformance.control import ControlTests
from pytest_clusterjobs.testing.conformance.submission import SubmissionTests

pytestmark = pytest.mark.system

BACKEND = "pytest_clusterjobs.backends.slurm:TYPE"
SETTINGS = {"poll_interval": 0.25}


def started(cluster: Cluster) -> SubmittedJob:
    job = cluster.submit("sleep 600")
    cluster.wait(job, until=lambda seen: seen.phase is Phase.RUNNING)
    return job


class TestSlurm(BackendConformance):
    @pytest.fixture
    def harness(self, slurm: SlurmClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Harness:
        for name, value in slurm.environment.items():
            monkeypatch.setenv(name, value)
        shared = tmp_path / "shared"
        shared.mkdir()

        def cancelled_by_a_user(cluster: Cluster) -> SubmittedJob:
            job = started(cluster)
            slurm.run("scancel", str(job.handle.job_id))
            return job

        def depends_on_a_failure(cluster: Cluster) -> SubmittedJob:
            failed = cluster.submit("exit 1")
            options = {"dependency": f"afterok:{failed.handle.job_id}", "kill-on-invalid-dep": "yes"}
            return cluster.submit("true", options=options)

        def too_large(cluster: Cluster) -> SubmittedJob:
            run = f"{cluster.harness.python} -c 'bytearray(400 << 20)'"
            return cluster.submit(run, options={"mem": "64M"})

        provoke = {Reason.CANCELLED: cancelled_by_a_user, Reason.DEPENDENCY_FAILED: depends_on_a_failure}
        if slurm.memory_limits:
            provoke[Reason.OUT_OF_MEMORY] = too_large
        return Harness(
            backend=BACKEND,
            settings=SETTINGS,
            many=100,
            start_seconds=30.0,
            refused={"options": {"partition": "no-such-partition"}},
            shared=shared,
            same_host=True,
            silence="kill -9 $PPID",
            provoke=provoke,
        )


class TestAFullCluster(Suite):
    """Tests that fill the cluster have a separate one."""

    @pytest.fixture
    def harness(
        self, fresh_slurm: Callable[..., SlurmCluster], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> Harness:
        for name, value in fresh_slurm(nodes=1, cpus=2).environment.items():
            monkeypatch.setenv(name, value)
        return Harness(backend=BACKEND, settings=SETTINGS, slots=2, max_nodes=1, start_seconds=30.0)

    test_a_job_without_a_free_slot_is_pending = SubmissionTests.test_a_job_without_a_free_slot_is_pending
    test_a_waiting_job_is_cancelled = ControlTests.test_a_waiting_job_is_cancelled_and_never_starts
