"""The runs of a project."""

from __future__ import annotations

import os
import time
from pathlib import Path

LATEST = "latest"


def runs_dir(rootdir: Path) -> Path:
    """Where the runs of a project are kept."""
    return rootdir / ".clusterjobs" / "runs"


def new_run_id() -> str:
    """A run id: the time in UTC, to a 256th of a second, so that they sort, and a few random digits."""
    now = time.time()
    second = time.strftime("%Y%m%dt%H%M%S", time.gmtime(now))
    return f"{second}-{int(now % 1.0 * 256):02x}{os.urandom(2).hex()}"


class NoSuchRun(ValueError):
    """There is no such run, or more than one; the message is one line."""


def all_runs(runs_dir: Path) -> list[Path]:
    """The folders of all runs, the oldest first."""
    return sorted(path.parent for path in runs_dir.glob("*/ledger.sqlite"))


def find_run(runs_dir: Path, name: str = LATEST) -> Path:
    """The folder of a run, by its id, a unique beginning of it, or ``latest``. Raises NoSuchRun."""
    runs = all_runs(runs_dir)
    if not runs:
        raise NoSuchRun(f"there are no runs in {runs_dir}")
    if name == LATEST:
        return runs[-1]
    found = [path for path in runs if path.name.startswith(name)]
    exact = [path for path in found if path.name == name]
    if len(exact or found) == 1:
        return (exact or found)[0]
    if found:
        raise NoSuchRun(
            f"{name!r} is the beginning of {len(found)} runs: {', '.join(p.name for p in found[:5])}"
        )
    raise NoSuchRun(f"no run {name!r} in {runs_dir}; the latest is {runs[-1].name}")
