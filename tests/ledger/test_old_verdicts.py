"""Runs of earlier versions: today's rules give the verdicts that were recorded.

``ledger_v3.sql`` has a run of the local backend with every kind of end that it can produce, as expected and
not. Its rows of the tables ``history`` and ``reports`` are left out.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pytest_clusterjobs.engine.rejudge import rejudge
from pytest_clusterjobs.engine.secrets import Secrets
from pytest_clusterjobs.ledger.ledger import Ledger
from pytest_clusterjobs.reports.json_report import cell_lines

DUMPS = sorted(Path(__file__).parent.glob("ledger_v*.sql"))


@pytest.fixture(params=DUMPS, ids=lambda dump: dump.stem)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "ledger.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(request.param.read_text().replace("{rootdir}", str(tmp_path)))
    return path


def test_an_old_run_is_judged_as_it_was(path: Path, tmp_path: Path) -> None:
    with closing(Ledger(path)) as ledger:
        results = ledger.results()
        last = {attempt.key: attempt for attempt in ledger.attempts()}
        for _, entry in ledger.registrations():
            if entry.cell.expect.needs_logs or entry.cell.classify.needs_logs:
                # The logs are not part of the dump.
                continue
            recorded = results[entry.key]
            again = rejudge(entry, entry.cell, last.get(entry.key), recorded, None, Secrets(tmp_path))
            assert again.outcome == recorded.outcome, entry.key
            assert again.judgement == recorded.judgement, entry.key


def test_every_cell_of_an_old_run_is_reported(path: Path) -> None:
    with closing(Ledger(path)) as ledger:
        results = ledger.results()
        assert {line.key: line.judged for line in cell_lines(ledger)} == {
            key: result.judgement.verdict for key, result in results.items()
        }


def test_the_kinds_of_ends_are_those_that_the_local_backend_produces(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(Path(__file__).with_name("ledger_v3.sql").read_text())
    with closing(Ledger(path)) as ledger:
        found = ledger.results().values()
    assert {result.outcome.reason for result in found} == {
        "job_completed",
        "job_failed",
        "killed_by_signal",
        "heartbeat_timeout",
        "max_runtime_reached",
        "start_failed",
    }
    assert {result.judgement.verdict for result in found} == {"passed", "failed", "error"}
