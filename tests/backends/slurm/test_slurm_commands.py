"""Slurm's commands: whose environment they get, and what their errors mean. The messages are those of a
real Slurm 22.05."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_clusterjobs.backends import command_line
from pytest_clusterjobs.backends.command_line.commands import NoAccounting
from pytest_clusterjobs.backends.command_line.commands import SubmissionInterrupted
from pytest_clusterjobs.backends.protocol import BackendError
from pytest_clusterjobs.backends.protocol import SubmissionRejected
from pytest_clusterjobs.backends.protocol import Throttled
from pytest_clusterjobs.backends.slurm import commands
from tests.backends.test_local_backend import until_dead
from tests.plugin.test_leaks import until

Fake = Callable[[str, str], None]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Put a program on PATH that does as its script says."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def make(name: str, script: str) -> None:
        path = folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    return make


def submit(tmp_path: Path) -> str:
    return commands.RUNNER.submit(
        ["sbatch", "job.sh"], secrets=["TOKEN"], folder=tmp_path, job_id_of=commands.job_id_of
    )


def test_the_id_of_a_job(fake: Fake, tmp_path: Path) -> None:
    fake("sbatch", "echo 41")
    assert submit(tmp_path) == "41"
    fake("sbatch", "echo '42;cluster'; echo 'sbatch: a note of a plugin' >&2")
    assert submit(tmp_path) == "42"


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("Batch job submission failed: Invalid partition name specified", SubmissionRejected),
        (
            "Batch job submission failed: Invalid account or account/partition combination specified",
            SubmissionRejected,
        ),
        ("Batch job submission failed: Invalid qos specification", SubmissionRejected),
        ("Batch job submission failed: Invalid feature specification", SubmissionRejected),
        ("Batch job submission failed: Requested node configuration is not available", SubmissionRejected),
        ("Batch job submission failed: Requested reservation is invalid", SubmissionRejected),
        ("Invalid generic resource (gres) specification", SubmissionRejected),
        (
            "Batch job submission failed: Required partition not available (inactive or drain)",
            SubmissionRejected,
        ),
        (
            "QOSMaxWallDurationPerJobLimit\nsbatch: error: Batch job submission failed: Job violates accounting/QOS policy"
            " (job submit limit, user's size and/or time limits)",
            SubmissionRejected,
        ),
        (
            "QOSMaxSubmitJobPerUserLimit\nsbatch: error: Batch job submission failed: Job violates accounting/QOS policy"
            " (job submit limit, user's size and/or time limits)",
            Throttled,
        ),
        (
            "AssocMaxSubmitJobLimit\nsbatch: error: Batch job submission failed: Job violates accounting/QOS policy"
            " (job submit limit, user's size and/or time limits)",
            Throttled,
        ),
        ("Slurm temporarily unable to accept job, sleeping and retrying", Throttled),
        ("Batch job submission failed: Unable to contact slurm controller (connect failure)", BackendError),
        ("Batch job submission failed: Socket timed out on send/recv operation", BackendError),
        ("Batch job submission failed: Zero Bytes were transmitted or received", BackendError),
        (
            "Slurm job queue full, sleeping and retrying\nsbatch: error: Batch job submission failed: Socket timed out on"
            " send/recv operation",
            BackendError,
        ),
    ],
)
def test_errors_of_a_submission_are_classified(
    fake: Fake, tmp_path: Path, message: str, kind: type[Exception]
) -> None:
    fake("sbatch", f"cat >&2 <<'END'\nsbatch: error: {message}\nEND\nexit 1")
    with pytest.raises(BackendError) as caught:
        submit(tmp_path)
    assert type(caught.value) is kind
    assert message.split("\n")[0] in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "script", ["exit 0", "exit 1", "echo what", "kill -9 $$", "echo 'sbatch: a warning' >&2; kill -9 $$"]
)
def test_after_an_unclear_answer_the_job_may_exist(fake: Fake, tmp_path: Path, script: str) -> None:
    fake("sbatch", script)
    with pytest.raises(BackendError) as caught:
        submit(tmp_path)
    assert type(caught.value) is BackendError


@pytest.mark.parametrize(
    "stderr", ["", "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying"]
)
def test_a_command_that_exceeds_its_timeout_is_an_api_error(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stderr: str
) -> None:
    monkeypatch.setattr(command_line.commands, "COMMAND_TIMEOUT_SECONDS", 1.0)
    fake("sbatch", f"echo '{stderr}' >&2; exec sleep 60")
    with pytest.raises(BackendError) as caught:
        submit(tmp_path)
    assert type(caught.value) is (SubmissionInterrupted if stderr else BackendError)


def test_an_sbatch_killed_while_it_waits_is_an_interrupted_submission(fake: Fake, tmp_path: Path) -> None:
    fake("sbatch", "echo 'sbatch: error: Slurm job queue full, sleeping and retrying' >&2; kill -INT $$")
    with pytest.raises(SubmissionInterrupted):
        submit(tmp_path)


def test_an_sbatch_that_waits_ends_with_this_process(fake: Fake, tmp_path: Path) -> None:
    fake("sbatch", f"echo $$ >{tmp_path}/pid; exec sleep 60")
    program = f"""
