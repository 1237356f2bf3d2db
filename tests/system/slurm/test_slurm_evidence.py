"""What an end on a real Slurm needs to be the product's: a command that began, a limit that struck, time in which it ran."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_clusterjobs.jobs import Reason
from pytest_clusterjobs.jobs import ReasonClass
from pytest_clusterjobs.testing import Cluster
from pytest_clusterjobs.testing.slurm import SlurmClient
from pytest_clusterjobs.testing.slurm import SlurmCluster
from tests.system.slurm.test_slurm_cases import started

pytestmark = pytest.mark.system

Place = tuple[SlurmCluster, Cluster]

HANDLER = """python3 -c '
import os, signal, sys, time
signal.signal(signal.SIG{name}, lambda *_: (os.write(1, b"saved\\n"), sys.exit(0)))
os.write(1, b"ready\\n")
time.sleep(60)
'"""


def program(folder: Path, text: str) -> Path:
    path = folder / "program"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    folder.chmod(0o755)
    return path


@pytest.mark.parametrize("name", ["USR1", "HUP", "INT"])
def test_a_signal_to_the_batch_shell_reaches_the_command(run: Cluster, slurm: SlurmClient, name: str) -> None:
    job = started(run, HANDLER.format(name=name))
    run.eventually(lambda: "ready" in run.read(job).text)
    slurm.run("scancel", "--batch", f"--signal={name}", str(job.handle.job_id))
    assert run.end(job, seconds=60).reason == Reason.JOB_COMPLETED
    assert "saved" in run.printed(job)


@pytest.mark.parametrize("option", ["--batch", "--full"])
def test_a_command_that_dies_of_such_a_signal_was_stopped(
    run: Cluster, slurm: SlurmClient, option: str
) -> None:
    job = started(run, "echo ready; exec sleep 60", heartbeat_timeout=50.0)
    run.eventually(lambda: "ready" in run.read(job).text)
    slurm.run("scancel", option, "--signal=USR1", str(job.handle.job_id))
    outcome = run.end(job, seconds=60)
    assert outcome.reason_class is ReasonClass.INFRA, outcome.detail
    assert outcome.exit_code is None


def test_a_signal_to_every_process_of_several_ranks_reaches_the_command(
    run: Cluster, slurm: SlurmClient
) -> None:
    job = started(run, HANDLER.format(name="USR1"), nodes=2)
    run.eventually(lambda: all("ready" in run.read(job, node=rank).text for rank in (0, 1)))
    slurm.run("scancel", "--signal=USR1", str(job.handle.job_id))
    assert run.end(job, seconds=60).reason == Reason.JOB_COMPLETED


@pytest.mark.parametrize("nodes", [1, 2])
def test_a_task_prolog_that_fails_is_a_failed_start(
    place: Callable[..., Place], tmp_path: Path, nodes: int
) -> None:
    # A batch script has no task prolog: with one node the command begins.
    failing = program(tmp_path, "exit 3")
    _, run = place(extra=f"TaskProlog={failing}")
    job = run.submit("echo reached; exit 3", nodes=nodes)
    outcome = run.end(job, seconds=90)
    if "reached" in run.read(job).text:
        assert (outcome.reason, outcome.exit_code) == (Reason.JOB_FAILED, 3)
    else:
        assert outcome.reason_class is ReasonClass.INFRA, outcome.detail


def test_a_prolog_that_fails_is_no_failure_of_the_command(
    place: Callable[..., Place], tmp_path: Path
) -> None:
    _, run = place(nodes=1, extra=f"Prolog={program(tmp_path, 'exit 1')}")
    job = run.submit("echo reached; exit 3", queue_timeout=3600.0)
    outcome = run.end(job, seconds=90)
    assert outcome.reason_class is ReasonClass.INFRA, outcome.detail
    assert "reached" not in run.read(job).text


def test_time_in_which_a_job_is_suspended_does_not_count(run: Cluster, slurm: SlurmClient) -> None:
    steps = "for i in 1 2 3 4 5 6; do sleep 0.5; done; exit 3"
    job = started(run, f"echo ready; {steps}", max_runtime=8.0, heartbeat_timeout=7.0)
    run.eventually(lambda: "ready" in run.read(job).text)
    slurm.run("scontrol", "suspend", str(job.handle.job_id))
    run.eventually(lambda: run.poll(job)[0].suspended)
    time.sleep(12)
    assert run.poll(job)[0].native_state == "SUSPENDED"
    slurm.run("scontrol", "resume", str(job.handle.job_id))
    outcome = run.end(job, seconds=60)
    assert (outcome.reason, outcome.exit_code) == (Reason.JOB_FAILED, 3), outcome.detail
