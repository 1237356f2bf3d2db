"""A client of a running Slurm cluster, in any process."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from ..supervisor import CommandFailed
from ..supervisor import from_debian
from ..supervisor import Missing
from ..supervisor import run_command
from ..supervisor import wait_until
from .config import SlurmLayout

SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
PACKAGES = (
    "slurm-wlm slurm-client slurm-wlm-basic-plugins munge slurmdbd slurm-wlm-mysql-plugin mariadb-server"
)


def find_program(name: str) -> str:
    """The path of a program, which may be in an ``sbin`` folder that is not on PATH. Raises Missing."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:{SBIN}")
    if found is None:
        raise Missing(name, from_debian(PACKAGES))
    return found


class SlurmClient:
    """A running Slurm cluster on this machine: submit jobs, and run Slurm's commands.

    ``SlurmClient.at(folder)`` connects to the cluster that runs in ``folder``.
    """

    ready_file = "cluster.json"
    """Contains the cluster's layout."""

    def __init__(self, layout: SlurmLayout) -> None:
        self.layout = layout
        self.folder = layout.folder
        self.nodes = layout.nodes
        """The nodes' names."""
        self.accounting = layout.accounting
        """Whether slurmdbd runs, and therefore ``sacct`` works."""
        self.memory_limits = layout.memory_limits
        """Whether Slurm kills a job that uses more memory than it requested."""

    @staticmethod
    def at(folder: Path) -> SlurmClient:
        """Return a client of the cluster that runs in ``folder``. Raises OSError if there is none."""
        return SlurmClient(SlurmLayout.from_json(json.loads((folder / SlurmClient.ready_file).read_text())))

    @property
    def environment(self) -> dict[str, str]:
        """The variables that a process needs to use the cluster."""
        return {"SLURM_CONF": str(self.layout.conf)}

    def run(self, *argv: str, timeout: float = 60.0) -> str:
        """Run a command of Slurm, such as ``scontrol``, and return its output.

        Raises CommandFailed, and TimedOut after ``timeout`` seconds.
        """
        env = {**os.environ, **self.environment}
        return run_command(argv, path=find_program(argv[0]), env=env, timeout=timeout)

    def submit(self, script: str, *options: str) -> str:
        """Submit ``script``, run by ``sh``, with ``sbatch``; return the job's id. Its output is discarded."""
        command = ["sbatch", "--parsable", "--output=/dev/null", *options, f"--wrap={script}"]
        return self.run(*command).split(";")[0].strip()

    def job(self, job_id: str) -> dict[str, str]:
        """The fields of a job in the output of ``scontrol show job``."""
        words = self.run("scontrol", "--oneliner", "show", "job", job_id).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def wait_for(self, job_id: str, *states: str, timeout: float = 60.0) -> dict[str, str]:
        """Wait until a job is in one of ``states``; return its fields.

        Raises TimedOut after ``timeout`` seconds.
        """
        seen: dict[str, str] = {}

        def is_there() -> bool:
            seen.update(self.job(job_id))
            return seen["JobState"] in states

        wait_until(is_there, f"job {job_id} to be {' or '.join(states)}", timeout)
        return seen

    def wait_idle(self, timeout: float = 60.0) -> None:
        """Wait until all nodes are idle. Raises TimedOut after ``timeout`` seconds."""
        wait_until(self.is_idle, "all nodes to be idle", timeout)

    def is_idle(self) -> bool:
        """Whether all nodes are idle now; False if the controller does not answer."""
        try:
            return self.run("sinfo", "--noheader", "--format=%D %t", "-p", "debug").split() == [
                str(len(self.nodes)),
                "idle",
            ]
        except CommandFailed:
            return False