from pathlib import Path
from pytest_clusterjobs.backends.slurm import commands
folder = Path({str(tmp_path)!r})
commands.RUNNER.submit(["sbatch", "job.sh"], secrets=[], folder=folder, job_id_of=commands.job_id_of)
"""
    waits = subprocess.Popen([sys.executable, "-c", program])
    until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text() != "", 20)
    waits.kill()
    waits.wait()
    until_dead(int((tmp_path / "pid").read_text()))


def test_a_machine_without_slurm_is_a_clear_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        BackendError, match="squeue is not on PATH: run this on a machine that has Slurm's commands"
    ):
        commands.squeue()


def test_unknown_ids_are_not_an_error(fake: Fake) -> None:
    fake("squeue", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    assert commands.squeue("--jobs=1") == []
    fake(
        "squeue",
        "echo 'slurm_load_jobs error: Unable to contact slurm controller (connect failure)' >&2; exit 1",
    )
    with pytest.raises(BackendError, match=r"squeue: .*Unable to contact"):
        commands.squeue("--jobs=1")


def test_missing_accounting_differs_from_accounting_that_does_not_answer(fake: Fake) -> None:
    fake("sacct", "echo 'Slurm accounting storage is disabled' >&2; exit 1")
    with pytest.raises(NoAccounting):
        commands.sacct()
    fake("sacct", "echo 'sacct: error: Problem talking to the database: Connection refused' >&2; exit 1")
    with pytest.raises(BackendError) as caught:
        commands.sacct()
    assert type(caught.value) is BackendError


def test_a_cancel_of_an_ended_job_is_not_an_error(fake: Fake) -> None:
    fake("scancel", "echo 'scancel: error: Kill job error on job id 5: Invalid job id specified' >&2; exit 1")
    commands.scancel(["5"])
    fake(
        "scancel",
        "echo 'scancel: error: Kill job error on job id 3: Unable to contact slurm controller' >&2; exit 8",
    )
    with pytest.raises(BackendError, match=r"scancel: .*Unable to contact"):
        commands.scancel(["3"])


def test_a_job_inherits_nothing_of_its_callers_job_defaults_or_secrets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in (
        "SBATCH_PARTITION",
        "SLURM_JOB_ID",
        "SLURMD_NODENAME",
        "SQUEUE_FORMAT",
        "SACCT_FORMAT",
        "PMI_RANK",
    ):
        monkeypatch.setenv(name, "x")
    for name in ("SLURM_CLUSTERS", "SRUN_CPUS_PER_TASK", "PYTEST_ADDOPTS", "API_KEY", "SLURM_CONF", "MINE"):
        monkeypatch.setenv(name, "y")
    seen = commands.RUNNER.environment(["API_KEY"])
    assert {name for name, value in seen.items() if value in ("x", "y")} == {"SLURM_CONF", "MINE"}


def test_queries_use_one_time_zone_and_language(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    monkeypatch.setenv("SQUEUE_FORMAT", "%A")
    fake("squeue", 'echo "$TZ|$LC_ALL|$SLURM_TIME_FORMAT|$SQUEUE_FORMAT|$*"')
    assert commands.squeue("--me") == ["UTC|C|%s||--noheader --me"]
