"""``clusterjobs dev``: cluster systems on this machine, to develop matrices and backends against."""

from __future__ import annotations

import shlex
import signal
import sys
import time
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
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
    from .supervisor import LocalCluster

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
CHECK_INTERVAL_SECONDS = 1.0

folder_option = click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="A folder for its files and logs; must be empty or absent.  [default: a temporary one]",
)


@click.group()
def dev() -> None:
    """Start a cluster system on this machine; it runs until Ctrl-C."""


@dev.command()
@click.option(
    "--nodes", type=click.IntRange(1, 64), default=8, show_default=True, metavar="N", help="How many nodes."
)
@click.option(
    "--accounting/--no-accounting",
    default=True,
    show_default=True,
    help="Start slurmdbd and MariaDB, for sacct.",
)
@folder_option
def slurm(nodes: int, accounting: bool, folder: Path | None) -> None:
    """Start a Slurm cluster of N nodes on this machine.

    Each node is a slurmd. Slurm must be installed; root is not needed.

    The variables to export are printed once it runs. SIGTERM and Ctrl-C stop it and all of its jobs.
    """
    from .slurm import SlurmCluster

    with _until_signal(), SlurmCluster(folder, nodes=nodes, accounting=accounting) as cluster:
        _serve(cluster, _slurm_introduction(cluster))


def _slurm_introduction(cluster: SlurmCluster) -> Iterator[str]:
    layout, log = cluster.layout, cluster.folder / "log"
    size = f"{len(cluster.nodes)} nodes of {layout.cpus} CPUs and {layout.memory} MiB"
    yield f"# Slurm runs: {size}; logs are in {log}"
    if not cluster.memory_limits:
        yield "# Memory limits are not enforced: that needs root, and cgroup v1"
    if not layout.address:
        yield "# It listens on all addresses, because this host's name is not 127.0.0.1"
        yield "# munge rejects other users"
    yield from _exports(cluster.environment)
    yield "# Then: pytest matrices/ --cluster-backend slurm"
    yield "# Ctrl-C stops the cluster and all of its jobs"


@dev.command("aws-batch")
@click.option("--region", default="us-east-1", show_default=True, metavar="NAME", help="The AWS region.")
@click.option(
    "--slots",
    type=click.IntRange(1, 10000),
    default=64,
    show_default=True,
    metavar="N",
    help="How many containers run at once.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    metavar="N",
    help="The port of the server.  [default: any]",
)
@folder_option
@click.option(
    "--workdir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    help="The working directory of jobs, as if images contained it.  [default: the current folder]",
)
@click.option(
    "--env",
    multiple=True,
    metavar="NAME=VALUE",
    help="A variable in its job definitions; may be repeated.",
)
def aws_batch(
    region: str, slots: int, port: int, folder: Path | None, workdir: Path, env: tuple[str, ...]
) -> None:
    """Start a simulated AWS Batch; its jobs are local processes.

    The API is moto's server. Jobs run as you, WITHOUT ANY ISOLATION: images are only names, and jobs can
    access all of your files. The variables to export are printed once it runs. SIGTERM and Ctrl-C stop it
    and all of its jobs.
    """
    from .aws_batch import LocalBatch

    variables = dict(map(_variable, env))
    options: dict[str, Any] = {"region": region, "slots": slots, "port": port, "workdir": workdir}
    with _until_signal(), LocalBatch(folder, environment=variables, **options) as batch:
        _serve(batch, _batch_introduction(batch))


@dev.command()
@click.option(
    "--nodes", type=click.IntRange(1, 64), default=2, show_default=True, metavar="N", help="How many nodes."
)
@folder_option
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    help="A cache for packages that clusters install.  [default: below its folder, for this server only]",
)
@click.option(
    "--visible",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    multiple=True,
    default=[Path()],
    help="A folder below /tmp that jobs can see; may be repeated.  [default: the current folder]",
)
def skypilot(nodes: int, folder: Path | None, cache: Path | None, visible: tuple[Path, ...]) -> None:
    """Start a SkyPilot API server with a Slurm cluster of N nodes.

    The server launches on this Slurm cluster. Jobs run as you, WITHOUT ANY ISOLATION, except that they have a
    home and a /tmp of their own. The variables to export are printed once it runs. SIGTERM and Ctrl-C stop it
    and all of its clusters and jobs.
    """
    from .skypilot import SkyPilotServer

    options: dict[str, Any] = {"nodes": nodes, "cache": cache, "visible": visible}
    with _until_signal(), SkyPilotServer(folder, **options) as server:
        _serve(server, _skypilot_introduction(server))


def _skypilot_introduction(server: SkyPilotServer) -> Iterator[str]:
    layout = server.slurm.layout
    size = f"{len(layout.nodes)} nodes of {layout.cpus} CPUs and {layout.memory} MiB"
    yield f"# SkyPilot runs at {server.url}; logs are in {server.folder / 'log'}"
    yield f"# It launches on {size}: {server.infra}"
    yield "# Jobs are processes of this user: run nothing that you would not run in this shell"
    yield from _exports(server.environment)
    yield "# Then: pytest matrices/ --cluster-backend skypilot"
    yield f"# A preemption: SLURM_CONF={layout.conf} scancel ID"
    yield "# Ctrl-C stops it with all of its clusters and jobs"


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--env")
    return name, value


def _batch_introduction(batch: LocalBatch) -> Iterator[str]:
    from .aws_batch.client import CONFLICTING_VARIABLES

    yield f"# AWS Batch and CloudWatch Logs run at {batch.url}; the log is in {batch.folder / 'log'}"
    yield "# Jobs are processes of this user, without any isolation: run nothing that you would not run in this shell"
    yield f"unset {' '.join(CONFLICTING_VARIABLES)}"
    yield from _exports(batch.environment)
    yield "# In pyproject.toml:"
    yield "#   [tool.clusterjobs.backends.aws-here]"
    yield '#   type = "aws-batch"'
    yield f'#   queue = "{batch.queue}"'
    yield f'#   job_definition = "{batch.definition}"'
    yield f'#   multinode_job_definition = "{batch.parallel_definition}"'
    yield "# Then: pytest matrices/ --cluster-backend aws-here"
    yield "# Ctrl-C stops it and all of its jobs"


def _exports(environment: Mapping[str, str]) -> Iterator[str]:
    return (f"export {name}={shlex.quote(value)}" for name, value in environment.items())


@contextmanager
def _until_signal() -> Iterator[None]:
    """Leave the block at the first of ``STOP_SIGNALS``.

    Raises CommandError for a cluster that does not run.
    """
    from .supervisor import ClusterError

    before = {number: signal.signal(number, _stop) for number in STOP_SIGNALS}
    try:
        yield
    except _Stopped:
        note("clusterjobs: stopped")
    except ClusterError as error:
        raise CommandError(str(error)) from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _serve(cluster: LocalCluster[Any], introduction: Iterable[str]) -> NoReturn:
    """Print shell code, and check the cluster until a signal comes.

    Raises ClusterError if a daemon ends by itself.
    """
    for line in introduction:
        say(line)
    sys.stdout.flush()
    while True:
        time.sleep(CHECK_INTERVAL_SECONDS)
        cluster.check()


class _Stopped(BaseException):
    """One of ``STOP_SIGNALS`` has come."""


def _stop(number: int, frame: FrameType | None) -> None:
    # A second Ctrl-C must not interrupt the end of the cluster.
    for each in STOP_SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise _Stopped
