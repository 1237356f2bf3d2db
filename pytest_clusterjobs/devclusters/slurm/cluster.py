"""A real Slurm on this machine: start it, do harm to it, stop it."""

from __future__ import annotations

import json
import os
import re
import secrets
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ..supervisor import Bind
from ..supervisor import ClusterError
from ..supervisor import Daemons
from ..supervisor import LocalCluster
from ..supervisor import MountNamespace
from .client import find_program
from .client import READY
from .client import SlurmClient
from .client import wait_until
from .config import free_ports
from .config import LONGEST
from .config import loopback
from .config import memory_limits_here
from .config import node_addresses
from .config import node_names
from .config import SlurmLayout
from .errors import TimedOut

PROGRAMS = ("munged", "slurmctld", "slurmd", "scontrol", "sinfo", "sbatch", "srun")
ACCOUNTING_PROGRAMS = ("slurmdbd", "mariadbd", "mariadb-install-db", "sacct")
PATIENCE = 120.0
"""Seconds that a step of the start may take; all of it takes one or two when nothing else runs."""


class SlurmCluster(SlurmClient, LocalCluster):
    """A Slurm of its own, in a folder of its own, as a context manager.

    slurmctld, a slurmd for each node, munged, and with ``accounting`` slurmdbd and MariaDB run as this user. They listen
    on the loopback interface alone, provided that this host's name means 127.0.0.1. Everything ends with the
    context, and with this process, however that ends.
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
        """Plan it; nothing happens yet. Raises Missing, and ClusterError for a user whom Slurm would not let in.

        ``folder`` must be empty or absent; without one a temporary one is used, and removed at the end. ``cpus``,
        ``memory`` (MiB) and ``gpus`` are what each node pretends to have. ``min_job_age`` are the seconds for which
        slurmctld remembers a job that has ended, ``node_timeout`` those after which a silent node counts as lost.
        ``time_zone`` is the daemons' TZ, and ``extra`` are lines at the end of slurm.conf. On nodes that are
        ``separate`` a program finds a host name and an address that no other node has. Without ``cgroups`` Slurm limits
        no memory, and knows a step's processes by their parents alone.
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
        self._daemons: Daemons | None = None

    def start(self) -> None:
        """Start everything; return when all nodes are idle. Raises ClusterError, and leaves nothing but logs then."""
        _take(self.folder)
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
        """Write what the daemons read."""
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
        (self.folder / READY).write_text(json.dumps(self.layout.as_json()))

    def stop(self) -> None:
        """End every daemon, job and step at once; a second time does nothing. Raises ClusterError if one stays."""
        daemons, self._daemons = self._daemons, None
        if daemons is not None:
            daemons.close()

    def check(self) -> None:
        """Raise ClusterError if a daemon has ended by itself."""
        if dead := self.daemons.dead():
            raise ClusterError(f"{dead[0]} ended: {self._last_error(dead[0])}")

    @property
    def daemons(self) -> Daemons:
        """The daemons by name. Raises ClusterError if the cluster does not run."""
        if self._daemons is None:
            raise ClusterError("the cluster does not run")
        return self._daemons

    def stop_controller(self) -> None:
        """Stop slurmctld; jobs run on."""
        self.daemons.stop("slurmctld")

    def kill_controller(self) -> None:
        """SIGKILL slurmctld: what it has not written down is lost."""
        self.daemons.kill("slurmctld")

    def start_controller(self) -> None:
        """Start slurmctld; return when it answers."""
        self._start_controller()
        self._wait(self._answers, "slurmctld to answer", "slurmctld")

    def kill_node(self, name: str) -> None:
        """Lose a node: its slurmd, its steps and every process of its jobs get SIGKILL at once."""
        self.daemons.kill(name)

    def start_node(self, name: str) -> None:
        """Start a node's slurmd."""
        cgroup = f"slurm_{name}" if self.memory_limits else None
        argv = [self.programs["slurmd"], "-D", "-N", name]
        if self.layout.addresses:
            argv = self.room(name).enter(argv)
        self.daemons.start(name, argv, cgroup=cgroup)

    def room(self, name: str = "") -> MountNamespace:
        """What is to be seen on a separate node, or without a name on another machine that knows the nodes."""
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
        where = {"MYSQL_UNIX_PORT": str(self.layout.mysql_socket)}
        self.daemons.start("slurmdbd", [self.programs["slurmdbd"], "-D"], where)
        self._wait(lambda: _listens(self.layout.ports[1]), "slurmdbd to listen", "slurmdbd")

    def set_partition(self, state: str, partition: str = "debug") -> None:
        """Set a partition UP, DOWN, DRAIN or INACTIVE."""
        self.run("scontrol", "update", f"PartitionName={partition}", f"State={state}")

    def _environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "HOME") if name in os.environ}
        zone = {"TZ": self._time_zone} if self._time_zone else {}
        return {**kept, **zone, **self.environment}

    def _start_munged(self) -> None:
        socket_path, run = self.layout.munge_socket, self.folder / "run"
        options = [
            f"--key-file={self.folder / 'etc' / 'munge.key'}",
            f"--socket={socket_path}",
            f"--pid-file={run / 'munged.pid'}",
            f"--seed-file={run / 'munged.seed'}",
        ]
        # Forced, or it would object to a folder in /tmp, which others may write to.
        self.daemons.start("munged", [self.programs["munged"], "--foreground", "--force", *options])
        self._wait(socket_path.exists, "munged to listen", "munged")

    def _start_database(self) -> None:
        data, user = self.folder / "mysql", f"--user={self.layout.user}"
        small = ["--innodb-log-file-size=8M", "--innodb-buffer-pool-size=64M"]
        install = [self.programs["mariadb-install-db"], "--no-defaults", user, f"--datadir={data}"]
        self.daemons.start("mariadb-install-db", [*install, *small, *INSTALL_OPTIONS])
        wait_until(lambda: "mariadb-install-db" in self.daemons.dead(), "a database", PATIENCE)
        where, path = self.layout.mysql_socket, self.programs["mariadbd"]
        options = [user, f"--datadir={data}", f"--socket={where}", f"--pid-file={where}.pid"]
        self.daemons.start("mariadbd", [path, "--no-defaults", *options, *small, *DATABASE_OPTIONS])
        self._wait(where.exists, "MariaDB to listen", "mariadbd")

    def _start_controller(self) -> None:
        self.daemons.start("slurmctld", [self.programs["slurmctld"], "-D"])
        # Whoever finds nobody there waits for a second before it tries again.
        self._wait(lambda: _listens(self.layout.ports[0]), "slurmctld to listen", "slurmctld")

    def _answers(self) -> bool:
        try:
            return "UP" in self.run("scontrol", "ping")
        except ClusterError:
            return False

    def _wait(self, condition: Callable[[], bool], what: str, name: str) -> None:
        """Wait for something that the daemon ``name`` does, unless a daemon ends meanwhile. Raises ClusterError."""

        def there() -> bool:
            self.check()
            return condition()

        try:
            wait_until(there, what, PATIENCE)
        except TimedOut as error:
            raise ClusterError(f"{error}: {self._last_error(name)}") from error

    def _last_error(self, name: str) -> str:
        """The last error lines of a daemon, and where they are: the very last may only say that there was one."""
        path = self.folder / "log" / f"{name}.out"
        text = path.read_text(errors="replace") if path.exists() else ""
        lines = [line.strip()[:300] for line in text.splitlines() if line.strip()]
        errors = [line for line in lines if re.search(r"fatal|error", line, re.IGNORECASE)]
        return f"{'; '.join(errors[-2:] or lines[-1:]) or 'it does not say why'} (in {path})"


