"""Jobs on a real Slurm on this machine: pytest-clusterjobs, an sbatch/squeue loop, and ReFrame, in turns.

python -m benchmarks.slurm --reframe /path/to/venv/bin/reframe > benchmarks/results-slurm.md

ReFrame is not a dependency: ``python3 -m venv V && V/bin/pip install reframe-hpc``. Without it its rows are
omitted.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from shutil import which
from statistics import median

from pytest_clusterjobs.devclusters.slurm import SlurmCluster

from .measure import Cost
from .measure import OURS
from .measure import run

COMMANDS = ("sbatch", "squeue", "sacct", "scontrol", "scancel", "sinfo")

BARE = """
import subprocess, sys, time

jobs, command = int(sys.argv[1]), sys.argv[2]
ids = set()
for number in range(jobs):
    done = subprocess.run(
        ["sbatch", "--parsable", "--output=/dev/null", f"--wrap={command}"], check=True, capture_output=True, text=True
    )
    ids.add(done.stdout.strip())
while ids:
    listed = subprocess.run(["squeue", "--noheader", "--format=%A"], check=True, capture_output=True, text=True)
    ids &= set(listed.stdout.split())
    time.sleep(0.1)
"""
"""The floor: submit and wait, without checks, logs and verdicts."""

REFRAME_SITE = """
site_configuration = {
    "systems": [{
        "name": "here", "hostnames": [".*"], "resourcesdir": "resources",
        "partitions": [{
            "name": "debug", "scheduler": "slurm", "launcher": "local", "environs": ["builtin"], "max_jobs": 2000,
            "access": ["--partition=debug"],
        }],
    }],
    "environments": [{"name": "builtin", "cc": "true", "cxx": "", "ftn": ""}],
}
"""

REFRAME_TEST = """
import reframe as rfm
import reframe.utility.sanity as sn

@rfm.simple_test
class Bench(rfm.RunOnlyRegressionTest):
    number = parameter(range({jobs}))
    valid_systems, valid_prog_environs = ["*"], ["*"]
    executable, executable_opts = {executable!r}, {arguments!r}
    time_limit = "10m"

    @sanity_function
    def fine(self):
        return sn.assert_eq(self.job.exitcode, 0)
"""

PATCH = """
import importlib.abc, sys

class Finder(importlib.abc.MetaPathFinder):
    # Removes the call that takes most of ReFrame 4.10's time: inspect.stack() for each deprecated field.
    def find_spec(self, name, path, target=None):
        warnings = sys.modules.get("reframe.core.warnings")
        if warnings is not None and hasattr(warnings, "user_deprecation_warning"):
            warnings.user_deprecation_warning = lambda *args, **kwargs: None
        return None

sys.meta_path.insert(0, Finder())
"""

SHIM = """#!/bin/sh
echo >>"{count}"
exec "{program}" "$@"
"""


@dataclass(frozen=True)
class Load:
    """A number of jobs that run the same command."""

    jobs: int
    command: str

    def __str__(self) -> str:
        return f"{self.jobs} x `{self.command}`"


@dataclass(frozen=True)
class Sample:
    """One run of a contender."""

    cost: Cost
    commands: int
    """The number of scheduler commands that it started."""


class Workspace:
    """The folder in which contenders run, with shims on PATH that count the scheduler's commands."""

    def __init__(self, base: Path, cluster: SlurmCluster) -> None:
        self.base = base
        self.cluster = cluster
        self._shims = base / "bin"
        self._shims.mkdir()
        self._count = base / "count"
        for name in COMMANDS:
            shim = self._shims / name
            shim.write_text(SHIM.format(count=self._count, program=which(name)))
            shim.chmod(0o755)

    def measure(self, command: Sequence[str], folder: Path, **environment: str) -> Sample:
        """Run a contender on the idle cluster."""
        self.cluster.wait_idle()
        self._count.write_text("")
        before = dict(os.environ)
        os.environ.update(self.cluster.environment)
        os.environ.update(environment, PATH=f"{self._shims}:{before['PATH']}")
        try:
            cost = run(list(command), folder)
        finally:
            os.environ.clear()
            os.environ.update(before)
        return Sample(cost, len(self._count.read_text()))


