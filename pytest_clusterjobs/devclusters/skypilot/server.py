"""A real SkyPilot on this machine: start it, damage it, stop it."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ..slurm.config import free_ports
from ..supervisor import Bind
from ..supervisor import ClusterError
from ..supervisor import Daemons
from ..supervisor import LocalCluster
from ..supervisor import MountNamespace
from ..supervisor import TimedOut
from ..supervisor import wait_until
from .client import SkyPilotClient
from .layout import SkyPilotLayout
from .nodes import Nodes
from .programs import find_programs

API, SSH = "api-server", "sshd"
API_START_TIMEOUT_SECONDS = 180.0


class SkyPilotServer(SkyPilotClient, LocalCluster[SkyPilotClient]):
    """A private SkyPilot on this machine, in a folder of its own, as a context manager.

    An API server with its managed jobs controllers, sshd, and a Slurm cluster to launch on run as this user.
    They listen only on the loopback interface. All of them, launched clusters and their jobs end with the
    ``with`` block, and with this process, even after a ``kill -9``.
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
        """Plan the server; nothing is started yet. Raises Missing, and ClusterError as SlurmCluster does.

        - ``folder`` must be empty or absent; by default a temporary folder is used, and removed at the end.
        - ``cpus`` and ``memory`` (MiB) of each of the ``nodes`` are simulated.
        - ``cache`` is a folder for the packages that launched clusters install; without it, the first cluster
          downloads all of them.
        - ``visible`` are folders below /tmp that jobs can see, because each node has a /tmp of its own.
        """
        self.programs = find_programs()
        # On a SkyPilot cluster one job starts the next. With cgroups, Slurm would end both with the first.
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
        slurm.install(layout, self.programs, (*visible, layout.cache))

    def start(self) -> None:
        """Start all daemons; return when the API server answers.

        Raises ClusterError; then no process and only the logs are left.
        """
        self.slurm.start()
        try:
            self._start_sshd()
            self.start_api_server()
            draft = self.folder / f"{self.ready_file}.draft"
            draft.write_text(json.dumps(self.layout.as_json()))
            draft.rename(self.folder / self.ready_file)
        except BaseException as error:
            if isinstance(error, ClusterError):
                # Keep the folder, because the message names the logs in it.
                with suppress(ClusterError):
                    self.daemons.remove_at_end(self.folder / "tmp")
            self.stop()
            raise

    def stop(self) -> None:
        """End all daemons, clusters and jobs at once; a second call does nothing.

        Raises ClusterError if a process remains.
        """
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
        self.daemons.start(API, self.slurm.namespace(API).command(command), self._server_environment())
        try:
            wait_until(self._is_up, "the API server to answer", API_START_TIMEOUT_SECONDS)
        except TimedOut as error:
            raise ClusterError(f"{error} (in {self.folder / 'log' / API}.out)") from error

    def kill_api_server(self) -> None:
        """Kill the API server, its workers, controllers and connections with SIGKILL.

        Launched clusters and their jobs keep running, as when the machine of the API server is lost.
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
            SSH, self._login_namespace().command([self.programs["sshd"], "-D", "-e", "-f", str(config)])
        )

    def _login_namespace(self) -> MountNamespace:
        namespace = self.slurm.namespace("login")
        if os.geteuid() or Path("/run/sshd").is_dir():
            return namespace
        # As root sshd needs this folder. The sshd service makes it, but may never have run.
        run = self.folder / "login-run"
        (run / "sshd").mkdir(parents=True, mode=0o755)
        names = Path("/etc/resolv.conf").resolve()
        if names.is_relative_to("/run") and names.exists():
            copy = run / names.relative_to("/run")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(names, copy)
        return MountNamespace(namespace.hostname, (Bind(run, Path("/run")), *namespace.binds))

    def _server_environment(self) -> dict[str, str]:
        own_programs = os.path.dirname(sys.executable)
        return {
            **{
                name: value
                for name, value in self.environment.items()
                if name != "SKYPILOT_API_SERVER_ENDPOINT"
            },
            "PATH": f"{own_programs}:{os.environ.get('PATH', os.defpath)}",
            "PYTHONPATH": str(self.folder / "plugins"),
            "IS_SKYPILOT_SERVER": "true",
            # SkyPilot starts a controller for each 800 MB of free memory. Twelve controllers take longer to
            # start than everything else; two are enough for some hundred jobs.
            "SKYPILOT_POD_MEMORY_GB_LIMIT": "8",
            "SKYPILOT_API_SERVER_LOCAL_PORT": str(self.layout.api_port),
        }
