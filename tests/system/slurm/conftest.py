from __future__ import annotations

import os
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pytest_clusterjobs.devclusters.slurm import SlurmClient
from pytest_clusterjobs.devclusters.slurm import SlurmCluster
from pytest_clusterjobs.testing import Cluster
from pytest_clusterjobs.testing import Harness
from tests.system.processes import skipped_without


@pytest.fixture(scope="session")
def slurm(require: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmClient]:
    """A cluster of 8 nodes with accounting that all workers of this session share.

    Tests must not damage it.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "slurm"
    with ExitStack() as stack:
        with skipped_without(require):
            cluster = stack.enter_context(SlurmCluster.shared(folder))
        yield cluster


@pytest.fixture
def fresh_slurm(require: Callable[[str], str]) -> Iterator[Callable[..., SlurmCluster]]:
    """Start a separate cluster that the test may damage.

    Options are those of SlurmCluster (2 nodes, no accounting).
    """
    with ExitStack() as stack:

        def start(**options: Any) -> SlurmCluster:
            with skipped_without(require):
                cluster = SlurmCluster(**{"nodes": 2, "accounting": False, **options})
            return stack.enter_context(cluster)

        yield start


@pytest.fixture
def place(
    fresh_slurm: Callable[..., SlurmCluster], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[SlurmCluster, Cluster]]:
    """Start a separate cluster, and a run on it."""
    runs: list[Cluster] = []

    def start(**options: Any) -> tuple[SlurmCluster, Cluster]:
        slurm = fresh_slurm(**options)
        for name, value in slurm.environment.items():
            monkeypatch.setenv(name, value)
        runs.append(_run(tmp_path / str(len(runs))))
        return slurm, runs[-1]

    return start


@pytest.fixture
def run(slurm: SlurmClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A run on the cluster that all tests share."""
    for name, value in slurm.environment.items():
        monkeypatch.setenv(name, value)
    with _run(tmp_path) as run:
        yield run


def _run(folder: Path) -> Cluster:
    harness = Harness(
        backend="pytest_clusterjobs.backends.slurm:TYPE",
        settings={"poll_interval": 0.25},
        start_seconds=60.0,
    )
    return Cluster(harness, folder)
