"""The fixtures that all groups of tests share, and the tests that a harness may exclude."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ..cluster import Cluster
from ..harness import Harness


class Suite:
    """The base of every group of tests."""

    @pytest.fixture
    def harness(self) -> Harness:
        """The backend under test and its limits; to be overridden."""
        raise NotImplementedError(
            "override the fixture `harness` to return a pytest_clusterjobs.testing.Harness"
        )

    @pytest.fixture
    def cluster(self, harness: Harness, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Cluster]:
        """A run of its own for each test."""
        name = getattr(request.node, "originalname", request.node.name)
        if name in harness.lacks:
            pytest.skip(harness.lacks[name])
        with Cluster(harness, tmp_path) as cluster:
            yield cluster


def need_nodes(cluster: Cluster, nodes: int) -> None:
    """Skip if a job cannot have that many nodes."""
    limit = cluster.backend.capabilities.max_nodes
    if limit is not None and limit < nodes:
        pytest.skip(f"a job of this backend has at most {limit} node(s)")
    if cluster.harness.max_nodes < nodes:
        pytest.skip(f"this cluster has {cluster.harness.max_nodes} node(s)")


def need_restarts(cluster: Cluster) -> None:
    """Skip if the cluster does not restart jobs."""
    if not cluster.backend.capabilities.restarts:
        pytest.skip("this backend does not restart jobs")


def need_same_host(cluster: Cluster) -> None:
    """Skip if jobs are not processes of this machine."""
    if not cluster.harness.same_host:
        pytest.skip("its jobs do not run on this machine")


def need_shared(cluster: Cluster) -> Path:
    """The folder that jobs see too; skips if there is none."""
    if cluster.harness.shared is None:
        pytest.skip("no folder is shared with the jobs")
    return cluster.harness.shared


def need_slots(cluster: Cluster) -> int:
    """The number of jobs that fill the cluster; skips if a test cannot fill it."""
    if cluster.harness.slots is None:
        pytest.skip("a test cannot fill this cluster")
    return cluster.harness.slots
