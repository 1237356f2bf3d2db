"""Ledgers of other versions: an older one is upgraded, a newer one is refused."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from pytest_clusterjobs.ledger import migrations
from pytest_clusterjobs.ledger.ledger import Ledger
from pytest_clusterjobs.ledger.ledger import LedgerError
from pytest_clusterjobs.model import Expectation
from pytest_clusterjobs.model import Verdict

VERSION_1 = Path(__file__).with_name("ledger_v1.sql")
"""A whole run, written by the first version; ``{rootdir}`` stands for its project's folder."""


def version_1(path: Path, rootdir: Path) -> None:
    """Make a ledger as the first version left it."""
    with closing(sqlite3.connect(path)) as db:
        db.executescript(VERSION_1.read_text().replace("{rootdir}", str(rootdir)))


def _version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        (found,) = db.execute("PRAGMA user_version").fetchone()
    return int(found)


def test_a_ledger_of_the_first_version_is_upgraded_without_loss(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    version_1(path, tmp_path)
    with closing(sqlite3.connect(path)) as db:
        before = list(db.iterdump())
    assert _version(path) == 1

    ledger = Ledger(path)
    assert {key: found.judgement.verdict for key, found in ledger.results().items()} == {
        "matrices/m.yaml::a-1n-good": Verdict.PASSED,
        "matrices/m.yaml::a-1n-bad": Verdict.FAILED,
    }
    assert [entry.cell.id for _, entry in ledger.registrations()] == ["a-1n-good", "a-1n-bad"]
    assert [attempt.handle is not None for attempt in ledger.attempts()] == [True, True]
    assert len(ledger.reports()) == 6
    ledger.request_cancel("matrices/m.yaml::a-1n-bad", "its test ended")
    assert ledger.cancel_requests() == [(1, "matrices/m.yaml::a-1n-bad", "its test ended")]
    ledger.close()

    assert _version(path) == migrations.SCHEMA_VERSION
    with closing(sqlite3.connect(path)) as db:
        assert set(before) - {"COMMIT;"} <= set(db.iterdump())


def test_any_reason_in_an_older_ledger_remains_any_reason(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    version_1(path, tmp_path)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(
            "UPDATE cells SET registration = json_set(registration, '$.cell.expect.reasons', NULL,"
            " '$.cell.expect.exit_codes', NULL) WHERE key LIKE '%bad'"
        )
    with closing(Ledger(path)) as ledger:
        expects = {entry.cell.id: entry.cell.expect for _, entry in ledger.registrations()}
    assert expects["a-1n-bad"] == Expectation(reasons="any")
    assert not expects["a-1n-good"].accepts_any


def test_an_upgrade_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ledger.sqlite"
    version_1(path, tmp_path)
    steps = (*migrations._STEPS[:1], "CREATE TABLE first (x); CREATE TABLE meta (x)")
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "_STEPS", steps)
        with pytest.raises(LedgerError, match=r"ledger\.sqlite: table meta already exists"):
            Ledger(path)
    assert _version(path) == 1
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'first'").fetchone() == (0,)
    Ledger(path).close()
    assert _version(path) == migrations.SCHEMA_VERSION


def test_a_newer_ledger_is_refused_and_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    Ledger(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = DELETE")
        db.execute("PRAGMA user_version = 99")
    before = path.read_bytes()
    with pytest.raises(
        LedgerError, match=r"ledger\.sqlite: .*newer pytest-clusterjobs \(ledger version 99\)"
    ):
        Ledger(path)
    assert path.read_bytes() == before


def test_another_programs_empty_database_is_refused_too(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA application_id = 7")
    with pytest.raises(LedgerError, match="not a ledger"):
        Ledger(path)


OPEN = """
import sys
from pathlib import Path
from pytest_clusterjobs.ledger.ledger import Ledger
sys.stdin.read(1)
Ledger(Path(sys.argv[1])).close()
"""


@pytest.mark.parametrize("old", [False, True])
def test_several_processes_can_open_and_upgrade_it_at_once(tmp_path: Path, old: bool) -> None:
    path = tmp_path / "ledger.sqlite"
    if old:
        version_1(path, tmp_path)
    command = [sys.executable, "-c", OPEN, str(path)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(6)
    ]
    said = []
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("g")
        process.stdin.flush()
    for process in processes:
        _, errors = process.communicate(timeout=60)
        said.append((process.returncode, errors))
    assert said == [(0, "")] * 6
    assert _version(path) == migrations.SCHEMA_VERSION
