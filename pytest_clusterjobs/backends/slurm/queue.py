"""Slurm's data on jobs: squeue for those that its controller remembers, sacct for those it has forgotten."""

from __future__ import annotations

import os
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from datetime import UTC

from ...model import Phase
from . import commands
from .states import phase_of
from .states import Status
from .states import status_of

_SQUEUE = (
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
LISTED = 100
"""The most ids given to squeue: it compares each with every job."""

_SACCT = "JobIDRaw,JobID,State,ExitCode,DerivedExitCode,Submit,Start,End,NodeList,JobName,Reason"


@dataclass(frozen=True, slots=True)
class QueueRow:
    """One job as Slurm shows it. Times are seconds since the epoch."""

    job_id: str
    """The id of the whole array, for one of its tasks."""
    name: str
    state: str
    reason: str = ""
    status: Status | None = None
    derived: Status | None = None
    """The worst status of its steps."""
    restarts: int = 0
    submitted: float | None = None
    started: float | None = None
    """The time of the last start by Slurm itself."""
    ended: float | None = None
    nodes: str = ""
    """The nodes that it has or had, in Slurm's short form; empty if it never had any."""

    @property
    def phase(self) -> Phase:
        """The phase of the job."""
        return phase_of(self.state, on_nodes=bool(self.nodes))


def by_ids(job_ids: Collection[str]) -> dict[str, QueueRow]:
    """The user's own jobs with these ids that the controller remembers. Raises BackendError."""
    wanted = frozenset(job_ids)
    if len(wanted) > LISTED:
        return _by_id(_squeue(*_own(), wanted=wanted))
    return _by_id(_squeue(*_own(), f"--jobs={','.join(wanted)}"))


def by_name(name: str) -> dict[str, QueueRow]:
    """The user's own jobs with a name that the controller remembers. Raises BackendError."""
    return _by_id(_squeue(*_own(), f"--name={name}"))


def mine() -> dict[str, QueueRow]:
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
    fields = ",".join(f"{name}:|" for name in _SQUEUE)
    for line in commands.squeue("--states=all", *which, f"--Format={fields}"):
        # A user may have ten thousand other jobs: their rows are not even parsed.
        if wanted is not None and wanted.isdisjoint(line.split("|", 2)[:2]):
            continue
        row = squeue_row(line)
        if row is not None:
            yield row


def _sacct(*which: str) -> Iterator[QueueRow]:
    for line in commands.sacct("--allocations", *which, f"--format={_SACCT}"):
        row = sacct_row(line)
        if row is not None:
            yield row


def _by_id(rows: Iterable[QueueRow]) -> dict[str, QueueRow]:
    """Rows by id. The tasks of an array are one job, which has ended when all of them have."""
    found: dict[str, QueueRow] = {}
    for row in rows:
        known = found.get(row.job_id)
        if known is None or known.phase is Phase.ENDED:
            found[row.job_id] = row
    return found


def squeue_row(line: str) -> QueueRow | None:
    """One line of squeue; ``None`` if it cannot be a job of this tool (a name with a line break in it)."""
    fields = line.split("|", len(_SQUEUE) - 1)
    if len(fields) < len(_SQUEUE) or not fields[0].strip().isdecimal():
        return None
    job_id, array, state, status, derived, restarts, submitted, started, ended, nodes, name, reason = fields
    on_nodes = _said(nodes)
    return QueueRow(
        job_id=array if array.isdecimal() else job_id,
        name=name,
        state=state,
        reason=_said(reason.removesuffix("|")),
        status=status_of(status),
        derived=status_of(derived),
        restarts=int(restarts) if restarts.isdecimal() else 0,
        submitted=moment(submitted),
        started=moment(started) if on_nodes else None,
        ended=moment(ended),
        nodes=on_nodes,
    )


def sacct_row(line: str) -> QueueRow | None:
    """One line of sacct; ``None`` if it cannot be a job of this tool."""
    fields = line.split("|", _SACCT.count(","))
    if len(fields) <= _SACCT.count(",") or not fields[0].isdecimal():
        return None
    raw, job_id, state, status, derived, submitted, started, ended, nodes, name, reason = fields
    on_nodes = _said(nodes)
    return QueueRow(
        job_id=job_id.partition("_")[0] if "_" in job_id else raw,
        name=name,
        state=state,
        reason=_said(reason),
        status=status_of(status),
        derived=status_of(derived),
        submitted=moment(submitted),
        started=moment(started) if on_nodes else None,
        ended=moment(ended),
        nodes=on_nodes,
    )


def moment(text: str) -> float | None:
    """A time in seconds since the epoch, or in UTC; ``None`` if it has not come or is unknown."""
    text = text.strip()
    if text.isdecimal():
        return float(text) or None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _said(text: str) -> str:
    """The value of a field; empty for the words that Slurm uses for no value."""
    text = text.strip()
    return "" if text in {"None", "(null)", "None assigned", "n/a", "N/A"} else text
