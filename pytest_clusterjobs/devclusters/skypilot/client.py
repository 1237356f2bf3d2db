"""What everybody may do with a local SkyPilot that runs."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Self

from ..slurm import CommandFailed
from ..slurm import SlurmClient
from ..slurm.errors import TimedOut
from .layout import CLUSTER
from .layout import SkyPilotLayout

READY = "skypilot.json"
"""What is in the folder of a server that runs: its layout."""


class SkyPilotClient:
    """A running server, as those see it who use it."""

    infra = f"slurm/{CLUSTER}"
    """Where its clusters are, as SkyPilot calls it."""

    def __init__(self, layout: SkyPilotLayout, slurm: SlurmClient) -> None:
        self.layout = layout
        self.folder = layout.folder
        self.slurm = slurm
        """The Slurm cluster below: ``slurm.run("scancel", ...)`` is a preemption."""

    @classmethod
    def at(cls, folder: Path) -> Self:
        """The one that runs in ``folder``. Raises OSError if there is none."""
        return cls(SkyPilotLayout.read(folder / READY), SlurmClient.at(folder))

    @property
    def url(self) -> str:
        """Where the API server listens."""
        return self.layout.url

    @property
    def environment(self) -> dict[str, str]:
        """What to add to the environment of whoever uses it; ``sky`` keeps all that it remembers below this HOME."""
        return {
            "HOME": str(self.layout.home),
            "SKYPILOT_API_SERVER_ENDPOINT": self.url,
            "SKYPILOT_DISABLE_USAGE_COLLECTION": "1",
        }

    def run(self, *argv: str, timeout: float = 300.0) -> str:
        """Run ``sky`` with these arguments: what it prints. Raises CommandFailed and TimedOut."""
        command = [str(Path(sys.executable).with_name("sky")), *argv]
        unwanted = ("PYTHONDONTWRITEBYTECODE",)  # without compiled files each start takes 5 s more
        inherited = {name: value for name, value in os.environ.items() if name not in unwanted}
        try:
            done = subprocess.run(
                command,
                env={**inherited, **self.environment},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise TimedOut(f"sky {' '.join(argv)} took longer than {timeout:.0f} s") from error
        if done.returncode:
            raise CommandFailed(["sky", *argv], done.returncode, done.stderr or done.stdout)
        return done.stdout

    def answers(self) -> bool:
        """Whether the API server says that it is well."""
        try:
            with urllib.request.urlopen(f"{self.url}/api/health", timeout=5) as response:
                return bool(response.status == 200)
        except (OSError, urllib.error.URLError):
            return False
