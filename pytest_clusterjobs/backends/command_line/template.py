"""What a scheduler implements to become a backend.

::

      the engine calls          CommandLineBackend                     a scheduler implements
    ┌──────────────────┐      ┌──────────────────────────────┐      ┌──────────────────────────────┐
    │ submit           │ ───▶ │ folder, secrets, batch script│ ───▶ │ build_submission             │
    │                  │      │ runs the submit command      │      │ job_id_of                    │
    ├──────────────────┤      ├──────────────────────────────┤      ├──────────────────────────────┤
    │ poll             │ ───▶ │ rows by id and name,         │ ───▶ │ own_jobs (or jobs_by_id)     │
    │                  │      │ then the accounting,         │      │ [accounted_by_id]            │
    │                  │      │ then the job's folder        │      │ [launcher_output]            │
    ├──────────────────┤      ├──────────────────────────────┤      ├──────────────────────────────┤
    │ cancel           │ ───▶ │ live jobs, in batches        │ ───▶ │ cancel_jobs                  │
    ├──────────────────┤      ├──────────────────────────────┤      ├──────────────────────────────┤
    │ find, sweep      │ ───▶ │ id file, owner file, names   │ ───▶ │ own_jobs (or jobs_by_name)   │
    │                  │      │                              │      │ [accounted_by_name]          │
    ├──────────────────┤      ├──────────────────────────────┤      ├──────────────────────────────┤
    │ logs             │ ───▶ │ files by rank and start      │      │                              │
    └──────────────────┘      └──────────────────────────────┘      └──────────────────────────────┘

Methods in brackets have a default that is correct for a scheduler without this feature. A job's name in the
scheduler is its token. Its folder is on a file system that its nodes and the observers share.
"""

from __future__ import annotations

from abc import ABC
from abc import abstractmethod
from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence

from ...model import JobSpec
from ..protocol import BackendContext
from .commands import CommandRunner
from .commands import NoAccounting
from .job_folder import JobFolder
from .launcher_output import LauncherOutput
from .queue_row import QueueRow
from .script import Submission


class SchedulerTemplate(ABC):
    """The template methods of :class:`CommandLineBackend`, which a scheduler derives."""

    runner: CommandRunner
    """Runs the scheduler's commands; has its name for messages."""

    def __init__(self, context: BackendContext) -> None:
        self.context = context

    @abstractmethod
    def build_submission(self, spec: JobSpec, token: str, folder: JobFolder) -> Submission:
        """The submit command and the batch script; nothing is written or run.

        The command names the job ``token``, sends the script's output to ``folder.output`` and ends with
        ``folder.script``.
        """

    @abstractmethod
    def job_id_of(self, output: str) -> str | None:
        """The id in what the submit command prints when it succeeds; ``None`` if there is none."""

    @abstractmethod
    def own_jobs(self) -> Mapping[str, QueueRow]:
        """All jobs of this user that the scheduler remembers, by id. Raises BackendError."""

    @abstractmethod
    def cancel_jobs(self, job_ids: Sequence[str]) -> None:
        """Request the end of jobs; an ended job is not an error. Raises BackendError.

        The scheduler sends TERM to the batch script, and KILL some time later.
        """

    def jobs_by_id(self, job_ids: Collection[str]) -> Mapping[str, QueueRow]:
        """The jobs with these ids that the scheduler remembers. Raises BackendError."""
        return self.own_jobs()

    def jobs_by_name(self, name: str) -> Mapping[str, QueueRow]:
        """Jobs of this user with a name that the scheduler remembers, by id. Raises BackendError."""
        return {job_id: row for job_id, row in self.own_jobs().items() if row.name == name}

    def accounted_by_id(self, job_ids: Collection[str]) -> Mapping[str, QueueRow]:
        """The jobs with these ids that are in the accounting. Raises NoAccounting, BackendError."""
        raise NoAccounting("no accounting is read")

    def accounted_by_name(self, name: str, since: float) -> Mapping[str, QueueRow]:
        """Jobs of this user with a name in the accounting since then (seconds since the epoch), by id.

        Raises NoAccounting, BackendError.
        """
        raise NoAccounting("no accounting is read")

    def launcher_output(self, text: str) -> LauncherOutput:
        """What the launcher and the scheduler's daemons printed of the last start, for its causes."""
        return LauncherOutput(text)

    def absence_reason(self, has_accounting: bool) -> str:
        """The text of a job that the scheduler does not know."""
        return f"{self.runner.scheduler} does not know the job"
