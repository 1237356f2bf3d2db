"""Which run is the latest: not one without cells; and an unreadable one does not hide the others."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_clusterjobs.ledger.run_folder import find_run
from tests.cli.test_cli_damage import change
from tests.cli.test_cli_damage import foreign_database
from tests.cli.test_cli_damage import foreign_text
from tests.cli.test_cli_damage import meaningless
from tests.cli.test_cli_damage import newer
from tests.cli.test_cli_damage import torn

if TYPE_CHECKING:
    from tests.cli.conftest import Place

BAD = "29990101t000000-abcdef"
"""The id of the run that is the latest, and no good."""


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def a_dangling_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def another_rank_of_owner(path: Path) -> None:
    change(path, "INSERT OR REPLACE INTO meta VALUES ('owner', '[1, 2]')")


def another_time(path: Path) -> None:
    change(path, "UPDATE meta SET value = '\"yesterday\"' WHERE name = 'started'")


def unknown_words(path: Path) -> None:
    change(path, "UPDATE results SET result = replace(result, '\"failed\"', '\"exploded\"')")


UNREADABLE = [
    (foreign_text, "file is not a database"),
    (foreign_database, "not a ledger of pytest-clusterjobs"),
    (newer, "written by a newer pytest-clusterjobs"),
    (torn, "malformed"),
    (a_folder, "not a regular file"),
    (a_dangling_link, "No such file or directory"),
    (another_rank_of_owner, "damaged: owner is not valid"),
    (another_time, "damaged: started is not valid"),
]


@pytest.fixture
def two(ended: Place, place: Place) -> Place:
    """The ended run twice; the second one is the latest."""
    without_socket = shutil.ignore_patterns("socket")
    shutil.copytree(ended.path / ".clusterjobs", place.path / ".clusterjobs", ignore=without_socket)
    shutil.copytree(place.folder, place.folder.with_name(BAD))
    return place


def first(place: Place) -> str:
    return min(place.path.glob(".clusterjobs/runs/*")).name


@pytest.mark.parametrize(("damage", "words"), UNREADABLE)
def test_an_unreadable_latest_run_is_reported_and_skipped(
    two: Place, damage: Callable[[Path], None], words: str
) -> None:
    damage(two.folder / "ledger.sqlite")
    for arguments in (["show", "a-1n-bad"], ["logs", "a-1n-bad"], ["report"]):
        done = two.command(*arguments)
        assert done.returncode == 0, done.stderr
        (line,) = done.stderr.splitlines()
        assert line.startswith("clusterjobs: ") and f"/{BAD}/ledger.sqlite: " in line and words in line
        assert line.endswith(f"; using run {first(two)} instead")
    assert json.loads(two.command("report").stdout)["summary"]["failed"] == 2


@pytest.mark.parametrize("damage", [meaningless, unknown_words])
def test_commands_use_the_run_before_an_unreadable_one(two: Place, damage: Callable[[Path], None]) -> None:
    damage(two.folder / "ledger.sqlite")
    done = two.command("show", "a-1n-bad")
    assert done.returncode == 0
    assert "damaged: Re" in done.stderr
    assert first(two) in done.stdout


@pytest.mark.parametrize(("damage", "words"), UNREADABLE)
def test_runs_gc_and_sweep_continue_after_an_unreadable_run(
    two: Place, damage: Callable[[Path], None], words: str
) -> None:
    damage(two.folder / "ledger.sqlite")
    done = two.command("runs")
    assert done.returncode == 0 and done.stderr == ""
    _, bad, good = done.stdout.splitlines()
    assert BAD in bad and "unreadable" in bad and words in bad
    assert "4 passed, 2 failed" in good
    done = two.command("gc", "--keep", "0", "--yes")
    assert "1 run removed" in done.stdout and words in done.stdout
    assert [path.name for path in two.path.glob(".clusterjobs/runs/*")] == [BAD]
    done = two.command("sweep")
    (line,) = done.stderr.splitlines()
    assert words in line and "no stray jobs" in done.stdout


@pytest.mark.parametrize("arguments", [["kill"], ["show", "a-1n-bad", "--run", BAD], ["report", BAD]])
def test_a_run_that_was_named_is_not_replaced_by_another(two: Place, arguments: list[str]) -> None:
    """Commands that end jobs use the latest run only, and a named run is never replaced."""
    foreign_text(two.folder / "ledger.sqlite")
    done = two.command(*arguments)
    assert done.returncode == 3
    assert "file is not a database" in done.stderr and "using run" not in done.stderr


def test_missing_permissions_are_reported(two: Place, require: Callable[[str], str]) -> None:
    as_user = (require("setpriv"), "--bounding-set=-dac_override,-dac_read_search")
    for path in (two.folder / "ledger.sqlite", two.folder):
        path.chmod(0)
        done = two.command("runs", prefix=as_user)
        assert done.returncode == 0 and "Permission denied" in done.stdout, done.stderr
        assert "4 passed, 2 failed" in done.stdout
        done = two.command("report", prefix=as_user)
        assert "Permission denied" in done.stderr and json.loads(done.stdout)["summary"]["failed"] == 2
    two.folder.chmod(0o700)
    runs = two.folder.parent
    runs.chmod(0)
    done = two.command("runs", prefix=as_user)
    assert done.returncode == 4
    assert done.stderr == f"clusterjobs: {runs}: Permission denied\n"
    runs.chmod(0o700)


def empty(folder: Path) -> None:
    """Make a run like that of a session that was interrupted before it had a cell."""
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as db:
        for table in ("cells", "attempts", "results", "reports"):
            db.execute(f"DELETE FROM {table}")
        db.commit()


def nothing(folder: Path) -> None:
    """Make a run like that of a session that was killed before that."""
    for path in folder.glob("ledger.sqlite*"):
        path.unlink()
    (folder / "ledger.sqlite").touch()


@pytest.mark.parametrize("make", [empty, nothing])
def test_a_run_without_cells_is_not_the_latest(two: Place, make: Callable[[Path], None]) -> None:
    make(two.folder)
    done = two.command("show", "a-1n-bad")
    assert done.returncode == 0 and done.stderr == ""
    assert first(two) in done.stdout
    assert two.command("kill").stdout == f"run {first(two)}: no live jobs\n"
    assert two.pytest("--cluster-check", "-k", "good") == 0
    # It is there all the same.
    assert BAD in two.command("runs").stdout


def test_where_all_are_empty_one_of_them_is_the_latest(two: Place) -> None:
    for folder in two.path.glob(".clusterjobs/runs/*"):
        empty(folder)
    assert find_run(two.folder.parent).name == BAD


def test_a_session_that_ended_before_it_had_a_cell_does_not_hide_others(place: Place) -> None:
    place.matrix('{recipes: {a: "true"}, nodes: [1], conditions: {c: {}}}')
    assert place.pytest() == 0
    run = place.folder.name
    (place.path / "test_py.py").write_text("def test_it(clusterjobs): pass\n")
    assert place.pytest("test_py.py") == 0
    assert place.folder.name != run
    assert place.pytest("matrices", "--cluster-check") == 0
    assert run in place.command("show", "a-1n-c").stdout
