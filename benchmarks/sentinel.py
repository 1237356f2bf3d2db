"""The cost of the sentinel for a trivial job on its node: ``python -m benchmarks.sentinel``.

The floor is the command's own shell, measured in turns. Processes are counted with strace, if it is
installed.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from shutil import which
from statistics import median

from pytest_clusterjobs.backends import sentinel
from pytest_clusterjobs.model import JobSpec
from pytest_clusterjobs.model.token import STAND_IN

ROUNDS = 5
JOBS = 100
SHELLS = {"dash": ["dash"], "bash": ["bash", "-p"], "busybox": ["busybox", "ash"]}
_EXEC = re.compile(r"\bexecve\(.* = 0$", re.MULTILINE)


def main() -> None:
    """Print the table."""
    print("| sentinel's shell | wall, against the command's shell | processes | programs executed | bytes |")
    print("|---|---|---|---|---|")
    floor = ["bash", "-eo", "pipefail", "-c", "true"]
    for name, shell in SHELLS.items():
        if which(shell[0]) is None:
            continue
        leader = "" if name == "bash" else sentinel.setsid_command()
        words = sentinel.argv(JobSpec("true"), STAND_IN, leader=leader)
        command = [*shell, *words[1:]]
        ratios = [seconds(command) / seconds(floor) for _ in range(ROUNDS)]
        print(f"| {name} | {median(ratios):.1f}x | {processes(command)} | {len(words[2].encode())} |")


def seconds(command: Sequence[str]) -> float:
    """The wall time of :data:`JOBS` jobs, one after the other."""
    begun = time.perf_counter()
    for _ in range(JOBS):
        subprocess.run(command, env=dict(os.environ), stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begun


def processes(command: Sequence[str]) -> str:
    """The number of processes and of executed programs, as two cells of the table."""
    if which("strace") is None:
        return "- | -"
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace"
        traced = ["strace", "-f", "-qq", "-e", "trace=process", "-o", str(trace), *command]
        subprocess.run(traced, stdout=subprocess.DEVNULL, check=True)
        text = trace.read_text()
    return f"{len({line.split()[0] for line in text.splitlines()})} | {len(_EXEC.findall(text))}"


if __name__ == "__main__":
    main()
