"""The Slurm backend: Slurm's commands under the base of command-line backends."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence

from ...model import JobSpec
from ..command_line import CommandLineBackend
from ..command_line import JobFolder
from ..command_line import QueueRow
from ..command_line import Submission
from ..protocol import BackendContext
from . import commands
from . import queue
from .launcher_output import SlurmLauncherOutput
from .script import checked_folder
from .script import submission
from .settings import capabilities
from .settings import SlurmSettings


class SlurmBackend(CommandLineBackend):
    """Jobs of one Slurm cluster."""

    runner = commands.RUNNER

    def __init__(self, context: BackendContext, settings: SlurmSettings) -> None:
        shared = context.run_dir / context.name
        if settings.folder is not None:
            shared = settings.folder / context.run_id
        super().__init__(context, capabilities(settings), checked_folder(shared))
        self._settings = settings

    def build_submission(self, spec: JobSpec, token: str, folder: JobFolder) -> Submission:
        """The command line of sbatch and its script."""
        return submission(
            spec,
            token,
            settings=self._settings,
            folder=folder,
            rootdir=self.context.rootdir,
            inherited=self.runner.environment(spec.secrets),
        )

    def job_id_of(self, output: str) -> str | None:
        """The id that sbatch prints."""
        return commands.job_id_of(output)

    def own_jobs(self) -> Mapping[str, QueueRow]:
        """All jobs of this user in squeue."""
        return queue.own_jobs()

    def jobs_by_id(self, job_ids: Collection[str]) -> Mapping[str, QueueRow]:
        """Jobs in squeue."""
        return queue.by_ids(job_ids)

    def jobs_by_name(self, name: str) -> Mapping[str, QueueRow]:
        """Jobs of this user in squeue."""
        return queue.by_name(name)

    def accounted_by_id(self, job_ids: Collection[str]) -> Mapping[str, QueueRow]:
        """Jobs in sacct."""
        return queue.accounted(job_ids)

    def accounted_by_name(self, name: str, since: float) -> Mapping[str, QueueRow]:
        """Jobs of this user in sacct."""
        return queue.accounted_by_name(name, since)

    def cancel_jobs(self, job_ids: Sequence[str]) -> None:
        """Slurm sends TERM at once, and KILL after its ``KillWait``."""
        commands.scancel(job_ids)

    def launcher_output(self, text: str) -> SlurmLauncherOutput:
        """What srun and Slurm's daemons printed."""
        return SlurmLauncherOutput(text)

    def absence_reason(self, has_accounting: bool) -> str:
        """Which of Slurm's commands do not know the job."""
        accounts = "nor does sacct" if has_accounting else "and this cluster keeps no accounts"
        return f"squeue does not know the job, {accounts}"
