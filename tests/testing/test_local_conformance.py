"""The local backend passes the conformance suite."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_clusterjobs.model import Reason
from pytest_clusterjobs.testing import BackendConformance
from pytest_clusterjobs.testing import Cluster
from pytest_clusterjobs.testing import Harness
from pytest_clusterjobs.testing import SubmittedJob


def kill_the_runner(cluster: Cluster) -> SubmittedJob:
    """Submit a job that kills its runner, the parent of its sentinel, which is what a machine is here."""
    return cluster.submit('kill -9 "$(cut -d " " -f 4 "/proc/$PPID/stat")"; sleep 600')


class TestLocal(BackendConformance):
    @pytest.fixture
    def harness(self, tmp_path: Path) -> Harness:
        shared = tmp_path / "shared"
        shared.mkdir()
        return Harness(
            backend="pytest_clusterjobs.backends.local:TYPE",
            settings={"slots": 4},
            slots=4,
            refused={"nodes": 5},
            shared=shared,
            same_host=True,
            silence="kill -9 $PPID",
            provoke={Reason.NODE_FAILED: kill_the_runner},
        )
