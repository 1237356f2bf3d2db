"""The commands that the output suggests can be pasted into a shell in the current folder."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import environment
from tests.cli.conftest import lives

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Place

ENDED = '{recipes: {a: "true"}, nodes: [1], conditions: {one: {}, two: {}}}'

SCRIPTS = os.path.dirname(sys.executable)


def shell(command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a line of shell, with the command on PATH."""
    return subprocess.run(
        command,
        shell=True,
        check=False,
        cwd=cwd,
        env={**environment(), "PATH": f"{SCRIPTS}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


def pasted(output: str, before: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command that ``output`` has after ``before``."""
    (line,) = (line for line in output.splitlines() if before in line)
    return shell(line.partition(before)[2], cwd)


@pytest.mark.parametrize("where", [".", "matrices", "elsewhere"])
def test_watch_reports_jobs_that_have_ended_and_are_not_judged(
    place: Place, tmp_path_factory: pytest.TempPathFactory, where: str
) -> None:
    place.matrix(ENDED)
    assert place.pytest("--cluster-launch") == 0
    is_outside = where == "elsewhere"
    cwd = tmp_path_factory.mktemp(where) if is_outside else place.path / where
    root = f"--rootdir {place.path} " if is_outside else ""
    watched = shell(f"clusterjobs {root}watch", cwd)
    assert watched.returncode == 1
    hint = "all jobs have ended, 2 are not judged yet; judge with: "
    assert f"run {place.folder.name}: 2 not judged\n{hint}clusterjobs {root}check" in watched.stdout
    checked = pasted(watched.stdout, hint, cwd)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "2 passed" in checked.stdout
    again = shell(f"clusterjobs {root}watch", cwd)
    assert (again.returncode, "judged" in again.stdout) == (0, False)


def test_sweep_prints_the_command_that_cancels_what_it_finds(launched: Place) -> None:
    with closing(sqlite3.connect(launched.folder / "ledger.sqlite")) as db:
        for table in ("attempts", "submissions", "observations"):
            db.execute(f"DELETE FROM {table}")
        db.commit()
    found = shell(f"clusterjobs --rootdir {launched.path} sweep --timeout 60", launched.path.parent)
    ended = pasted(found.stdout, "2 stray jobs; cancel them with: ", launched.path.parent)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert not any(map(lives, launched.sleepers()))


def test_gc_prints_the_command_that_removes_what_it_finds(place: Place) -> None:
    place.matrix(ENDED)
    place.pytest()
    asked = shell("clusterjobs gc --keep 0", place.path)
    assert pasted(asked.stdout, "1 run would be removed; remove them with: ", place.path).returncode == 0
    assert place.command("runs").returncode == 4


@pytest.mark.parametrize("columns", ["40", "60", "80", "200"])
def test_the_help_has_complete_summaries(place: Place, columns: str) -> None:
    output = place.command("--help", COLUMNS=columns).stdout
    assert "..." not in output.replace("[ARGS]...", "")
    names = [line.split()[0] for line in output.partition("Commands:")[2].splitlines() if line[2:3].strip()]
    assert names[:5] == ["launch", "check", "resume", "watch", "kill"]
    assert "docs/cli.md" in output
