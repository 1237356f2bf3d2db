"""``clusterjobs dev``: real cluster systems on this machine, to develop matrices and backends against."""

from __future__ import annotations

import shlex
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any
from typing import NoReturn
from typing import TYPE_CHECKING

import click

from ..cli.errors import CommandError
from ..cli.output import note
from ..cli.output import say

if TYPE_CHECKING:
    from .aws_batch import LocalBatch
    from .skypilot import SkyPilotServer
    from .slurm import SlurmCluster

ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PAUSE = 1.0
"""Seconds between two looks at the daemons."""


@click.group()
def dev() -> None:
    """Start a real cluster system on this machine, until Ctrl-C."""


@dev.command()
@click.option("--nodes", type=click.IntRange(1, 64), default=8, show_default=True, metavar="N")
@click.option(
    "--accounting/--no-accounting",
    default=True,
    show_default=True,
    help="With slurmdbd and MariaDB, for sacct.",
)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where its files and logs go; must be empty or absent.  [default: a temporary one]",
)
def slurm(nodes: int, accounting: bool, folder: Path | None) -> None:
    """Start a Slurm cluster of N nodes, each a slurmd on this machine; needs Slurm installed, but not root.

    What to export is printed once it runs. SIGTERM and Ctrl-C stop it with every job on it.
    """
    from .slurm import SlurmCluster

    with _until_told(), SlurmCluster(folder, nodes=nodes, accounting=accounting) as cluster:
        _introduce(cluster)
        _watch(cluster)


def _introduce(cluster: SlurmCluster) -> None:
    """What a shell can read: the environment, and the rest as comments."""
    layout = cluster.layout
    say(
        f"# Slurm runs: {len(cluster.nodes)} nodes of {layout.cpus} CPUs and {layout.memory} MiB; logs are in {cluster.folder / 'log'}"
    )
    if not cluster.memory_limits:
        say("# Memory limits are not enforced: that needs root, and cgroup v1")
    if not layout.address:
        say("# It listens on every address, as this host's name is not 127.0.0.1; munge guards it")
    for name, value in cluster.environment.items():
        say(f"export {name}={value}")
    say("# Then: pytest matrices/ --cluster-backend slurm")
    say("# Ctrl-C stops the cluster and all of its jobs")
    sys.stdout.flush()


@dev.command("aws-batch")
@click.option("--region", default="us-east-1", show_default=True, metavar="NAME")
@click.option("--slots", type=click.IntRange(1, 10000), default=64, show_default=True, metavar="N")
@click.option("--port", type=click.IntRange(0, 65535), default=0, metavar="N", help="[default: any]")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where its files and its log go; must be empty or absent.  [default: a temporary one]",
)
@click.option(
    "--workdir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    help="Where jobs begin, as if it were what their images have.  [default: the current folder]",
)
@click.option(
    "--env",
    multiple=True,
    metavar="NAME=VALUE",
    help="What its job definitions give their jobs; may be repeated.",
)
def aws_batch(
    region: str, slots: int, port: int, folder: Path | None, workdir: Path, env: tuple[str, ...]
) -> None:
    """Start an AWS Batch on this machine: moto's server, with jobs as real local processes, N at once.

    Jobs run as you, WITHOUT ANY ISOLATION: their images are names, and their files are yours. What to
    export is printed once it runs. SIGTERM and Ctrl-C stop it with every job on it.
    """
    from .aws_batch import LocalBatch

    variables = dict(map(_variable, env))
    options: dict[str, Any] = {"region": region, "slots": slots, "port": port, "workdir": workdir}
    with _until_told(), LocalBatch(folder, environment=variables, **options) as batch:
        _introduce_batch(batch)
        _watch(batch)


@dev.command()
@click.option("--nodes", type=click.IntRange(1, 64), default=2, show_default=True, metavar="N")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where its files and logs go; must be empty or absent.  [default: a temporary one]",
)
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where packages are kept that clusters install, for the next time.  [default: in its folder]",
)
@click.option(
    "--visible",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    multiple=True,
    default=[Path()],
    help="A folder below /tmp that jobs are to see; may be repeated.  [default: the current folder]",
)
def skypilot(nodes: int, folder: Path | None, cache: Path | None, visible: tuple[Path, ...]) -> None:
    """Start a SkyPilot on this machine: an API server, and a Slurm cluster of N nodes for it to launch on.

    Jobs run as you, WITHOUT ANY ISOLATION, but for a home and a /tmp of their own. What to export is printed once it
    runs. SIGTERM and Ctrl-C stop it with every cluster and job on it.
    """
    from .skypilot import SkyPilotServer

    options: dict[str, Any] = {"nodes": nodes, "cache": cache, "visible": visible}
    with _until_told(), SkyPilotServer(folder, **options) as server:
        _introduce_skypilot(server)
        _watch(server)


def _introduce_skypilot(server: SkyPilotServer) -> None:
    """What a shell can read: the environment, and the rest as comments."""
    layout = server.slurm.layout
    say(f"# SkyPilot runs at {server.url}; logs are in {server.folder / 'log'}")
    say(
        f"# It launches on {len(layout.nodes)} nodes of {layout.cpus} CPUs and {layout.memory} MiB: {server.infra}"
    )
    say("# Jobs are processes of this user: run nothing that you would not run in this shell")
    for name, value in server.environment.items():
        say(f"export {name}={shlex.quote(value)}")
    say("# Then: pytest matrices/ --cluster-backend skypilot")
    say(f"# A preemption: SLURM_CONF={layout.conf} scancel ID")
    say("# Ctrl-C stops it with all of its clusters and jobs")
    sys.stdout.flush()


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--env")
    return name, value


def _introduce_batch(batch: LocalBatch) -> None:
    """What a shell can read: the environment, and the rest as comments."""
    from .aws_batch.client import IN_THE_WAY

    say(f"# AWS Batch and CloudWatch Logs run at {batch.url}; the log is in {batch.folder / 'log'}")
    say(
        "# Jobs are processes of this user, without any isolation: run nothing that you would not run in this shell"
    )
    say(f"unset {' '.join(IN_THE_WAY)}")
    for name, value in batch.environment.items():
        say(f"export {name}={shlex.quote(value)}")
    say("# In pyproject.toml:")
    say("#   [tool.clusterjobs.backends.aws-here]")
    say('#   type = "aws-batch"')
    say(f'#   queue = "{batch.queue}"')
    say(f'#   job_definition = "{batch.definition}"')
    say(f'#   multinode_job_definition = "{batch.parallel_definition}"')
    say("# Then: pytest matrices/ --cluster-backend aws-here")
    say("# Ctrl-C stops it and all of its jobs")
    sys.stdout.flush()


@contextmanager
def _until_told() -> Iterator[None]:
    """Let the signals that ask for an end be one. Raises Trouble for a cluster that does not run."""
    from .supervisor import ClusterError

    before = {number: signal.signal(number, _end) for number in ENDS}
    try:
        yield
    except _Told:
        note("clusterjobs: stopped")
    except ClusterError as error:
        raise CommandError(str(error)) from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _watch(cluster: SlurmCluster | LocalBatch | SkyPilotServer) -> NoReturn:
    """See that it runs, until somebody asks for the end. Raises ClusterError if it ends by itself."""
    while True:
        time.sleep(PAUSE)
        cluster.check()


class _Told(BaseException):
    """Somebody asked for the end."""


def _end(number: int, frame: FrameType | None) -> None:
    # Once is enough: whoever is impatient must not keep the cluster from ending.
    for each in ENDS:
        signal.signal(each, signal.SIG_IGN)
    raise _Told
