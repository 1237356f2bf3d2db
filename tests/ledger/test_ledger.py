"""The ledger: other processes read what was written, and other files are not changed."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_clusterjobs.ledger.ledger import Ledger
from pytest_clusterjobs.ledger.ledger import LedgerError
from pytest_clusterjobs.model import ActionKind
from pytest_clusterjobs.model import Handle
from pytest_clusterjobs.model import Judgement
from pytest_clusterjobs.model import Mismatch
from pytest_clusterjobs.model import Observation
from pytest_clusterjobs.model import Outcome
from pytest_clusterjobs.model import OwnAction
from pytest_clusterjobs.model import Phase
from pytest_clusterjobs.model import ReasonClass
from pytest_clusterjobs.model import Source
from pytest_clusterjobs.model import Verdict
from pytest_clusterjobs.model.records import Attempt
from pytest_clusterjobs.model.records import Registration
from pytest_clusterjobs.model.records import Result
from tests.engine.engine_rig import entry
from tests.ledger.writes import delete_intents
from tests.ledger.writes import observe
from tests.ledger.writes import record
from tests.ledger.writes import record_action

OUTCOME = Outcome("job_failed", ReasonClass.PRODUCT, Source.SENTINEL, exit_code=3)
RESULT = Result(
    "m.yaml::a", OUTCOME, Judgement(Verdict.FAILED, (Mismatch("exit_code", "0", "3"),)), logs={0: 'a "b"\n'}
)


def test_everything_is_read_as_it_was_written(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.set_meta(run_id="r", started=1.5)
    registration = entry("a", env={"A": 'quo"te\n'}, secrets=("S",))
    ledger.register([registration, entry("b")])
    attempt = Attempt("t", "m.yaml::a", 1, 1.0)
    record(ledger, intended=[attempt])
    handle = Handle("17", {"where": ["x", 1]}, "https://example.invalid")
    record(ledger, submitted=[Attempt("t", "m.yaml::a", 1, 1.0, submitted=2.0, handle=handle)])
    running = Observation(Phase.RUNNING, native_state="R")
    observe(ledger, 3.0, changed=[("t", running, None)])
    observe(ledger, 4.0, changed=[("t", Observation(Phase.ENDED), Handle("18"))])
    record_action(ledger, OwnAction(ActionKind.CANCEL, "why", 4.5), ["t"])
    observe(ledger, 5.0, ended=[("t", OUTCOME)], results=[RESULT])
    ledger.close()

    again = Ledger(tmp_path / "ledger.sqlite")
    assert again.meta() == {"run_id": "r", "started": 1.5}
    assert [found for _, found in again.registrations()] == [registration, entry("b")]
    (found,) = again.attempts()
    assert found.handle == Handle("18")
    assert (found.submitted, found.outcome) == (2.0, OUTCOME)
    assert found.action == OwnAction(ActionKind.CANCEL, "why", 4.5)
    assert found.observation == Observation(Phase.ENDED)
    assert again.attempts(live=True) == []
    assert again.result("m.yaml::a") == RESULT
    assert again.results() == {"m.yaml::a": RESULT}
    assert again.result("m.yaml::b") is None
    again.close()


def test_the_first_registration_and_the_first_action_are_kept(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.register([entry("a", nodes=1)])
    ledger.register([entry("a", nodes=4)])
    ((_, registration),) = ledger.registrations()
    assert registration.cell.spec.nodes == 1
    record(ledger, intended=[Attempt("t", "m.yaml::a", 1, 1.0)])
    for kind in (ActionKind.TEST_TIMEOUT, ActionKind.CANCEL):
        record_action(ledger, OwnAction(kind, "why"), ["t"])
    (attempt,) = ledger.attempts()
    assert attempt.action is not None and attempt.action.kind is ActionKind.TEST_TIMEOUT
    ledger.close()


def test_one_call_takes_thousands_of_rows(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.register(entry(f"job{number}") for number in range(2500))
    assert len(ledger.registrations()) == 2500
    ledger.close()


def test_an_intent_survives_the_death_of_its_process(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    script = f"""
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from pytest_clusterjobs.ledger.ledger import Ledger
from pytest_clusterjobs.ledger.batch import Batch
from pytest_clusterjobs.model.records import Attempt
ledger = Ledger(Path({str(path)!r}))
number = 0
while True:
    ledger.commit(Batch(intended={{"t": Attempt(f"t{{number}}", "k", number, time.time())}}), 0.0)
    print(number, flush=True)
    number += 1
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = [int(process.stdout.readline()) for _ in range(50)]
    process.kill()
    rest, _ = process.communicate()
    said += [int(line) for line in rest.split() if line.strip()]
    ledger = Ledger(path)
    kept = {attempt.token for attempt in ledger.attempts()}
    ledger.close()
    assert {f"t{number}" for number in said} <= kept