def _temporary_folder() -> Path:
    return Path(tempfile.gettempdir(), f"clusterjobs-slurm-{secrets.token_hex(4)}")


def _take(folder: Path) -> None:
    """Make the folder. Raises ClusterError if Slurm cannot live in it."""
    # Slurm's configuration knows no quotes, and takes % for a field.
    if not re.fullmatch(r"[\w./+-]+", str(folder), re.ASCII):
        raise ClusterError(f"{folder}: Slurm needs a folder whose path has only letters, digits and ./+-_")
    if len(str(folder)) > LONGEST:
        raise ClusterError(
            f"{folder}: too long a path for the Unix sockets below it; at most {LONGEST} characters"
        )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        empty = not any(folder.iterdir())
    except OSError as error:
        raise ClusterError(f"{folder}: {error.strerror}") from error
    if not empty:
        raise ClusterError(f"{folder} is not empty")


def _listens(port: int) -> bool:
    """Whether somebody listens on a port; to connect would be noise in the daemon's log."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(words[1].endswith(f":{port:04X}") and words[3] == "0A" for words in map(str.split, lines))


INSTALL_OPTIONS = ("--auth-root-authentication-method=normal", "--skip-test-db")
DATABASE_OPTIONS = (
    "--skip-networking",
    "--skip-log-bin",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-lock-wait-timeout=900",
)
