"""Jobs on a real Slurm: start one, wait for its restart, find those of a project."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from pytest_clusterjobs.backends.command_line.job_folder import JobFolder
from pytest_clusterjobs.devclusters import SlurmCluster
from pytest_clusterjobs.devclusters.slurm import SlurmClient
from pytest_clusterjobs.devclusters.supervisor import CommandFailed
from pytest_clusterjobs.devclusters.supervisor import wait_until
from pytest_clusterjobs.model import Observation
from pytest_clusterjobs.model import Phase
from pytest_clusterjobs.testing import Cluster
from pytest_clusterjobs.testing import SubmittedJob


def running(seen: Observation) -> bool:
    return seen.phase is Phase.RUNNING


def started(run: Cluster, command: str, **fields: Any) -> SubmittedJob:
    """Submit a job, and wait until it runs.

    Slurm shows a job as running some seconds before its batch script begins. One that may restart is waited
    for until then, since a requeue of a job that has not begun is no restart.
    """
    job = run.submit(command, **fields)
    run.wait(job, until=running)
    if job.spec.max_restarts:
        folder = JobFolder(Path(job.handle.data["folder"]))
        wait_until(lambda: folder.has_start(0), "the begin of the batch script", 60)
    return job


def requeued(slurm: SlurmCluster, job: SubmittedJob, times: int = 1) -> None:
    """Wait until Slurm has requeued a job, and shorten the two minutes for which it then delays the start."""
    job_id = str(job.handle.job_id)
    wait_until(lambda: slurm.job(job_id)["Restarts"] == str(times), "a requeue", 90)
    # A node does not launch a job within the second in which it killed it ("already killed"): the job fails.
    time.sleep(1.5)
    deadline = time.monotonic() + 60
    # While the job is completing, Slurm resets the time of its next start.
    while (
        slurm.job(job_id)["JobState"] not in ("RUNNING", "COMPLETED", "FAILED")
        and time.monotonic() < deadline
    ):
        with suppress(CommandFailed):
            slurm.run("scontrol", "update", f"jobid={job_id}", "starttime=now")
        time.sleep(1)


def jobs_of_runs_in(folder: Path, slurm: SlurmClient) -> list[str]:
    """Names of the jobs of a project's runs that are pending or running."""
    runs = [path.name for path in folder.glob(".clusterjobs/runs/*")]
    names = slurm.run("squeue", "--noheader", "--format=%j").split()
    return [name for name in names if any(run in name for run in runs)]
