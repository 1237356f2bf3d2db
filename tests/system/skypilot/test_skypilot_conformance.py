"""The SkyPilot backend passes the conformance suite on a real SkyPilot.

This takes half an hour on one cluster, and more than an hour with managed jobs, which have a cluster each.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from pytest_clusterjobs.devclusters.skypilot import SkyPilotClient
from pytest_clusterjobs.model import Phase
from pytest_clusterjobs.model import Reason
from pytest_clusterjobs.testing import BackendConformance
from pytest_clusterjobs.testing import Cluster
from pytest_clusterjobs.testing import Harness
from pytest_clusterjobs.testing import SubmittedJob
from tests.backends.skypilot.recordings import talk_to

pytestmark = [pytest.mark.system, pytest.mark.skypilot]

BACKEND = "pytest_clusterjobs.backends.skypilot:TYPE"
ONE = "conformance"
"""The cluster that all jobs share in cluster mode."""

SPLIT_CHARACTERS = "SkyPilot 0.14.1 decodes a log in pieces of 4 KiB, and each may end within a character"


def started(cluster: Cluster) -> SubmittedJob:
    job = cluster.submit("sleep 600")
    cluster.wait(job, until=lambda seen: seen.phase is Phase.RUNNING)
    return job


@pytest.fixture
def harness_of(
    server: SkyPilotClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Harness]:
    """A harness.

    ``sky`` with the given command cancels jobs, and other keywords are settings of the backend.
    """
    talk_to(monkeypatch, server.url, server.environment)
    shared = tmp_path / "shared"
    shared.mkdir()

    def harness(cancel: tuple[str, ...], **settings: Any) -> Harness:
        def cancelled_by_a_user(cluster: Cluster) -> SubmittedJob:
            job = started(cluster)
            server.run(*cancel, "--yes", str(job.handle.job_id))
            return job

        task = {"resources": {"infra": server.infra, "cpus": "1"}}
        return Harness(
            backend=BACKEND,
            settings={"task": task, "poll_interval": 3.0, **settings},
            max_nodes=2,
            # A managed job uses a CPU for a minute, and all must end within the time of one.
            many=4,
            start_seconds=300.0,
            scale=4.0,
            refused={"options": {"resources": {"infra": "no-such-cloud"}}},
            shared=shared,
            provoke={Reason.CANCELLED: cancelled_by_a_user},
            lacks={"test_wide_characters_are_not_split": SPLIT_CHARACTERS},
        )

    return harness


class TestManagedJobs(BackendConformance):
    @pytest.fixture
    def harness(self, harness_of: Callable[..., Harness]) -> Harness:
        # A poll takes the API server two seconds of CPU time, which the jobs need.
        return harness_of(("jobs", "cancel"), poll_interval=10.0)


@pytest.fixture(scope="module")
def one_cluster(server: SkyPilotClient) -> str:
    """A cluster that is large enough for each test, and that all tests leave up."""
    place = ["--infra", server.infra, "--cpus", "12", "--num-nodes", "2"]
    with FileLock(server.folder / "conformance.lock"):
        # A second launch of a running cluster would make it unavailable to other tests for some seconds.
        if ONE not in server.run("status"):
            server.run("launch", "--yes", "--detach-run", "--cluster", ONE, *place, "true", timeout=600.0)
    return ONE


class TestClusterJobs(BackendConformance):
    @pytest.fixture
    def harness(self, one_cluster: str, harness_of: Callable[..., Harness]) -> Harness:
        return harness_of(("cancel", ONE), mode="cluster", cluster={"name": ONE, "nodes": 2})
