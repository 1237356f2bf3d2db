"""Slurm's data on jobs: squeue for those that its controller knows, sacct for those that it has dropped."""

from __future__ import annotations

import os
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Iterator
from datetime import datetime
from datetime import UTC

from ...model import Phase
from ...model import Reason
from ..command_line import parse_table
from ..command_line import parse_time
from ..command_line import QueueRow
from . import commands
from .states import end_hint
from .states import is_held_after_failure
from .states import is_suspended
from .states import pending_hint
from .states import phase_of
from .states import Status
from .states import status_of

_SQUEUE_COLUMNS = (
    "JobID",
    "ArrayJobID",
    "State",
    "exit_code",
    "DerivedEC",
    "RestartCnt",
    "SubmitTime",
    "StartTime",
    "EndTime",
    "NodeList",
    "Name",
    "Reason",
)
_SACCT_COLUMNS = (
    "JobIDRaw",
    "JobID",
    "State",
    "ExitCode",
    "DerivedExitCode",
    "Submit",
    "Start",
    "End",
    "NodeList",
    "JobName",
    "Reason",
)

MAX_SQUEUE_IDS = 100
"""The most ids given to squeue: it compares each with every job."""


_NO_FOLDER = "the batch script could not be started: is the job's folder there, and writable, on the node?"
_NO_VALUE = frozenset({"None", "(null)", "None assigned", "n/a", "N/A"})


def by_ids(job_ids: Collection[str]) -> dict[str, QueueRow]:
    """The user's own jobs with these ids that the controller remembers. Raises BackendError."""
    wanted = frozenset(job_ids)
    if len(wanted) > MAX_SQUEUE_IDS:
        return _by_id(_squeue(*_own(), wanted=wanted))
    return _by_id(_squeue(*_own(), f"--jobs={','.join(wanted)}"))


def by_name(name: str) -> dict[str, QueueRow]:
    """The user's own jobs with a name that the controller remembers. Raises BackendError."""
    return _by_id(_squeue(*_own(), f"--name={name}"))


def own_jobs() -> dict[str, QueueRow]:
    """All jobs of this user that the controller remembers. Raises BackendError."""
    return _by_id(_squeue(*_own()))


def accounted(job_ids: Iterable[str]) -> dict[str, QueueRow]:
    """The jobs with these ids that are in the accounting. Raises NoAccounting, BackendError."""
    return _by_id(_sacct(f"--jobs={','.join(job_ids)}"))


def accounted_by_name(name: str, since: float) -> dict[str, QueueRow]:
    """The user's own jobs with a name in the accounting since then (seconds since the epoch).

    Raises NoAccounting, BackendError.
    """
    begin = datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return _by_id(_sacct(*_own(), f"--name={name}", f"--starttime={begin}"))


def _own() -> list[str]:
    """The controller sends one user's jobs only, instead of those of the whole cluster."""
    return [f"--user={os.getuid()}"]


def _squeue(*which: str, wanted: frozenset[str] | None = None) -> Iterator[QueueRow]:
    columns = ",".join(f"{name}:|" for name in _SQUEUE_COLUMNS)
    lines = commands.squeue("--states=all", *which, f"--Format={columns}")
    if wanted is not None:
        # A user may have ten thousand other jobs: their rows are not even parsed.
        lines = [line for line in lines if not wanted.isdisjoint(line.split("|", 2)[:2])]
    return squeue_rows(lines)


def _sacct(*which: str) -> Iterator[QueueRow]:
    return sacct_rows(commands.sacct("--allocations", *which, f"--format={','.join(_SACCT_COLUMNS)}"))


def _by_id(rows: Iterable[QueueRow]) -> dict[str, QueueRow]:
    """Rows by id. The tasks of an array are one job, which has ended when all of them have."""
    found: dict[str, QueueRow] = {}
    for row in rows:
        known = found.get(row.job_id)
        if known is None or known.phase is Phase.ENDED:
            found[row.job_id] = row
    return found


def squeue_rows(lines: Iterable[str]) -> Iterator[QueueRow]:
    """The rows of squeue's lines, without the lines of names with a line break."""
    for fields in parse_table(lines, _SQUEUE_COLUMNS):
        job_id, array, restarts = fields["JobID"], fields["ArrayJobID"], fields["RestartCnt"]
        if job_id.isdecimal():
            yield slurm_row(
                job_id=array if array.isdecimal() else job_id,
                name=fields["Name"],
                state=fields["State"],
                reason=fields["Reason"].removesuffix("|"),
                status=status_of(fields["exit_code"]),
                derived=status_of(fields["DerivedEC"]),
                restarts=int(restarts) if restarts.isdecimal() else 0,
                submitted=parse_time(fields["SubmitTime"]),
                started=parse_time(fields["StartTime"]),
                ended=parse_time(fields["EndTime"]),
                nodes=fields["NodeList"],
            )


def sacct_rows(lines: Iterable[str]) -> Iterator[QueueRow]:
    """The rows of sacct's lines, but for those of steps."""
    for fields in parse_table(lines, _SACCT_COLUMNS):
        job_id, array = fields["JobIDRaw"], fields["JobID"].partition("_")
        if job_id.isdecimal():
            yield slurm_row(
                job_id=array[0] if array[1] else job_id,
                name=fields["JobName"],
                state=fields["State"],
                reason=fields["Reason"],
                status=status_of(fields["ExitCode"]),
                derived=status_of(fields["DerivedExitCode"]),
                submitted=parse_time(fields["Submit"]),
                started=parse_time(fields["Start"]),
                ended=parse_time(fields["End"]),
                nodes=fields["NodeList"],
            )


def slurm_row(
    *,
    job_id: str,
    name: str,
    state: str,
    reason: str = "",
    status: Status | None = None,
    derived: Status | None = None,
    restarts: int = 0,
    submitted: float | None = None,
    started: float | None = None,
    ended: float | None = None,
    nodes: str = "",
) -> QueueRow:
    """Slurm's values as a row.

    ``job_id`` is that of the whole array for one of its tasks, ``derived`` the worst status of the job's
    steps, ``nodes`` the nodes that it has or had.
    """
    reason = "" if reason in _NO_VALUE else reason
    has_nodes = nodes not in _NO_VALUE | {""}
    phase = phase_of(state, on_nodes=has_nodes)
    hint = None
    if phase is Phase.PENDING:
        hint = pending_hint(reason)
    elif phase is Phase.ENDED:
        hint = end_hint(state, reason, status, derived, started=has_nodes)
    return QueueRow(
        job_id=job_id,
        name=name,
        phase=phase,
        state=state,
        reason=f"{reason}: {_NO_FOLDER}" if hint is Reason.START_FAILED else reason,
        hint=hint,
        exit_code=None if status is None else status.exit_code,
        restarts=restarts,
        submitted=submitted,
        # Of a pending job, Slurm shows the time of the start that it plans.
        started=started if has_nodes else None,
        ended=ended,
        is_suspended=is_suspended(state),
        is_held=is_held_after_failure(state, reason, restarts),
    )