def test_a_file_that_is_not_a_ledger_is_refused_and_not_changed(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.sqlite"
    with sqlite3.connect(foreign) as db:
        db.execute("CREATE TABLE precious (x)")
    db.close()
    before = foreign.read_bytes()
    with pytest.raises(LedgerError, match=r"foreign\.sqlite: .*not a ledger"):
        Ledger(foreign)
    assert foreign.read_bytes() == before
    text = tmp_path / "text.sqlite"
    text.write_text("this is text " * 100)
    with pytest.raises(LedgerError, match=r"text\.sqlite: file is not a database"):
        Ledger(text)
    assert text.read_text().startswith("this is text")


def test_registrations_after_a_number_can_be_read(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.register([entry("a")])
    ((number, _),) = ledger.registrations()
    ledger.register([entry("b")])
    names = [found.cell.id for _, found in ledger.registrations(after=number)]
    assert names == ["b"]
    assert isinstance(ledger.registrations()[0][1], Registration)
    ledger.close()


def test_a_full_disk_is_reported_as_sqlite_does_and_blocks_nothing(tmp_path: Path) -> None:
    """On a full disk SQLite rolls a transaction back by itself; a second ROLLBACK would hide why."""
    ledger = Ledger(tmp_path / "ledger.sqlite")
    other = sqlite3.connect(ledger.path)
    other.execute(
        "CREATE TRIGGER full BEFORE INSERT ON meta WHEN NEW.name = 'a'"
        " BEGIN SELECT RAISE(ROLLBACK, 'database or disk is full'); END"
    )
    other.close()
    with pytest.raises(LedgerError, match=r"ledger\.sqlite: database or disk is full"):
        ledger.set_meta(a=1)
    ledger.set_meta(b=2)
    assert ledger.meta() == {"b": 2}
    ledger.close()


def test_a_handle_from_an_earlier_poll_is_kept(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    attempt = Attempt("t", "m.yaml::a", 1, 1.0)
    record(ledger, intended=[attempt])
    observe(ledger, 2.0, changed=[("t", Observation(Phase.RUNNING), Handle("17", {"complete": True}))])
    record(ledger, submitted=[replace(attempt, submitted=1.5, handle=Handle(None, {}))])
    (found,) = ledger.attempts()
    assert (found.submitted, found.handle) == (1.5, Handle("17", {"complete": True}))
    ledger.close()


def test_a_deleted_intent_leaves_nothing(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    first, second = (entry("a", env={"TRY": number}).cell.spec for number in "12")
    record(ledger, intended=[Attempt("t", "m.yaml::a", 1, 1.0, spec=first)])
    delete_intents(ledger, ["t"])
    assert ledger.attempts() == []
    record(ledger, intended=[Attempt("t", "m.yaml::a", 1, 2.0, spec=second)])
    assert ledger.attempts()[0].spec == second
    ledger.close()


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE cells SET registration = '{}'", "damaged: Registration: Field required"),
        ("UPDATE cells SET registration = '\\x00'", "damaged: Registration: Invalid JSON"),
        ("UPDATE meta SET value = '{'", "damaged: Expecting property name"),
        ("DROP TABLE cells", "no such table: cells"),
    ],
)
def test_invalid_rows_are_an_error_of_one_line(tmp_path: Path, statement: str, words: str) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.register([entry("a")])
    ledger.set_meta(run_id="r")
    with closing(sqlite3.connect(ledger.path, isolation_level=None)) as other:
        other.execute(statement)
    with pytest.raises(LedgerError) as raised:
        ledger.registrations()
        ledger.meta()
    assert str(raised.value).startswith(f"{ledger.path}: {words}")
    assert "\n" not in str(raised.value)
    ledger.close()
