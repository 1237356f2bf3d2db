"""A real SkyPilot on this machine: start it, do harm to it, stop it."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ..slurm.client import wait_until
from ..slurm.config import free_ports
from ..slurm.errors import TimedOut
from ..supervisor import Bind
from ..supervisor import ClusterError
from ..supervisor import Daemons
from ..supervisor import LocalCluster
from ..supervisor import MountNamespace
from .client import READY
from .client import SkyPilotClient
from .layout import SkyPilotLayout
from .nodes import Nodes
from .programs import find_programs

API, SSH = "api-server", "sshd"
PATIENCE = 180.0
"""Seconds that the API server may take to start."""


class SkyPilotServer(SkyPilotClient, LocalCluster):
    """A SkyPilot of its own, in a folder of its own, as a context manager.

    An API server with its managed jobs controllers, sshd, and a Slurm cluster to launch on, all of them processes of
    this user. They listen on the loopback interface alone. Everything ends with the context, and with this process,
    however that ends: launched clusters and their jobs too.
    """

    slurm: Nodes

    def __init__(
        self,
        folder: Path | None = None,
        *,
        nodes: int = 2,
        cpus: int = 16,
        memory: int = 65536,
        cache: Path | None = None,
        visible: Iterable[Path] = (),
    ) -> None:
        """Plan it; nothing happens yet. Raises Missing, and ClusterError as SlurmCluster does.

        ``folder`` must be empty or absent; without one a temporary one is used, and removed at the end. ``cpus`` and
        ``memory`` (MiB) are what each of the ``nodes`` pretends to have. ``cache`` is where packages are kept that
        launched clusters install; without one, this server's first cluster fetches them all. Each node has a /tmp
        of its own; ``visible`` are the folders below /tmp that it has in common with this machine.
        """
        self.programs = find_programs()
        # SkyPilot has one job of a cluster start the next: with cgroups Slurm would end that with the first.
        slurm = Nodes(
            folder,
            nodes=nodes,
            accounting=False,
            cpus=cpus,
            memory=memory,
            gpus=0,
            separate=True,
            cgroups=False,
        )
        taken = slurm.layout.ports
        free = (port for port in free_ports(len(taken) + 2, "127.0.0.1") if port not in taken)
        layout = SkyPilotLayout(
            folder=slurm.folder,
            api_port=next(free),
            ssh_port=next(free),
            cache=(cache or slurm.folder / "cache").absolute(),
        )
        super().__init__(layout, slurm)
        slurm.furnish(layout, self.programs, (*visible, layout.cache))

    def start(self) -> None:
        """Start everything; return when the API server answers. Raises ClusterError, and leaves nothing but logs then."""
        self.slurm.start()
        try:
            self._start_sshd()
            self.start_api_server()
            draft = self.folder / f"{READY}.draft"
            draft.write_text(json.dumps(self.layout.as_json()))
            draft.rename(self.folder / READY)
        except BaseException as error:
            if isinstance(error, ClusterError):
                # The logs that it names are to stay, and with them the folder.
                with suppress(ClusterError):
                    self.daemons.remove_at_end(self.folder / "tmp")
            self.stop()
            raise

    def stop(self) -> None:
        """End everything at once; a second time does nothing. Raises ClusterError if something stays."""
        self.slurm.stop()

    def check(self) -> None:
        """Raise ClusterError if a daemon has ended by itself."""
        self.slurm.check()

    @property
    def daemons(self) -> Daemons:
        """The daemons by name. Raises ClusterError if the server does not run."""
        return self.slurm.daemons

    def start_api_server(self) -> None:
        """Start the API server; return when it answers. Raises ClusterError."""
        command = [
            sys.executable,
            "-m",
            "sky.server.server",
            "--host=127.0.0.1",
            f"--port={self.layout.api_port}",
        ]
        self.daemons.start(API, self.slurm.room(API).enter(command), self._server_environment())
        try:
            wait_until(self._is_up, "the API server to answer", PATIENCE)
        except TimedOut as error:
            raise ClusterError(f"{error} (in {self.folder / 'log' / API}.out)") from error

    def kill_api_server(self) -> None:
        """SIGKILL the API server and all that it started: its workers, the jobs' controllers, its connections.

        Launched clusters and their jobs run on, as when the machine of the API server is lost.
        """
        self.daemons.kill(API)

    def restart_api_server(self) -> None:
        """Kill the API server and start it again; return when it answers."""
        self.kill_api_server()
        self.start_api_server()

    def _is_up(self) -> bool:
        self.check()
        return self.answers()

    def _start_sshd(self) -> None:
        config = self.layout.keys / "sshd_config"
        self.daemons.start(
            SSH, self._login_room().enter([self.programs["sshd"], "-D", "-e", "-f", str(config)])
        )

    def _login_room(self) -> MountNamespace:
        room = self.slurm.room("login")
        if os.geteuid() or Path("/run/sshd").is_dir():
            return room
        # sshd wants a folder there if it is root. Its service makes that, which may never have run.
        run = self.folder / "login-run"
        (run / "sshd").mkdir(parents=True, mode=0o755)
        names = Path("/etc/resolv.conf").resolve()
        if names.is_relative_to("/run") and names.exists():
            copy = run / names.relative_to("/run")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(names, copy)
        return MountNamespace(room.hostname, (Bind(run, Path("/run")), *room.binds))

    def _server_environment(self) -> dict[str, str]:
        mine = os.path.dirname(sys.executable)
        return {
            **{
                name: value
                for name, value in self.environment.items()
                if name != "SKYPILOT_API_SERVER_ENDPOINT"
            },
            "PATH": f"{mine}:{os.environ.get('PATH', os.defpath)}",
            "PYTHONPATH": str(self.folder / "plugins"),
            "IS_SKYPILOT_SERVER": "true",
            # As if the machine had so much: SkyPilot starts a controller for each 800 MB or so that it finds
            # free, and twelve take longer to start than all the rest. Two control some hundred jobs.
            "SKYPILOT_POD_MEMORY_GB_LIMIT": "8",
            "SKYPILOT_API_SERVER_LOCAL_PORT": str(self.layout.api_port),
        }