def ours(workspace: Workspace, load: Load) -> Sample:
    """pytest-clusterjobs: a matrix with one cell a job."""
    folder = Path(tempfile.mkdtemp(dir=workspace.base))
    names = ", ".join(f'r{number}: "{load.command}"' for number in range(load.jobs))
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "matrices").mkdir()
    (folder / "matrices" / "m.yaml").write_text(
        f"backend: slurm\ndefaults: {{max_runtime: 10m}}\nrecipes: {{{names}}}\nnodes: [1]\nconditions: {{c: {{}}}}\n"
    )
    return workspace.measure([*OURS, f"--cluster-max-jobs={load.jobs}"], folder)


def bare(workspace: Workspace, load: Load) -> Sample:
    """The sbatch/squeue loop."""
    folder = Path(tempfile.mkdtemp(dir=workspace.base))
    return workspace.measure([sys.executable, "-c", BARE, str(load.jobs), load.command], folder)


def reframe(workspace: Workspace, load: Load, program: str, *, patched: bool) -> Sample:
    """ReFrame with its asynchronous policy and no limit below the number of jobs."""
    folder = Path(tempfile.mkdtemp(dir=workspace.base))
    executable, *arguments = load.command.split()
    (folder / "site.py").write_text(REFRAME_SITE)
    text = REFRAME_TEST.format(jobs=load.jobs, executable=executable, arguments=arguments)
    (folder / "bench.py").write_text(text)
    (folder / "patch").mkdir()
    (folder / "patch" / "sitecustomize.py").write_text(PATCH)
    command = [program, "-C", "site.py", "-c", "bench.py", "-r", "--exec-policy=async", "--dont-restage"]
    return workspace.measure(command, folder, **({"PYTHONPATH": str(folder / "patch")} if patched else {}))


def measured(
    workspace: Workspace, load: Load, program: str | None, rounds: int
) -> Mapping[str, list[Sample]]:
    """Run all contenders in turns; ReFrame runs only once if that takes a quarter of an hour."""
    samples: dict[str, list[Sample]] = {}
    for turn in range(rounds):
        for name, sample in _turn(workspace, load, program if turn == 0 or load.jobs < 1000 else None):
            samples.setdefault(name, []).append(sample)
            print(f"{load} {name}: {sample.cost.wall:.2f} s, {sample.commands} commands", file=sys.stderr)
    return samples


def _turn(workspace: Workspace, load: Load, program: str | None) -> Iterator[tuple[str, Sample]]:
    yield "bare loop", bare(workspace, load)
    yield "pytest-clusterjobs", ours(workspace, load)
    if program is not None:
        yield "ReFrame", reframe(workspace, load, program, patched=False)
        yield "ReFrame, patched", reframe(workspace, load, program, patched=True)


def rows(load: Load, samples: Mapping[str, list[Sample]]) -> Iterator[str]:
    """One row for each contender; ratios are to the median of the bare loop."""
    floor = median(sample.cost.wall for sample in samples["bare loop"])
    for name, runs in samples.items():
        wall = median(sample.cost.wall for sample in runs)
        cpu = median(sample.cost.cpu for sample in runs)
        commands = median(sample.commands for sample in runs)
        yield f"| {load} | {name} | {wall:.2f} s | **{wall / floor:.2f}** | {cpu:.2f} s | {commands:.0f} | {len(runs)} |"


def _version(command: Sequence[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _head(cluster: SlurmCluster, program: str | None) -> str:
    versions = [
        f"Python {platform.python_version()}",
        f"pytest {version('pytest')}",
        cluster.run("sbatch", "--version").strip(),
    ]
    if program is not None:
        versions.append(f"ReFrame {_version([program, '--version'])}")
    return f"""# On Slurm

`python -m benchmarks.slurm`; {", ".join(versions)}; medians, contenders in turns on one cluster of
8 nodes with 16 simulated CPUs each, with accounting. CPU time is that of the client and its child processes.

| load | contender | wall | to the bare loop | client CPU | scheduler commands | runs |
|---|---|---|---|---|---|---|"""


def main() -> None:
    """Print the results as Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reframe", metavar="PROGRAM")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, nargs="+", default=[12, 100, 1000])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, SlurmCluster(nodes=8, cpus=16) as cluster:
        print(_head(cluster, options.reframe))
        workspace = Workspace(Path(name), cluster)
        for jobs in options.jobs:
            for command in ("true", "sleep 2"):
                load = Load(jobs, command)
                print(
                    "\n".join(rows(load, measured(workspace, load, options.reframe, options.rounds))),
                    flush=True,
                )


if __name__ == "__main__":
    main()
