"""Runs Slurm's own commands: in a clean environment, with a timeout, their errors read and classified."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from ...model.paths import to_bytes
from ..environment import inherited
from ..protocol import BackendError
from ..protocol import SubmissionRejected
from ..protocol import Throttled

TIMEOUT = 60.0
"""Seconds for a command. Slurm's own timeout for a controller that does not answer is shorter by default."""

LONGEST = 500
"""Characters of a command's output that are kept."""

_SLURM = ("SLURM", "SBATCH_", "SQUEUE_", "SACCT_", "SCANCEL_", "SALLOC_", "SRUN_", "PMI_", "PMIX_")
_KEPT = frozenset({"SLURM_CONF", "SLURM_JWT"})
"""Variables by which the commands find their cluster and authenticate."""

_BUSY = re.compile(
    r"sleeping and retrying|temporarily unable to accept job|Resource temporarily unavailable|MaxJobCount|(?:Assoc|QOS)\w*Submit\w*",
    re.IGNORECASE,
)
"""Errors that pass when other jobs have ended."""
_LOST = re.compile(
    r"Unable to contact slurm|Socket timed out|Zero Bytes were transmitted|Connection (?:refused|reset|timed out)"
    r"|Communication connection failure|Unexpected message received|fatal: |Protocol authentication error"
    r"|Slurmctld is currently in standby|backup controller|Munge|Insane message length|No route to host",
    re.IGNORECASE,
)
NO_ACCOUNTING = "accounting storage is disabled"
_UNKNOWN_JOB = "Invalid job id specified"
_NOTHING_TO_END = re.compile(rf"{_UNKNOWN_JOB}|already completing or completed", re.IGNORECASE)


class StillWaiting(BackendError):
    """sbatch was ended while it waited for Slurm to accept the job: most likely Slurm has not accepted it."""


class NoAccounting(BackendError):
    """The cluster keeps no accounting, so sacct has no data."""


def environment(names: Iterable[str] = ()) -> dict[str, str]:
    """The part of this process's environment that a job may inherit, without the secrets ``names``.

    It contains nothing from the caller's own job or the caller's defaults that would change the new job.
    """
    hidden = set(names)
    return {
        name: value
        for name, value in inherited(os.environ).items()
        if name not in hidden and (name in _KEPT or not name.startswith(_SLURM))
    }


def sbatch(command: Sequence[str], *, secrets: Iterable[str], folder: Path) -> str:
    """Submit from ``folder``; returns the id of the job.

    Raises SubmissionRejected, Throttled if it is rejected for now, StillWaiting, BackendError if the answer
    is lost.
    """
    if shutil.which(command[0]) is None:
        raise _not_there(command[0])
    done = _run(command, environment(secrets), folder, _tether())
    job_id = done.stdout.strip().partition(";")[0]
    if done.returncode == 0 and job_id.isdecimal():
        return job_id
    words = _words(done.stderr or done.stdout)
    if done.returncode < 0 and _BUSY.search(words):
        raise StillWaiting(words)
    # The last of several tries may have been lost, whatever the answers to those before it.
    if done.returncode <= 0 or _LOST.search(words) or words.startswith("setpriv: ") or not words:
        raise BackendError(words or f"sbatch ended with {done.returncode} and without a word")
    if _BUSY.search(words):
        raise Throttled(words)
    raise SubmissionRejected(words)


def squeue(*arguments: str) -> list[str]:
    """Lines of squeue; empty if it knows none of the jobs. Raises BackendError."""
    done = _run(["squeue", "--noheader", *arguments], _reading())
    if done.returncode != 0 and _UNKNOWN_JOB not in done.stderr:
        raise BackendError(f"squeue: {_words(done.stderr)}")
    return done.stdout.splitlines()


def sacct(*arguments: str) -> list[str]:
    """Lines of sacct. Raises NoAccounting, BackendError."""
    done = _run(["sacct", "--noheader", "--parsable2", *arguments], _reading())
    if NO_ACCOUNTING in done.stderr:
        raise NoAccounting(_words(done.stderr))
    if done.returncode != 0:
        raise BackendError(f"sacct: {_words(done.stderr)}")
    return done.stdout.splitlines()


def scancel(job_ids: Sequence[str]) -> None:
    """Request the end of jobs; an ended job is not an error. Raises BackendError."""
    done = _run(["scancel", *job_ids], _reading())
    trouble = [line for line in done.stderr.splitlines() if line and not _NOTHING_TO_END.search(line)]
    if trouble:
        raise BackendError(f"scancel: {_words(trouble[0])}")


def _reading() -> Mapping[str, str]:
    """Times are seconds since the epoch, or UTC from a Slurm that does not support that."""
    return {**environment(), "LC_ALL": "C", "TZ": "UTC", "SLURM_TIME_FORMAT": "%s"}


def _run(
    command: Sequence[str], env: Mapping[str, str], folder: Path = Path("/"), tether: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            [to_bytes(word) for word in (*tether, *command)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={to_bytes(name): to_bytes(value) for name, value in env.items()},
            cwd=folder,
            timeout=TIMEOUT,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        said = error.stderr.decode(errors="replace") if isinstance(error.stderr, bytes) else ""
        words = _words(said)
        if _BUSY.search(words):
            raise StillWaiting(words) from None
        raise BackendError(
            f"{command[0]} gave no answer in {TIMEOUT:.0f} s{': ' if words else ''}{words}"
        ) from None
    except FileNotFoundError:
        raise _not_there(command[0]) from None
    except OSError as error:
        raise BackendError(f"{command[0]}: {error.strerror}") from None


@cache
def _tether() -> Sequence[str]:
    """Makes a command end with this process, if util-linux supports it (2.33 and later).

    Otherwise an sbatch that waits for Slurm to accept its job continues for two minutes, and its job is
    untracked.
    """
    tether = (shutil.which("setpriv") or "", "--pdeathsig", "KILL", "--")
    try:
        tried = subprocess.run([*tether, "true"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except OSError:
        return ()
    return tether if tried.returncode == 0 else ()


def _not_there(program: str) -> BackendError:
    return BackendError(f"{program} is not on PATH: run this on a machine that has Slurm's commands")


def _words(text: str) -> str:
    """A command's message, without the command's own name, on one line."""
    lines = (
        re.sub(r"^(?:sbatch|squeue|sacct|scancel): (?:error: )?", "", line) for line in text.splitlines()
    )
    return "; ".join(line.strip() for line in lines if line.strip())[:LONGEST]
