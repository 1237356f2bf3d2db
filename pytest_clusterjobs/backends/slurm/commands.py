"""Runs Slurm's own commands: which of its variables they get, and what their errors mean."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..command_line.commands import CommandRunner
from ..command_line.commands import message_of
from ..command_line.commands import NoAccounting
from ..protocol import BackendError

RUNNER = CommandRunner(
    scheduler="Slurm",
    temporary=re.compile(
        r"sleeping and retrying|temporarily unable to accept job|Resource temporarily unavailable"
        r"|MaxJobCount|(?:Assoc|QOS)\w*Submit\w*",
        re.IGNORECASE,
    ),
    unanswered=re.compile(
        r"Unable to contact slurm|Socket timed out|Zero Bytes were transmitted"
        r"|Connection (?:refused|reset|timed out)|Communication connection failure"
        r"|Unexpected message received|fatal: |Protocol authentication error"
        r"|Slurmctld is currently in standby|backup controller|Munge|Insane message length|No route to host",
        re.IGNORECASE,
    ),
    own_variables=(
        "SLURM",
        "SBATCH_",
        "SQUEUE_",
        "SACCT_",
        "SCANCEL_",
        "SALLOC_",
        "SRUN_",
        "PMI_",
        "PMIX_",
    ),
    # The commands find their cluster and authenticate by these.
    kept_variables=frozenset({"SLURM_CONF", "SLURM_JWT"}),
    # Times are seconds since the epoch; a Slurm that does not support it prints UTC.
    status_variables={"SLURM_TIME_FORMAT": "%s"},
)

NO_ACCOUNTING = "accounting storage is disabled"
_UNKNOWN_JOB = "Invalid job id specified"
_ALREADY_ENDED = re.compile(rf"{_UNKNOWN_JOB}|already completing or completed", re.IGNORECASE)


def job_id_of(output: str) -> str | None:
    """The id in what ``sbatch --parsable`` prints: ``ID`` or ``ID;CLUSTER``."""
    job_id = output.strip().partition(";")[0]
    return job_id if job_id.isdecimal() else None


def squeue(*arguments: str) -> list[str]:
    """Lines of squeue; empty if it knows none of the jobs. Raises BackendError."""
    done = RUNNER.run("squeue", "--noheader", *arguments)
    if done.returncode != 0 and _UNKNOWN_JOB not in done.stderr:
        raise BackendError(f"squeue: {message_of('squeue', done.stderr)}")
    return done.stdout.splitlines()


def sacct(*arguments: str) -> list[str]:
    """Lines of sacct. Raises NoAccounting, BackendError."""
    done = RUNNER.run("sacct", "--noheader", "--parsable2", *arguments)
    if NO_ACCOUNTING in done.stderr:
        raise NoAccounting(message_of("sacct", done.stderr))
    if done.returncode != 0:
        raise BackendError(f"sacct: {message_of('sacct', done.stderr)}")
    return done.stdout.splitlines()


def scancel(job_ids: Sequence[str]) -> None:
    """Request the end of jobs; an ended job is not an error. Raises BackendError."""
    done = RUNNER.run("scancel", *job_ids)
    failures = [line for line in done.stderr.splitlines() if line and not _ALREADY_ENDED.search(line)]
    if failures:
        raise BackendError(f"scancel: {message_of('scancel', failures[0])}")
