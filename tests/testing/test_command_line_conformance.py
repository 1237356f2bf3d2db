"""docs/backends.md: its backend for a scheduler with commands passes the suite."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from pytest_clusterjobs.backends.protocol import BackendError
from pytest_clusterjobs.backends.protocol import SubmissionRejected
from pytest_clusterjobs.backends.protocol import Throttled
from pytest_clusterjobs.model import Phase
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

    def test_a_job_that_the_scheduler_drops_ends_by_its_own_record(
        self, cluster: Cluster, spool: Path
    ) -> None:
        job = cluster.submit("exit 7")
        cluster.wait(job)
        shutil.rmtree(spool / str(job.handle.job_id))
        seen = cluster.open().poll({job.token: job.handle})[job.token]
        assert (seen.phase, seen.exit_code, seen.native_state) == (Phase.ENDED, 7, "ENDED")

    def test_a_job_that_left_no_record_is_absent_once_dropped(self, cluster: Cluster, spool: Path) -> None:
        job = cluster.submit("sleep 600")
        cluster.wait(job, until=lambda seen: seen.phase is Phase.RUNNING)
        (spool / str(job.handle.job_id)).rename(spool / "elsewhere")
        (seen,) = cluster.poll(job)
        assert (seen.phase, seen.native_reason) == (Phase.ABSENT, "Spool does not know the job")
        (spool / "elsewhere").rename(spool / str(job.handle.job_id))

    def test_a_job_with_the_id_but_not_the_name_is_another_job(self, cluster: Cluster) -> None:
        job, other = cluster.submit("sleep 600"), cluster.token()
        assert cluster.backend.poll({other: job.handle})[other].phase is not Phase.RUNNING
        cluster.backend.cancel({other: job.handle})
        cluster.wait(job, until=lambda seen: seen.phase is Phase.RUNNING)

    @pytest.mark.parametrize(
        ("message", "kind"),
        [
            ("spool: error: no such queue", SubmissionRejected),
            ("spool: error: too many jobs", Throttled),
            ("spool: error: cannot reach the server", BackendError),
        ],
    )
    def test_a_failed_submission_is_classified(
        self, cluster: Cluster, tmp_path: Path, message: str, kind: type[Exception]
    ) -> None:
        program = tmp_path / "programs" / "spool"
        program.write_text(f"#!/bin/sh\n[ \"$1\" = list ] || {{ echo '{message}' >&2; exit 1; }}\n")
        with pytest.raises(BackendError) as caught:
            cluster.backend.submit(cluster.spec("true"), cluster.token())
        assert type(caught.value) is kind
        assert str(caught.value) == message.removeprefix("spool: error: ")
