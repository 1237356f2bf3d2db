"""What can become of a ledger and its disk: full, locked, torn, gone, read-only. One line, and no job is
left."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import closing
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.mounts import read_only
from tests.mounts import small
from tests.mounts import that_breaks
from tests.plugin.crash_project import kill_reaper
from tests.plugin.test_leaks import jobs_run
from tests.plugin.test_leaks import of_project
from tests.plugin.test_leaks import SLEEPERS
from tests.plugin.test_leaks import start
from tests.plugin.test_leaks import until

if TYPE_CHECKING:
    from tests.plugin.conftest import Project

pytestmark = pytest.mark.quiet

SHORT = "{recipes: {b: sleep 4}, nodes: [1], conditions: {c: {}}}"
"""A job whose end has to be written down."""


@pytest.fixture
def busy(project: Project) -> Iterator[Project]:
    """Six sleeping processes and one that ends soon; whatever is done to them, none is left."""
    project.matrix(SLEEPERS)
    project.matrix(SHORT, "matrices/b.yaml")
    yield project
    until(lambda: not of_project(project.path), 60)


def begin(project: Project, *arguments: str) -> subprocess.Popen[bytes]:
    process = start(project, *arguments)
    until(lambda: jobs_run(project.path), 60)
    return process


def ledger_of(project: Project) -> Path:
    (path,) = project.path.glob(".clusterjobs/runs/*/ledger.sqlite")
    return path


def ended_with(process: subprocess.Popen[bytes], words: str) -> None:
    """It said what is wrong with its ledger in one line, and nothing of its own making."""
    output = process.communicate(timeout=120)[0].decode()
    assert process.returncode == pytest.ExitCode.USAGE_ERROR, output
    (line,) = [line for line in output.splitlines() if line.startswith("ERROR: ")]
    assert words in line and "ledger.sqlite: " in line
    assert "INTERNALERROR" not in output and "Traceback" not in output


def jobs_of(folder: Path) -> list[str]:
    return [line for line in of_project(folder) if "engine.reaper" not in line]


def fill(folder: Path) -> None:
    """Write until nothing more fits."""
    with (folder / "filling").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass


def test_a_disk_that_is_full_from_the_start(busy: Project) -> None:
    with small(busy.path / ".clusterjobs", 2048) as folder:
        fill(folder)
        result = busy.pytester.runpytest_subprocess()
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        (line,) = [line for line in result.errlines if line.startswith("ERROR: ")]
        assert "full" in line or "No space left on device" in line
        assert not list(busy.path.glob("pid-*"))


def test_a_disk_that_fills_up(busy: Project) -> None:
    with small(busy.path / ".clusterjobs", 3072) as folder:
        process = begin(busy)
        fill(folder)
        ended_with(process, "full")
        until(lambda: not of_project(busy.path), 60)


def test_kill_9_on_a_full_disk(busy: Project) -> None:
    with small(busy.path / ".clusterjobs", 3072) as folder:
        process = begin(busy)
        fill(folder)
        process.kill()
        process.communicate()
        until(lambda: not of_project(busy.path), 60)


def test_a_folder_that_may_only_be_read(busy: Project) -> None:
    (busy.path / ".clusterjobs").mkdir()
    with read_only(busy.path / ".clusterjobs"):
        result = busy.pytester.runpytest_subprocess()
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        (line,) = [line for line in result.errlines if line.startswith("ERROR: ")]
        assert "Read-only file system" in line
        assert not list(busy.path.glob("pid-*"))


@pytest.mark.parametrize("killed", [False, True])
def test_a_disk_that_breaks_and_may_only_be_read_from_then_on(busy: Project, killed: bool) -> None:
    with that_breaks(busy.path / ".clusterjobs") as break_it:
        process = begin(busy)
        break_it()
        if killed:
            process.kill()
            process.communicate()
        else:
            ended_with(process, "")
        # What runs on such a disk loses its runner, which takes its processes along.
        until(lambda: not jobs_of(busy.path), 60)
        # Without a runner to ask, the reaper would go on for a quarter of an hour.
        kill_reaper(busy.path)


LOCK = """
import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
db.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let another process hold the ledger."""
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", LOCK, str(path)], stdin=pipe, stdout=pipe, text=True)
    assert process.stdout is not None and process.stdout.readline() == "locked\n"
    try:
        yield
    finally:
        process.communicate()


IMPATIENT = "from pytest_clusterjobs.ledger import database\ndatabase.LOCK_TIMEOUT_SECONDS = 1.0\n"
"""Nobody wants to wait half a minute for a lock in a test."""


@pytest.mark.parametrize("killed", [False, True])
def test_a_ledger_that_another_process_has_locked(busy: Project, killed: bool) -> None:
    busy.pytester.makeconftest(IMPATIENT)
    process = begin(busy)
    with locked(ledger_of(busy)):
        if killed:
            process.kill()
            process.communicate()
        else:
            ended_with(process, "database is locked")
        # The reaper does not wait for it to be let go.
        until(lambda: not [line for line in of_project(busy.path) if "BEGIN EXCLUSIVE" not in line], 60)


def test_a_lock_that_is_let_go_in_time_costs_nothing(project: Project) -> None:
    project.matrix("{recipes: {a: sleep 2}, nodes: [1], conditions: {c: {}}}")
    process = start(project)
    until(lambda: bool(list(project.path.glob(".clusterjobs/runs/*/local/logs/*"))), 60)
    with locked(ledger_of(project)), pytest.raises(subprocess.TimeoutExpired):
        process.wait(4)
    output = process.communicate(timeout=60)[0].decode()
    assert process.returncode == 0, output


def cut(path: Path) -> None:
    for name in (path, path.with_name(f"{path.name}-wal")):
        os.truncate(name, name.stat().st_size // 2)


def overwrite(path: Path) -> None:
    for name in (path, path.with_name(f"{path.name}-wal")):
        with name.open("r+b") as file:
            file.write(bytes(range(256)) * (name.stat().st_size // 256))


def replace(path: Path) -> None:
    remove(path)
    path.write_text("somebody's notes\n" * 400)


def remove(path: Path) -> None:
    for name in path.parent.glob("ledger.sqlite*"):
        name.unlink()


DAMAGES = [cut, overwrite, replace, remove]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_ledger_that_is_damaged_under_a_session(busy: Project, damage: Callable[[Path], None]) -> None:
    process = begin(busy)
    damage(ledger_of(busy))
    process.send_signal(signal.SIGTERM)
    output = process.communicate(timeout=120)[0].decode()
    assert process.returncode in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.USAGE_ERROR), output
    assert "INTERNALERROR" not in output and "Traceback" not in output
    if process.returncode == pytest.ExitCode.USAGE_ERROR:
        assert "\nERROR: " in output and "ledger.sqlite: " in output


@pytest.mark.parametrize("damage", DAMAGES)
def test_kill_9_after_its_ledger_was_damaged(busy: Project, damage: Callable[[Path], None]) -> None:
    """The reaper was told what it has to know, and the cluster lists the rest."""
    process = begin(busy)
    path = ledger_of(busy)
    damage(path)
    process.kill()
    process.communicate()
    until(lambda: not of_project(busy.path), 60)
    if damage is replace:
        assert path.read_text().startswith("somebody's notes")
        assert "file is not a database" in (path.parent / "reaper.log").read_text()


def foreign(path: Path) -> None:
    remove(path)
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE songs (name TEXT)")


def newer(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA user_version = 99")


def meaningless(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("UPDATE cells SET registration = '{}'")


@pytest.mark.parametrize("option", ["--cluster-resume", "--cluster-check"])
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (replace, "file is not a database"),
        (foreign, "not a ledger of pytest-clusterjobs"),
        (newer, "written by a newer pytest-clusterjobs (ledger version 99)"),
        (meaningless, "damaged: Registration: Field required"),
    ],
)
def test_a_session_on_a_ledger_that_is_none(
    project: Project, damage: Callable[[Path], None], words: str, option: str
) -> None:
    project.matrix('{recipes: {a: "true"}, nodes: [1], conditions: {c: {}}}')
    project.run().assert_outcomes(passed=1)
    damage(ledger_of(project))
    before = ledger_of(project).read_bytes()
    result = project.pytester.runpytest_subprocess("--cluster-backend=spy", option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = [line for line in result.errlines if line.startswith("ERROR: ")]
    assert words in line
    assert damage is meaningless or ledger_of(project).read_bytes() == before
    assert set(project.submitted().values()) == {1}


def test_two_sessions_at_once_are_none_of_each_others_business(project: Project) -> None:
    """One of them is killed, and its reaper ends its own jobs only."""
    project.matrix(SLEEPERS)
    first = begin(project)
    (its_run,) = project.path.glob(".clusterjobs/runs/*")
    for path in project.path.glob("pid-*"):
        path.unlink()
    second = begin(project)
    assert len(list(project.path.glob(".clusterjobs/runs/*"))) == 2
    pids = [int(path.read_text()) for path in project.path.glob("pid-*")]
    first.kill()
    first.communicate()
    until(lambda: sum("sleep 300" in line for line in of_project(project.path)) <= 18, 60)
    until(lambda: not of_project(its_run), 60)
    for pid in pids:
        os.kill(pid, 0)
    second.send_signal(signal.SIGTERM)
    output = second.communicate(timeout=60)[0].decode()
    assert "4 not run" in output
    until(lambda: not of_project(project.path), 60)
