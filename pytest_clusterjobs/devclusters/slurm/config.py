"""The layout of a cluster, and the configuration files of its daemons."""

from __future__ import annotations

import os
import pwd
import secrets
import shlex
import socket
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from random import sample
from typing import Any

from ..supervisor import ClusterError
from ..supervisor import MountNamespace

CGROUPS = Path("/sys/fs/cgroup")
CONTROLLERS = ("memory", "freezer", "cpuacct")
PORTS = range(10000, 20000)
"""Below the kernel's ephemeral ports, and apart from the ports of jobs."""
MAX_FOLDER_CHARACTERS = 60
"""The folder contains Unix sockets, whose paths have 107 characters at most."""


def _user_name() -> str:
    """The name of this user. Raises ClusterError for a user without a name, which Slurm does not accept."""
    user = os.geteuid()
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError as error:
        raise ClusterError(f"user {user} has no name on this machine; Slurm needs one") from error


@dataclass(frozen=True, kw_only=True)
class SlurmLayout:
    """The folder, nodes, ports and options of one cluster."""

    folder: Path
    nodes: tuple[str, ...]
    ports: tuple[int, ...]
    """Of slurmctld, slurmdbd, then one a node."""
    address: str
    """Where the daemons listen; empty for all addresses, if this host's name is not 127.0.0.1."""
    accounting: bool
    memory_limits: bool
    cpus: int
    memory: int
    gpus: int
    min_job_age: int
    node_timeout: int
    extra: str = ""
    addresses: tuple[str, ...] = ()
    """Of the nodes, if they are separate; empty otherwise."""
    user: str = field(default_factory=_user_name)
    host: str = field(default_factory=lambda: socket.gethostname().split(".")[0])

    @property
    def conf(self) -> Path:
        """Slurm's configuration."""
        return self.folder / "etc" / "slurm.conf"

    @property
    def munge_socket(self) -> Path:
        """Where the cluster's own munged listens."""
        return self.folder / "run" / "munge.socket"

    @property
    def mysql_socket(self) -> Path:
        """The only address at which the cluster's own MariaDB listens."""
        return self.folder / "run" / "mysql.socket"

    @property
    def hosts(self) -> Path:
        """The /etc/hosts of separate nodes."""
        return self.folder / "etc" / "hosts"

    @property
    def srun(self) -> Path:
        """The srun of separate nodes; the real one is beside it."""
        return self.folder / "etc" / "srun"

    def write(self) -> None:
        """Write the folders and the files."""
        for name in ("etc", "run", "log", "state", "work", *(f"spool/{node}" for node in self.nodes)):
            (self.folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        for number in range(1, self.gpus + 1):
            (self.folder / "run" / f"gpu{number}").symlink_to("/dev/null")
        _write(self.folder / "etc" / "munge.key", secrets.token_bytes(128))
        _write(self.conf, slurm_conf(self).encode())
        _write(self.folder / "etc" / "cgroup.conf", CGROUP_CONF.encode())
        _write(self.folder / "etc" / "gres.conf", gres_conf(self).encode())
        if self.accounting:
            _write(self.folder / "etc" / "slurmdbd.conf", slurmdbd_conf(self).encode())
        if self.addresses:
            _write(self.hosts, hosts(self).encode())
            _write(self.srun, srun(self).encode())
            self.hosts.chmod(0o644)
            self.srun.chmod(0o755)
            self.srun.with_suffix(".real").touch()

    def as_json(self) -> dict[str, Any]:
        """The layout for another process, JSON-serialisable."""
        return {**asdict(self), "folder": str(self.folder)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> SlurmLayout:
        """The layout that ``as_json`` returned."""
        lists = {name: tuple(values[name]) for name in ("nodes", "ports", "addresses")}
        return cls(**{**values, **lists, "folder": Path(values["folder"])})


def _write(path: Path, content: bytes) -> None:
    path.touch(0o600)
    path.write_bytes(content)


def node_names(count: int) -> tuple[str, ...]:
    """Node names that no other cluster on this machine has, because cgroups have these names."""
    unique = secrets.token_hex(2)
    return tuple(f"n{unique}-{number}" for number in range(1, count + 1))


def loopback() -> str:
    """127.0.0.1 if this host's name resolves to it, else an empty text.

    Slurm binds either to all addresses or to that of the host's name. With another loopback address srun
    would not be reachable for its tasks: they connect to its source address, which is 127.0.0.1.
    """
    try:
        address = socket.gethostbyname(socket.gethostname())
    except OSError:
        return ""
    return address if address == "127.0.0.1" else ""


def node_addresses(count: int) -> tuple[str, ...]:
    """Loopback addresses that are hardly used otherwise, so that ports of different nodes do not collide."""
    network = f"127.{secrets.randbelow(254) + 1}.{secrets.randbelow(254) + 1}"
    return tuple(f"{network}.{number}" for number in range(1, count + 1))


def free_ports(count: int, address: str) -> tuple[int, ...]:
    """Ports on which no process listens now. Raises OSError if there are too few."""
    found: list[int] = []
    for port in sample(PORTS, len(PORTS)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return tuple(found)
    raise OSError(f"no {count} free ports between {PORTS.start} and {PORTS.stop}")


def memory_limits_here() -> bool:
    """Whether Slurm can limit memory on this machine: as root, with the controllers of cgroup v1 writable."""
    return os.geteuid() == 0 and all(os.access(CGROUPS / name / "tasks", os.W_OK) for name in CONTROLLERS)


def slurm_conf(layout: SlurmLayout) -> str:
    """slurm.conf: short intervals, so that the cluster reacts at once."""
    plugins = CGROUP_PLUGINS if layout.memory_limits else PLAIN_PLUGINS
    accounting = ACCOUNTING if layout.accounting else "AccountingStorageType=accounting_storage/none\n"
    bind = "CommunicationParameters=NoInAddrAny,NoCtldInAddrAny\n" if layout.address else ""
    ctld, dbd, *slurmd = layout.ports
    values = {
        **asdict(layout),
        "address": layout.address or "127.0.0.1",
        "socket": layout.munge_socket,
        # slurmctld retries a node that refuses connections for so long before the node counts as silent.
        "message_timeout": min(10, layout.node_timeout),
        "memory_per_cpu": layout.memory // layout.cpus,
        "ctld": ctld,
        "dbd": dbd,
    }
    hosts = layout.nodes if layout.addresses else (layout.host,) * len(layout.nodes)
    addresses = layout.addresses or (values["address"],) * len(layout.nodes)
    nodes = "".join(
        f"NodeName={name} NodeHostname={host} NodeAddr={address} Port={port}\n"
        for name, host, address, port in zip(layout.nodes, hosts, addresses, slurmd, strict=True)
    )
    text = (MAIN + accounting + plugins + bind + DEFAULTS).format_map(values)
    partitions = PARTITIONS.format(first=layout.nodes[0])
    return text + nodes + partitions + layout.extra + "\n"


def gres_conf(layout: SlurmLayout) -> str:
    """gres.conf: simulated GPUs. Slurm needs a device file for each, but does not open it."""
    return f"Name=gpu File={layout.folder}/run/gpu[1-{layout.gpus}]\n" if layout.gpus else ""


def hosts(layout: SlurmLayout) -> str:
    """/etc/hosts of separate nodes, followed by the machine's own lines."""
    known = Path("/etc/hosts").read_text() if Path("/etc/hosts").exists() else ""
    nodes = zip(layout.addresses, layout.nodes, strict=True)
    own = (("127.0.0.1", f"localhost {layout.host}"), *nodes)
    return "".join(f"{address} {names}\n" for address, names in own) + known


def srun(layout: SlurmLayout) -> str:
    """The srun of separate nodes, which runs under this host's name.

    srun waits for its tasks at the address of the host's name. The tasks connect to its source address, which
    is 127.0.0.1 for all connections over the loopback interface.
    """
    command = MountNamespace(layout.host).command([str(layout.srun.with_suffix(".real"))])
    return f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n'


def slurmdbd_conf(layout: SlurmLayout) -> str:
    """slurmdbd.conf, without a password, because only the folder's owner can reach the database's socket."""
    bind = "CommunicationParameters=NoInAddrAny\n" if layout.address else ""
    values = {
        "folder": layout.folder,
        "user": layout.user,
        "host": layout.host,
        "address": layout.address or "127.0.0.1",
        "socket": layout.munge_socket,
        "dbd": layout.ports[1],
    }
    return (SLURMDBD + bind).format_map(values)


MAIN = """\
ClusterName=clusterjobs
SlurmctldHost={host}({address})
SlurmctldPort={ctld}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={socket}
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd-%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/%n.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldDebug=info
SlurmdDebug=info
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout={node_timeout}
InactiveLimit=0
KillWait=2
MinJobAge={min_job_age}
MaxJobCount=60000
MaxArraySize=20001
MessageTimeout={message_timeout}
JobRequeue=1
MailProg=/bin/true
PropagateResourceLimits=NONE
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1,bf_max_job_test=2000,default_queue_depth=10000,nohold_on_prolog_fail
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
PriorityType=priority/basic
JobAcctGatherFrequency=5
SlurmdParameters=config_overrides
GresTypes=gpu
"""

ACCOUNTING = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost={address}
AccountingStoragePort={dbd}
AccountingStoragePass={socket}
"""

CGROUP_PLUGINS = """\
ProctrackType=proctrack/cgroup
TaskPlugin=task/cgroup
JobAcctGatherType=jobacct_gather/cgroup
"""

PLAIN_PLUGINS = """\
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
"""

DEFAULTS = """\
DefMemPerCPU={memory_per_cpu}
NodeName=DEFAULT CPUs={cpus} Sockets=1 CoresPerSocket={cpus} ThreadsPerCore=1 RealMemory={memory} Gres=gpu:{gpus}
"""

PARTITIONS = """\
PartitionName=debug Nodes=ALL Default=YES DefaultTime=10 MaxTime=INFINITE State=UP
PartitionName=small Nodes={first} DefaultTime=1 MaxTime=5 State=UP
"""

CGROUP_CONF = """\
CgroupPlugin=cgroup/v1
CgroupAutomount=no
CgroupMountpoint=/sys/fs/cgroup
ConstrainCores=no
ConstrainRAMSpace=yes
ConstrainSwapSpace=no
AllowedRAMSpace=100
"""

SLURMDBD = """\
AuthType=auth/munge
AuthInfo=socket={socket}
DbdHost={host}
DbdAddr={address}
DbdPort={dbd}
SlurmUser={user}
LogFile={folder}/log/slurmdbd.log
PidFile={folder}/run/slurmdbd.pid
DebugLevel=info
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm
"""
