"""A run's folder that is removed or moved while the run goes on: the session says so, and no job stays."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import lives
from tests.plugin.test_damage import begin
from tests.plugin.test_damage import ended_with
from tests.plugin.test_damage import ledger_of
from tests.plugin.test_damage import locked
from tests.plugin.test_leaks import of_project
from tests.plugin.test_leaks import SLEEPERS
from tests.plugin.test_leaks import until

if TYPE_CHECKING:
    from tests.plugin.conftest import Project

pytestmark = pytest.mark.quiet

GONE = "removed or moved during the run; its jobs are cancelled"


@pytest.fixture
def sleepers(project: Project) -> Project:
    """Six processes that would sleep for minutes."""
    project.matrix(SLEEPERS)
    return project


def pids_of(folder: Path) -> list[int]:
    return [int(path.read_text()) for path in folder.glob("pid-*")]


def none_lives(pids: list[int]) -> bool:
    assert len(pids) == 6
    return not any(map(lives, pids))


def remove(folder: Path) -> None:
    shutil.rmtree(folder / ".clusterjobs")


def move_away(folder: Path) -> None:
    (folder / ".clusterjobs").rename(folder / "kept")


def git_clean(folder: Path) -> None:
    subprocess.run(["git", "init", "-q", "."], cwd=folder, check=True)
    subprocess.run(["git", "clean", "-qxffd", "-e", "pid-*"], cwd=folder, check=True)


@pytest.mark.parametrize("do", [remove, move_away, git_clean])
@pytest.mark.parametrize("arguments", [[], ["-n2"]])
def test_a_session_whose_folder_goes_says_so_and_ends_its_jobs(
    sleepers: Project, do: Callable[[Path], None], arguments: list[str]
) -> None:
    process = begin(sleepers, *arguments)
    pids = pids_of(sleepers.path)
    do(sleepers.path)
    ended_with(process, GONE)
    until(lambda: none_lives(pids), 60)
    until(lambda: not of_project(sleepers.path), 60)
    assert not (sleepers.path / ".clusterjobs").exists()


def test_a_report_outside_of_it_is_whole_and_names_no_passed_cell(sleepers: Project) -> None:
    process = begin(sleepers, "--junitxml=report.xml")
    remove(sleepers.path)
    ended_with(process, GONE)
    summary = sleepers.report("report.json")["summary"]
    assert (summary["selected"], summary["passed"]) == (4, 0)


def test_a_project_that_is_moved(sleepers: Project) -> None:
    process = begin(sleepers)
    pids = pids_of(sleepers.path)
    moved = sleepers.path.rename(sleepers.path.with_name(f"{sleepers.path.name}-moved"))
    output = process.communicate(timeout=120)[0].decode()
    assert process.returncode not in (0, None)
    (line,) = [line for line in output.splitlines() if line.startswith("ERROR: ")]
    assert GONE in line
    until(lambda: none_lives(pids), 60)
    moved.rename(sleepers.path)


def test_a_session_that_is_killed_after_its_folder_went(sleepers: Project) -> None:
    process = begin(sleepers)
    pids = pids_of(sleepers.path)
    process.send_signal(signal.SIGSTOP)
    remove(sleepers.path)
    process.kill()
    process.communicate()
    until(lambda: none_lives(pids), 60)
    assert not (sleepers.path / ".clusterjobs").exists()


def test_jobs_of_a_launch_whose_folder_went(sleepers: Project) -> None:
    process = begin(sleepers, "--cluster-launch")
    process.communicate(timeout=60)
    assert process.returncode == 0
    pids = pids_of(sleepers.path)
    remove(sleepers.path)
    until(lambda: none_lives(pids), 60)


FOR_EVER = "from pytest_clusterjobs.ledger import database\ndatabase.LOCK_TIMEOUT_SECONDS = 1000.0\n"


@pytest.mark.parametrize("arguments", [[], ["-n2"]])
def test_ctrl_c_does_not_wait_for_a_ledger_that_another_process_has_locked(
    sleepers: Project, arguments: list[str]
) -> None:
    sleepers.pytester.makeconftest(FOR_EVER)
    sleepers.matrix("{recipes: {b: sleep 2}, nodes: [1], conditions: {c: {}}}", "matrices/b.yaml")
    process = begin(sleepers, *arguments)
    with locked(ledger_of(sleepers)):
        process.send_signal(signal.SIGINT)
        ended_with(process, "database is locked")
        until(lambda: none_lives(pids_of(sleepers.path)), 60)
