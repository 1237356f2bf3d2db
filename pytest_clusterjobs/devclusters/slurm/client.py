"""What everybody may do with a cluster that runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from ..supervisor import from_debian
from ..supervisor import Missing
from .config import SlurmLayout
from .errors import CommandFailed
from .errors import TimedOut

READY = "cluster.json"
"""What is in the folder of a cluster that runs: its layout."""

SBIN = "/usr/local/sbin:/usr/sbin:/sbin"


PACKAGES = (
    "slurm-wlm slurm-client slurm-wlm-basic-plugins munge slurmdbd slurm-wlm-mysql-plugin mariadb-server"
)


def find_program(name: str) -> str:
    """The path of a program; ordinary users need not have the daemons on PATH. Raises Missing."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:{SBIN}")
    if found is None:
        raise Missing(name, from_debian(PACKAGES))
    return found


class SlurmClient:
    """A running cluster, as those see it who use it."""

    def __init__(self, layout: SlurmLayout) -> None:
        self.layout = layout
        self.folder = layout.folder
        self.nodes = layout.nodes
        """The nodes' names."""
        self.accounting = layout.accounting
        """Whether there is a slurmdbd, and so ``sacct``."""
        self.memory_limits = layout.memory_limits
        """Whether a job that uses more memory than it asked for is killed."""

    @classmethod
    def at(cls, folder: Path) -> Self:
        """The cluster that runs in ``folder``. Raises OSError if there is none."""
        return cls(SlurmLayout.from_json(json.loads((folder / READY).read_text())))

    @property
    def environment(self) -> dict[str, str]:
        """What to add to the environment of whoever uses the cluster."""
        return {"SLURM_CONF": str(self.layout.conf)}

    def run(self, *argv: str, timeout: float = 60.0) -> str:
        """Run a program on the cluster, such as ``scontrol``: what it prints. Raises CommandFailed and TimedOut."""
        try:
            done = subprocess.run(
                [find_program(argv[0]), *argv[1:]],
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise TimedOut(f"{' '.join(argv)} took longer than {timeout:.0f} s") from error
        if done.returncode:
            raise CommandFailed(argv, done.returncode, done.stderr)
        return done.stdout

    def submit(self, script: str, *options: str) -> str:
        """Have ``sbatch`` start ``script`` with ``sh``: the job's id. Its output goes to /dev/null."""
        command = ["sbatch", "--parsable", "--output=/dev/null", *options, f"--wrap={script}"]
        return self.run(*command).split(";")[0].strip()

    def job(self, job_id: str) -> dict[str, str]:
        """What ``scontrol`` says of a job, as a mapping."""
        words = self.run("scontrol", "--oneliner", "show", "job", job_id).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def wait_for(self, job_id: str, *states: str, timeout: float = 60.0) -> dict[str, str]:
        """Wait until a job is in one of ``states``: what ``scontrol`` says of it then. Raises TimedOut."""
        seen: dict[str, str] = {}

        def there() -> bool:
            seen.update(self.job(job_id))
            return seen["JobState"] in states

        wait_until(there, f"job {job_id} to be {' or '.join(states)}", timeout)
        return seen

    def wait_idle(self, timeout: float = 60.0) -> None:
        """Wait until all nodes are idle. Raises TimedOut."""
        wait_until(self.is_idle, "all nodes to be idle", timeout)

    def is_idle(self) -> bool:
        """Whether all nodes are idle now; a controller that does not answer has none."""
        try:
            return self.run("sinfo", "--noheader", "--format=%D %t", "-p", "debug").split() == [
                str(len(self.nodes)),
                "idle",
            ]
        except CommandFailed:
            return False


def wait_until(condition: Callable[[], bool], what: str, timeout: float) -> None:
    """Wait for something that other processes do. Raises TimedOut after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimedOut(f"waited {timeout:.0f} s in vain for {what}")
        time.sleep(0.02)
