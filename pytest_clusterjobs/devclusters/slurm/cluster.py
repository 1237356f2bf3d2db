"""A real Slurm on this machine: start it, damage it, stop it."""

from __future__ import annotations

import json
import re
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

from ..supervisor import Bind
from ..supervisor import ClusterError
from ..supervisor import Daemons
from ..supervisor import inherited_environment
from ..supervisor import LocalCluster
from ..supervisor import make_empty_folder
from ..supervisor import MountNamespace
from ..supervisor import wait_until
from ..supervisor.local_cluster import START_TIMEOUT_SECONDS
from .client import find_program
from .client import SlurmClient
from .config import free_ports
from .config import loopback
from .config import MAX_FOLDER_CHARACTERS
from .config import memory_limits_here
from .config import node_addresses
from .config import node_names
from .config import SlurmLayout

PROGRAMS = ("munged", "slurmctld", "slurmd", "scontrol", "sinfo", "sbatch", "srun")
ACCOUNTING_PROGRAMS = ("slurmdbd", "mariadbd", "mariadb-install-db", "sacct")


class SlurmCluster(SlurmClient, LocalCluster[SlurmClient]):
    """A private Slurm on this machine, in a folder of its own, as a context manager.

    slurmctld, a slurmd for each node, munged, and with ``accounting`` slurmdbd and MariaDB run as this user.
    They listen only on the loopback interface if this host's name resolves to 127.0.0.1. All of them, and all
    jobs, end with the ``with`` block, and with this process, even after a ``kill -9``.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        nodes: int = 8,
        accounting: bool = True,
        cpus: int = 16,
        memory: int = 4096,
        gpus: int = 4,
        min_job_age: int = 300,
        node_timeout: int = 30,
        time_zone: str | None = None,
        separate: bool = False,
        cgroups: bool = True,
        extra: str = "",
    ) -> None:
        """Plan the cluster; nothing is started yet.

        Raises Missing, and ClusterError for a user that Slurm does not accept.

        - ``folder`` must be empty or absent; by default a temporary folder is used, and removed at the end.
        - ``accounting``: run slurmdbd and MariaDB, for ``sacct``.
        - ``cpus``, ``memory`` (MiB) and ``gpus`` of each node are simulated.
        - ``min_job_age`` (seconds): slurmctld remembers a job that has ended for so long.
        - ``node_timeout`` (seconds): a node that is silent for so long is lost.
        - ``time_zone``: the daemons' ``TZ``.
        - ``separate``: each node has a host name and an address of its own.
        - ``cgroups=False``: Slurm limits no memory, and tracks a step's processes by their parents.
        - ``extra``: lines at the end of slurm.conf.
        """
        self.programs = {
            name: find_program(name) for name in (*PROGRAMS, *(ACCOUNTING_PROGRAMS if accounting else ()))
        }
        self._temporary = folder is None
        address = loopback()
        super().__init__(
            SlurmLayout(
                folder=(folder or _temporary_folder()).absolute(),
                nodes=node_names(nodes),
                ports=free_ports(nodes + 2, address),
                address=address,
                accounting=accounting,
                memory_limits=cgroups and memory_limits_here(),
                cpus=cpus,
                memory=memory,
                gpus=gpus,
                min_job_age=min_job_age,
                node_timeout=node_timeout,
                addresses=node_addresses(nodes) if separate else (),
                extra=extra,
            )
        )
        self._time_zone = time_zone

    def start(self) -> None:
        """Start all daemons; return when all nodes are idle.

        Raises ClusterError; then no process and only the logs are left.
        """
        _make_folder(self.folder)
        self._write()
        database = self.folder / "mysql"
        self._daemons = Daemons(self.folder, self._environment())
        try:
            self._daemons.remove_at_end(self.folder if self._temporary else database)
            self._start_all()
        except BaseException as error:
            if isinstance(error, ClusterError):
                with suppress(ClusterError):
                    self._daemons.remove_at_end(database)
            self.stop()
            raise

    def _write(self) -> None:
        """Write the daemons' configuration files."""
        self.layout.write()

    def _start_all(self) -> None:
        self._start_munged()
        if self.accounting:
            self._start_database()
            self.start_accounting()
        self._start_controller()
        for name in self.nodes:
            self.start_node(name)
        self._wait(self.is_idle, "all nodes to be idle", "slurmctld")
        (self.folder / self.ready_file).write_text(json.dumps(self.layout.as_json()))

    def stop_controller(self) -> None:
        """Stop slurmctld; jobs keep running."""
        self.daemons.stop("slurmctld")

    def kill_controller(self) -> None:
        """Kill slurmctld with SIGKILL; state that it has not saved is lost."""
        self.daemons.kill("slurmctld")

    def start_controller(self) -> None:
        """Start slurmctld; return when it answers."""
        self._start_controller()
        self._wait(self._answers, "slurmctld to answer", "slurmctld")

    def kill_node(self, name: str) -> None:
        """Lose a node: its slurmd, its steps and all processes of its jobs get SIGKILL at once."""
        self.daemons.kill(name)

    def start_node(self, name: str) -> None:
        """Start a node's slurmd."""
        cgroup = f"slurm_{name}" if self.memory_limits else None
        argv = [self.programs["slurmd"], "-D", "-N", name]
        if self.layout.addresses:
            argv = self.namespace(name).command(argv)
        self.daemons.start(name, argv, cgroup=cgroup)

    def namespace(self, name: str = "") -> MountNamespace:
        """The namespace of a separate node; without a name, of another machine in its network."""
        srun = Path(self.programs["srun"])
        binds = (
            Bind(self.layout.hosts, Path("/etc/hosts")),
            Bind(srun, self.layout.srun.with_suffix(".real")),
            Bind(self.layout.srun, srun),
        )
        return MountNamespace(name, binds)

    def stop_accounting(self) -> None:
        """Stop slurmdbd."""
        self.daemons.stop("slurmdbd")

    def start_accounting(self) -> None:
        """Start slurmdbd; return when it listens."""
        socket_path = {"MYSQL_UNIX_PORT": str(self.layout.mysql_socket)}
        self.daemons.start("slurmdbd", [self.programs["slurmdbd"], "-D"], socket_path)
        self._wait(lambda: _listens(self.layout.ports[1]), "slurmdbd to listen", "slurmdbd")

    def set_partition(self, state: str, partition: str = "debug") -> None:
        """Set a partition UP, DOWN, DRAIN or INACTIVE."""
        self.run("scontrol", "update", f"PartitionName={partition}", f"State={state}")

    def _environment(self) -> dict[str, str]:
        zone = {"TZ": self._time_zone} if self._time_zone else {}
        return {**inherited_environment(), **zone, **self.environment}

    def _start_munged(self) -> None:
        socket_path, run = self.layout.munge_socket, self.folder / "run"
        options = [
            f"--key-file={self.folder / 'etc' / 'munge.key'}",
            f"--socket={socket_path}",
            f"--pid-file={run / 'munged.pid'}",
            f"--seed-file={run / 'munged.seed'}",
        ]
        # munged rejects a folder in /tmp, which others may write to, unless it is forced.
        self.daemons.start("munged", [self.programs["munged"], "--foreground", "--force", *options])
        self._wait(socket_path.exists, "munged to listen", "munged")

    def _start_database(self) -> None:
        data, user = self.folder / "mysql", f"--user={self.layout.user}"
        small = ["--innodb-log-file-size=8M", "--innodb-buffer-pool-size=64M"]
        install = [self.programs["mariadb-install-db"], "--no-defaults", user, f"--datadir={data}"]
        self.daemons.start("mariadb-install-db", [*install, *small, *INSTALL_OPTIONS])
        wait_until(lambda: "mariadb-install-db" in self.daemons.dead(), "a database", START_TIMEOUT_SECONDS)
        where, path = self.layout.mysql_socket, self.programs["mariadbd"]
        options = [user, f"--datadir={data}", f"--socket={where}", f"--pid-file={where}.pid"]
        self.daemons.start("mariadbd", [path, "--no-defaults", *options, *small, *DATABASE_OPTIONS])
        self._wait(where.exists, "MariaDB to listen", "mariadbd")

    def _start_controller(self) -> None:
        self.daemons.start("slurmctld", [self.programs["slurmctld"], "-D"])
        # A client that is refused waits a second before it tries again.
        self._wait(lambda: _listens(self.layout.ports[0]), "slurmctld to listen", "slurmctld")

    def _answers(self) -> bool:
        try:
            return "UP" in self.run("scontrol", "ping")
        except ClusterError:
            return False


def _temporary_folder() -> Path:
    return Path(tempfile.gettempdir(), f"clusterjobs-slurm-{secrets.token_hex(4)}")


def _make_folder(folder: Path) -> None:
    """Make the folder. Raises ClusterError if its path is not suitable for Slurm, or if it is not empty."""
    # Slurm's configuration has no quoting, and % begins a field.
    if not re.fullmatch(r"[\w./+-]+", str(folder), re.ASCII):
        raise ClusterError(f"{folder}: use a folder whose path has only letters, digits and ./+-_, for Slurm")
    if len(str(folder)) > MAX_FOLDER_CHARACTERS:
        raise ClusterError(
            f"{folder}: the path is too long for Unix sockets; use at most {MAX_FOLDER_CHARACTERS} characters"
        )
    make_empty_folder(folder)


def _listens(port: int) -> bool:
    """Whether a process listens on a port; a connection would leave a line in the daemon's log."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(words[1].endswith(f":{port:04X}") and words[3] == "0A" for words in map(str.split, lines))


INSTALL_OPTIONS = ("--auth-root-authentication-method=normal", "--skip-test-db")
DATABASE_OPTIONS = (
    "--skip-networking",
    "--skip-log-bin",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-lock-wait-timeout=900",
)
