"""The SkyPilot backend proves itself on a real SkyPilot, as any other backend does: in hours, since each job has a cluster of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_clusterjobs.jobs import Phase
from pytest_clusterjobs.jobs import Reason
from pytest_clusterjobs.testing import BackendConformance
from pytest_clusterjobs.testing import Cluster
from pytest_clusterjobs.testing import Harness
from pytest_clusterjobs.testing import Job
from pytest_clusterjobs.testing.skypilot import SkyPilotClient
from tests.backends.skypilot.recordings import talk_to

pytestmark = [pytest.mark.system, pytest.mark.skypilot]

BACKEND = "pytest_clusterjobs.backends.skypilot:TYPE"


def started(cluster: Cluster) -> Job:
    job = cluster.submit("sleep 600")
    cluster.wait(job, until=lambda seen: seen.phase is Phase.RUNNING)
    return job


class TestManagedJobs(BackendConformance):
    @pytest.fixture
    def harness(self, server: SkyPilotClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Harness:
        talk_to(monkeypatch, server.url, server.environment)
        shared = tmp_path / "shared"
        shared.mkdir()

        def cancelled_by_hand(cluster: Cluster) -> Job:
            job = started(cluster)
            server.run("jobs", "cancel", "--yes", str(job.handle.job_id))
            return job

        task = {"resources": {"infra": server.infra, "cpus": "1"}}
        return Harness(
            backend=BACKEND,
            settings={"task": task, "poll_interval": 1.0},
            max_nodes=2,
            many=8,
            start_seconds=300.0,
            scale=4.0,
            refused={"options": {"resources": {"infra": "no-such-cloud"}}},
            shared=shared,
            provoke={Reason.CANCELLED: cancelled_by_hand},
        )
