"""Missing, ambiguous, damaged, newer or read-only runs are reported in one line, with the right exit code."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.ledger.test_migrations import version_1
from tests.mounts import read_only
from tests.mounts import small

if TYPE_CHECKING:
    from tests.cli.conftest import Place


@pytest.fixture
def copy(ended: Place, place: Place) -> Place:
    """The ended run, in a project of its own that tests may damage."""
    without_socket = shutil.ignore_patterns("socket")
    shutil.copytree(ended.path / ".clusterjobs", place.path / ".clusterjobs", ignore=without_socket)
    return place


def refused(place: Place, *arguments: str, code: int, prefix: tuple[str, ...] = ()) -> str:
    done = place.command(*arguments, prefix=prefix)
    assert done.returncode == code, done.stdout + done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("clusterjobs: ")
    return line.removeprefix("clusterjobs: ")


@pytest.mark.parametrize(
    "arguments", [["runs"], ["show", "x"], ["logs", "x"], ["report"], ["kill"], ["watch"]]
)
def test_a_project_without_runs_is_an_error(place: Place, arguments: list[str]) -> None:
    assert "no runs in " in refused(place, *arguments, code=4)


def test_an_unknown_run_is_an_error(copy: Place) -> None:
    line = refused(copy, "report", "1999", code=4)
    assert line.startswith("no run '1999'")
    assert copy.folder.name in line


def test_an_ambiguous_prefix_of_a_run_is_an_error(copy: Place) -> None:
    shutil.copytree(copy.folder, copy.folder.with_name(f"{copy.folder.name}x"))
    line = refused(copy, "report", copy.folder.name[:8], code=4)
    assert line.count(copy.folder.name[:15]) == 2


def test_an_unknown_cell_is_an_error(copy: Place) -> None:
    assert refused(copy, "show", "nope", code=4).startswith("no cell matches 'nope' in run ")


def test_an_ambiguous_cell_is_an_error_that_lists_the_cells(copy: Place) -> None:
    done = copy.command("logs", "bad")
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.splitlines() == [
        "clusterjobs: 'bad' matches 2 cells: write the whole id of one of them:",
        "  matrices/m.yaml::a-1n-bad",
        "  matrices/m.yaml::a-2n-bad",
    ]


def test_an_unknown_attempt_or_rank_is_an_error(copy: Place) -> None:
    assert "has no attempt 2" in refused(copy, "logs", "a-1n-good", "--attempt", "2", code=4)
    assert "has no rank 5: it has ranks 0 to 1" in refused(copy, "logs", "a-2n-good", "--node", "5", code=4)


def foreign_text(path: Path) -> None:
    path.write_text("not a database, but text\n" * 20)


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = DELETE")
        db.execute(statement)
        db.commit()


def foreign_database(path: Path) -> None:
    path.unlink()
    change(path, "CREATE TABLE songs (name TEXT)")


def newer(path: Path) -> None:
    change(path, "PRAGMA user_version = 99")


def torn(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:4096] + b"\xff" * (len(data) - 4096))


def meaningless(path: Path) -> None:
    change(path, "UPDATE cells SET registration = '{}'")


DAMAGES = [
    (foreign_text, "file is not a database"),
    (foreign_database, "a SQLite file, but not a ledger of pytest-clusterjobs"),
    (newer, "written by a newer pytest-clusterjobs (ledger version 99)"),
    (torn, "malformed"),
    (meaningless, "damaged: Registration: Field required"),
]


@pytest.mark.parametrize(("damage", "words"), DAMAGES)
def test_a_damaged_ledger_is_an_error_of_one_line(
    copy: Place, damage: Callable[[Path], None], words: str
) -> None:
    path = copy.folder / "ledger.sqlite"
    damage(path)
    before = path.read_bytes()
    assert words in refused(copy, "show", "a-1n-good", code=3)
    assert damage is meaningless or path.read_bytes() == before


@pytest.mark.parametrize("arguments", [["logs", "a-1n-good"], ["report"], ["rejudge"], ["watch"], ["kill"]])
def test_every_command_refuses_a_damaged_ledger(copy: Place, arguments: list[str]) -> None:
    torn(copy.folder / "ledger.sqlite")
    assert "malformed" in refused(copy, *arguments, code=3)


@pytest.mark.parametrize("arguments", [["logs", "a-1n-good"], ["rejudge"], ["watch"], ["kill"]])
def test_commands_that_read_registrations_refuse_invalid_ones(copy: Place, arguments: list[str]) -> None:
    meaningless(copy.folder / "ledger.sqlite")
    assert "damaged: Registration: Field required" in refused(copy, *arguments, code=3)


@pytest.mark.parametrize("arguments", [["sweep"], ["gc", "--keep", "0"]])
def test_commands_about_all_runs_name_a_damaged_ledger(copy: Place, arguments: list[str]) -> None:
    torn(copy.folder / "ledger.sqlite")
    done = copy.command(*arguments)
    assert "malformed" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_runs_on_a_read_only_disk_can_be_read(copy: Place) -> None:
    with read_only(copy.folder):
        assert copy.command("show", "a-1n-bad").returncode == 0
        assert "8      4 passed" in copy.command("runs").stdout
        target = str(copy.folder / "again.json")
        assert refused(copy, "report", "--json", target, code=3).endswith("Read-only file system")


def test_a_full_disk_is_at_most_an_error_of_one_line(copy: Place) -> None:
    runs = copy.path / ".clusterjobs" / "runs"
    name = copy.folder.name
    shutil.move(runs / name, copy.path / "kept")
    with small(runs, 1024):
        shutil.move(copy.path / "kept", runs / name)
        with (runs / "filling").open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))
        for arguments in (["runs"], ["show", "a-1n-bad"], ["kill"]):
            done = copy.command(*arguments)
            assert "Traceback" not in done.stderr
            assert done.returncode == 0 or (
                done.returncode == 3
                and done.stderr.startswith("clusterjobs: ")
                and done.stderr.count("\n") == 1
            )


def test_a_ledger_of_the_first_version_is_read(place: Place) -> None:
    folder = place.path / ".clusterjobs" / "runs" / "20261124t053124-e147b8"
    folder.mkdir(parents=True)
    version_1(folder / "ledger.sqlite", place.path)
    assert "1 passed, 1 failed" in place.command("runs").stdout
    assert "a-1n-bad  failed" in place.command("show", "a-1n-bad").stdout
    assert json.loads(place.command("report").stdout)["summary"]["failed"] == 1
    assert place.command("kill").returncode == 0


def test_a_damaged_run_does_not_hide_the_others(copy: Place) -> None:
    shutil.copytree(copy.folder, copy.folder.with_name("19990101t000000-abcdef"))
    foreign_text(copy.path / ".clusterjobs/runs/19990101t000000-abcdef/ledger.sqlite")
    done = copy.command("runs")
    assert done.returncode == 0
    _, good, bad = done.stdout.splitlines()
    assert "4 passed" in good
    assert "unreadable" in bad
    assert "file is not a database" in bad


def test_runs_in_a_read_only_folder_can_be_read(copy: Place, require: Callable[[str], str]) -> None:
    copy.folder.chmod(0o555)
    (copy.folder / "ledger.sqlite").chmod(0o444)
    # Permissions mean something to root only without this capability.
    as_user = (require("setpriv"), "--bounding-set=-dac_override,-dac_read_search")
    assert copy.command("show", "a-1n-bad", prefix=as_user).returncode == 0
    assert "8      4 passed" in copy.command("runs", prefix=as_user).stdout
    target = str(copy.folder / "again")
    assert refused(copy, "report", "--json", f"{target}.json", code=3, prefix=as_user).endswith(
        "Permission denied"
    )
    line = refused(copy, "report", "--junit", f"{target}.xml", code=3, prefix=as_user)
    assert line.startswith(f"cannot write {target}.xml: ")
    copy.folder.chmod(0o755)


def test_usage_errors_are_reported_by_the_command(place: Place) -> None:
    done = place.command("show")
    assert done.returncode == 2
    assert "Missing argument 'CELL'" in done.stderr


@pytest.mark.parametrize("command", ["show", "logs", "watch"])
@pytest.mark.parametrize(
    ("job", "words", "code"),
    [
        ("local:", "local: does not name a job: write local:JOBID", 4),
        ("local:7", "backend local cannot look up jobs by id: write a cell of a run", 3),
    ],
)
def test_a_job_that_cannot_be_looked_up_is_an_error(
    copy: Place, command: str, job: str, words: str, code: int
) -> None:
    assert refused(copy, command, job, code=code) == words


def test_a_node_id_may_have_a_colon_in_its_path(copy: Place) -> None:
    assert refused(copy, "show", "m:x.yaml::a", code=4).startswith("no cell matches 'm:x.yaml::a' in run ")
