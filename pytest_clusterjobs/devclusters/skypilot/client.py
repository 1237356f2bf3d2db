"""A client of a running SkyPilot, in any process."""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

from ..slurm import SlurmClient
from ..supervisor import run_command
from .layout import CLUSTER
from .layout import SkyPilotLayout


class SkyPilotClient:
    """A running SkyPilot on this machine: run ``sky``, and damage its Slurm.

    ``SkyPilotClient.at(folder)`` connects to the server that runs in ``folder``.
    """

    ready_file = "skypilot.json"
    """Contains the server's layout."""
    infra = f"slurm/{CLUSTER}"
    """The value of SkyPilot's ``resources.infra`` for its clusters."""

    def __init__(self, layout: SkyPilotLayout, slurm: SlurmClient) -> None:
        self.layout = layout
        self.folder = layout.folder
        self.slurm = slurm
        """The Slurm cluster that it launches on; ``slurm.run("scancel", ...)`` is a preemption."""

    @staticmethod
    def at(folder: Path) -> SkyPilotClient:
        """Return a client of the server that runs in ``folder``. Raises OSError if there is none."""
        layout = SkyPilotLayout.read(folder / SkyPilotClient.ready_file)
        return SkyPilotClient(layout, SlurmClient.at(folder))

    @property
    def url(self) -> str:
        """The URL of the API server."""
        return self.layout.url

    @property
    def environment(self) -> dict[str, str]:
        """The variables that a process needs to use the server; ``sky`` stores its state below this HOME."""
        return {
            "HOME": str(self.layout.home),
            "SKYPILOT_API_SERVER_ENDPOINT": self.url,
            "SKYPILOT_DISABLE_USAGE_COLLECTION": "1",
        }

    def run(self, *argv: str, timeout: float = 300.0) -> str:
        """Run ``sky`` with these arguments and return its output.

        Raises CommandFailed, and TimedOut after ``timeout`` seconds.
        """
        unwanted = ("PYTHONDONTWRITEBYTECODE",)  # without compiled files each start takes 5 s more
        inherited = {name: value for name, value in os.environ.items() if name not in unwanted}
        env = {**inherited, **self.environment}
        path = str(Path(sys.executable).with_name("sky"))
        return run_command(["sky", *argv], path=path, env=env, timeout=timeout)

    def answers(self) -> bool:
        """Whether the API server answers that it is healthy."""
        try:
            with urllib.request.urlopen(f"{self.url}/api/health", timeout=5) as response:
                return bool(response.status == 200)
        except (OSError, urllib.error.URLError):
            return False
