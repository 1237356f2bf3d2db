"""Measure whole processes in turns, so that changes of the machine's speed affect both."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median


@dataclass(frozen=True)
class Cost:
    """One run of a process."""

    wall: float
    """Seconds."""
    cpu: float
    """Seconds, including those of its child processes that it waited for."""
    memory: float
    """The largest resident set of a single process, in MiB."""


def run(command: list[str], folder: Path, *, check: bool = True) -> Cost:
    """Run a command to its end. Raises SystemExit with its output if it fails."""
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    with (folder / "output.txt").open("wb") as output:
        begin = time.monotonic()
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
    if check and process.returncode:
        sys.exit(f"{command} ended with {process.returncode}:\n{(folder / 'output.txt').read_text()[-3000:]}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def in_turns(
    one: Callable[[], Cost], other: Callable[[], Cost], rounds: int
) -> tuple[list[Cost], list[Cost]]:
    """Run both in turns ``rounds`` times, after one run each that does not count."""
    one(), other()
    pairs = [(one(), other()) for _ in range(rounds)]
    return [first for first, _ in pairs], [second for _, second in pairs]


def ratio(ours: list[Cost], theirs: list[Cost], figure: str) -> float:
    """The median of the ratios of each pair."""
    ratios: list[float] = [getattr(a, figure) / getattr(b, figure) for a, b in zip(ours, theirs, strict=True)]
    return median(ratios)


def line(name: str, ours: list[Cost], theirs: list[Cost]) -> str:
    """One row of the table of results: medians and the median ratio of wall and CPU time."""
    cells = [name]
    for figure in ("wall", "cpu"):
        own = median(getattr(cost, figure) for cost in ours)
        peer = median(getattr(cost, figure) for cost in theirs)
        cells.append(f"{own:.2f} s / {peer:.2f} s = **{ratio(ours, theirs, figure):.2f}**")
    memory = f"{max(cost.memory for cost in ours):.0f} / {max(cost.memory for cost in theirs):.0f} MiB"
    return "| " + " | ".join([*cells, memory]) + " |"


PYTEST = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q"]
"""pytest without plugins."""

OURS = [*PYTEST, "-p", "pytest_clusterjobs.plugin.hookimpls"]
"""pytest with pytest-clusterjobs as the only plugin."""
