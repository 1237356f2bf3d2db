"""The folders of a project's runs."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from .trust import is_trusted

LEDGER = "ledger.sqlite"
REPORT = "report.json"
"""The JSON report, unless an option names another file."""

LATEST = "latest"


def new_run_id() -> str:
    """A run id: the UTC time to 1/256 s, so that ids sort by time, and a few random digits."""
    now = time.time()
    second = time.strftime("%Y%m%dt%H%M%S", time.gmtime(now))
    return f"{second}-{int(now % 1.0 * 256):02x}{os.urandom(2).hex()}"


class NoSuchRun(ValueError):
    """There is no such run, or more than one. The message is one line."""


def all_runs(runs_dir: Path) -> list[Path]:
    """The folders of all runs, oldest first. Raises NoSuchRun if ``runs_dir`` cannot be read."""
    try:
        names = sorted(os.listdir(runs_dir))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise NoSuchRun(f"{runs_dir}: {error.strerror}") from error
    return [runs_dir / name for name in names if _is_run(runs_dir / name)]


def _is_run(folder: Path) -> bool:
    try:
        os.lstat(folder / LEDGER)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        # It may be a run; reading it later reports why that fails.
        return True
    return True


def latest_first(runs_dir: Path) -> Iterator[Path]:
    """Candidates for the latest run, in order. Unreadable runs are included, runs without cells are not.

    Raises NoSuchRun.
    """
    runs = all_runs(runs_dir)[::-1]
    if not runs:
        raise NoSuchRun(f"there are no runs in {runs_dir}")
    only_empty = True
    for folder in runs:
        if not _is_empty(folder):
            only_empty = False
            yield folder
    if only_empty:
        yield from runs


def _is_empty(folder: Path) -> bool:
    """Whether a run certainly has no cells: its session ended or was interrupted before adding any."""
    import sqlite3

    # SQLite creates files beside a database even when it only reads.
    if not is_trusted(folder / LEDGER):
        return False
    try:
        if (folder / LEDGER).stat().st_size == 0:
            return True
        with closing(sqlite3.connect(f"file:{quote(os.fsencode(folder / LEDGER))}?mode=ro", uri=True)) as db:
            return db.execute("SELECT 1 FROM cells LIMIT 1").fetchone() is None
    except (OSError, sqlite3.Error):
        return False


def find_run(runs_dir: Path, name: str = LATEST) -> Path:
    """The folder of a run, given its id, a unique prefix of the id, or ``latest``. Raises NoSuchRun."""
    latest = next(latest_first(runs_dir))
    if name == LATEST:
        return latest
    found = [path for path in all_runs(runs_dir) if path.name.startswith(name)]
    exact = [path for path in found if path.name == name]
    if len(exact or found) == 1:
        return (exact or found)[0]
    if found:
        raise NoSuchRun(
            f"{name!r} is the beginning of {len(found)} runs: {', '.join(p.name for p in found[:5])}"
        )
    raise NoSuchRun(f"no run {name!r} in {runs_dir}; the latest is {latest.name}")
