"""docs/backends.md: its backend for a scheduler with commands passes the suite."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from pytest_clusterjobs.model import Reason
from pytest_clusterjobs.testing import BackendConformance
from pytest_clusterjobs.testing import Cluster
from pytest_clusterjobs.testing import Harness
from pytest_clusterjobs.testing import SubmittedJob

SCHEDULER = Path(__file__).with_name("spool_scheduler.py")


class TestSpool(BackendConformance):
    @pytest.fixture
    def spool(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        folder, programs = tmp_path / "spool", tmp_path / "programs"
        folder.mkdir()
        programs.mkdir()
        program = programs / "spool"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -S {SCHEDULER} "$@"\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
        monkeypatch.setenv("SPOOL_DIR", str(folder))
        monkeypatch.setenv("SPOOL_SLOTS", "6")
        return folder

    @pytest.fixture
    def harness(self, spoolbackend: ModuleType, spool: Path, tmp_path: Path) -> Harness:
        shared = tmp_path / "shared"
        shared.mkdir()

        def cancelled_by_the_user(cluster: Cluster) -> SubmittedJob:
            job = cluster.submit("sleep 600")
            cluster.wait(job, until=lambda seen: seen.phase == "running")
            subprocess.run(["spool", "cancel", str(job.handle.job_id)], check=True)
            return job

        return Harness(
            backend="spoolbackend:TYPE",
            max_nodes=1,
            slots=6,
            many=50,
            refused={"nodes": 2},
            shared=shared,
            same_host=True,
            silence="kill -9 $PPID",
            provoke={Reason.CANCELLED: cancelled_by_the_user},
        )
