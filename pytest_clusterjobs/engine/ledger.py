"""The ledger: one SQLite file a run, in which every intent stands before it is acted on."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from typing import NamedTuple

from ..jobs import Handle
from ..jobs import JobSpec
from ..jobs import Observation
from ..jobs import Outcome
from ..jobs import OwnAction
from ..jobs import Phase
from . import journal
from .codec import dump
from .codec import dump_result
from .codec import load
from .records import Attempt
from .records import Registration
from .records import Result
from .schema import check
from .schema import NotOurs
from .schema import SCHEMA_VERSION
from .schema import upgrade

_ATTEMPTS = """
SELECT token, key, number, intended, spec, submitted, handle, observation, action, outcome
FROM attempts LEFT JOIN specs USING (token) LEFT JOIN submissions USING (token) LEFT JOIN observations USING (token)
LEFT JOIN actions USING (token) LEFT JOIN outcomes USING (token)
"""

_VARIABLES = 900
"""Values in one statement; SQLite before 3.32 takes 999."""


class LedgerError(Exception):
    """The ledger cannot be read or written; one line that names the file."""


class Superseded(Exception):
    """A later session has begun on the run: what is left to do is its business."""


class Ledger:
    """A run's ledger, open in this process. Every method may be called from any thread.

    Raises LedgerError wherever the file cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        with self._telling():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._kind = journal.file_system(path.parent)
            self._db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, NotOurs) as error:
            raise LedgerError(f"{self.path}: {error}") from error

    def _prepare(self) -> None:
        is_local = self._kind in journal.LOCAL
        if not is_local:
            journal.share_no_memory(self._db)
        with self._transaction("DEFERRED") as db:
            version = check(db)
        if is_local:
            journal.use_write_ahead_log(self._db)
        else:
            journal.use_rollback_journal(self._db)
        if version < SCHEMA_VERSION:
            with self._transaction() as db:
                upgrade(db)

    @contextmanager
    def _transaction(self, kind: str = "IMMEDIATE") -> Iterator[sqlite3.Connection]:
        with self._lock, self._telling():
            self._db.execute(f"BEGIN {kind}")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                # A full disk makes SQLite roll back by itself; its own error is the one to tell.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._lock, self._telling():
            return self._db.execute(sql, values).fetchall()

    def close(self) -> None:
        """Close the file; the ledger cannot be used any more."""
        with self._lock:
            self._db.close()

    # What is true of the whole run.

    def set_meta(self, **values: Any) -> None:
        """Store JSON values by name."""
        with self._transaction():
            self._store(values)

    def _store(self, values: Mapping[str, Any]) -> None:
        rows = [(name, json.dumps(value)) for name, value in values.items()]
        self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows)

    def meta(self) -> dict[str, Any]:
        """Everything that ``set_meta`` stored."""
        return {name: json.loads(value) for name, value in self._rows("SELECT name, value FROM meta")}

    # Whose run it is.

    def take_over(self, may: Callable[[dict[str, Any] | None], bool], **values: Any) -> dict[str, Any] | None:
        """Begin a session: count it and store ``values``, the new ``owner`` among them, as ``set_meta`` does.

        ``may`` is told the last owner (None if it let go in order); where it says no, nothing is
        changed and that owner is returned. Of two processes that try at once one gets the run.
        """
        with self._transaction():
            meta = self.meta()
            last: dict[str, Any] | None = meta.get("owner")
            if not may(last):
                return last
            self._store({**values, "session": meta.get("session", 0) + 1})
        return None

    def check_session(self, session: int | None) -> None:
        """Raise Superseded if a later session than this one has begun; None never was one."""
        if session is not None and session != self.meta().get("session", 0):
            raise Superseded(f"{self.path}: a later session has begun")

    # Cells.

    def register(self, registrations: Iterable[Registration]) -> None:
        """Add cells; one that is there already is left as it is."""
        rows = [(entry.key, dump(entry)) for entry in registrations]
        with self._transaction() as db:
            _insert(db, "INSERT OR IGNORE INTO cells (key, registration)", rows)

    def registrations(self, after: int = 0) -> list[tuple[int, Registration]]:
        """Cells with a number above ``after``, with their numbers, in the order of registration."""
        rows = self._rows("SELECT id, registration FROM cells WHERE id > ? ORDER BY id", after)
        return [(number, load(Registration, text)) for number, text in rows]

    def knows(self, key: str) -> bool:
        """Whether a cell was registered."""
        return bool(self._rows("SELECT 1 FROM cells WHERE key = ?", key))

    def result(self, key: str) -> Result | None:
        """The result of one cell, if it has one."""
        rows = self._rows("SELECT result FROM results WHERE key = ?", key)
        return load(Result, rows[0][0]) if rows else None

    def results(self) -> dict[str, Result]:
        """Every result by key."""
        rows = self._rows("SELECT key, result FROM results")
        return {key: load(Result, text) for key, text in rows}

    # Attempts.

    def record(self, *, submitted: Iterable[Attempt] = (), intended: Iterable[Attempt] = ()) -> None:
        """Note attempts that were submitted and others that are about to be, in one transaction."""
        handles = [(a.token, a.submitted, dump(a.handle) if a.handle else None) for a in submitted]
        new = list(intended)
        intents = [(a.token, a.key, a.number, a.intended) for a in new]
        specs = [(a.token, dump(a.spec)) for a in new if a.spec is not None]
        with self._transaction() as db:
            _insert(db, "INSERT OR REPLACE INTO submissions", handles)
            _insert(db, "INSERT OR IGNORE INTO attempts", intents)
            _insert(db, "INSERT OR IGNORE INTO specs", specs)

    def forget(self, tokens: Iterable[str]) -> None:
        """Take back intents that were not acted on."""
        with self._transaction() as db:
            db.executemany("DELETE FROM attempts WHERE token = ?", [(token,) for token in tokens])

    def act(self, action: OwnAction, tokens: Iterable[str], *, session: int | None = None) -> None:
        """Note what this run is about to do to jobs. The first action on a job stays.

        Raises Superseded, and notes nothing, if ``session`` is given and is not the last one.
        """
        text = dump(action)
        with self._transaction() as db:
            self.check_session(session)
            _insert(db, "INSERT OR IGNORE INTO actions", [(token, text) for token in tokens])

    def observe(
        self,
        at: float,
        *,
        changed: Iterable[tuple[str, Observation, Handle | None]] = (),
        ended: Iterable[tuple[str, Outcome]] = (),
        results: Iterable[Result] = (),
    ) -> None:
        """Note one poll round in one transaction: what changed, what ended, and which cells are done."""
        seen, handles, history = [], [], []
        for token, observation, handle in changed:
            text = dump(observation)
            seen.append((token, text))
            if handle is not None:
                handles.append((token, dump(handle)))
            if observation.phase is not Phase.ENDED:
                # An end is never replaced; what came before it is.
                history.append((token, at, text))
        outcomes = {id(outcome): (token, dump(outcome)) for token, outcome in ended}
        done = []
        for result in results:
            _, known = outcomes.get(id(result.outcome), (None, None))
            done.append((result.key, result.judgement.verdict.value, dump_result(result, known)))
        with self._transaction() as db:
            _insert(db, "INSERT OR REPLACE INTO observations", seen)
            _insert(
                db,
                "INSERT INTO submissions (token, handle)",
                handles,
                "ON CONFLICT (token) DO UPDATE SET handle = excluded.handle",
            )
            _insert(db, "INSERT INTO history", history)
            _insert(db, "INSERT OR REPLACE INTO outcomes", list(outcomes.values()))
            _insert(db, "INSERT OR REPLACE INTO results", done)

    def attempts(self, *, live: bool = False) -> list[Attempt]:
        """All attempts by key and number; with ``live`` only those that have no outcome."""
        where = "WHERE outcome IS NULL" if live else ""
        return [_attempt(row) for row in self._rows(f"{_ATTEMPTS} {where} ORDER BY key, number")]

    def last_attempt(self, key: str) -> Attempt | None:
        """The last attempt of one cell, if it has one."""
        rows = self._rows(f"{_ATTEMPTS} WHERE key = ? ORDER BY number DESC LIMIT 1", key)
        return _attempt(rows[0]) if rows else None

    def history(self, token: str) -> list[tuple[float, Observation]]:
        """What was seen of an attempt before its end, and when (seconds since the epoch)."""
        rows = self._rows("SELECT at, observation FROM history WHERE token = ? ORDER BY at", token)
        return [(at, load(Observation, text)) for at, text in rows]

    # pytest's reports.

    def add_reports(self, rows: Iterable[tuple[str, str, str, str]]) -> None:
        """Append reports as ``(key, phase, outcome, JSON text)``."""
        with self._transaction() as db:
            _insert(db, "INSERT INTO reports (key, phase, outcome, data)", list(rows))

    def reports(self) -> list[tuple[str, str, str, dict[str, Any]]]:
        """Every report in the order in which pytest made them."""
        rows = self._rows("SELECT key, phase, outcome, data FROM reports ORDER BY id")
        return [(key, phase, outcome, json.loads(data)) for key, phase, outcome, data in rows]

    # What other processes of the session want of the one that owns the run.

    def wish_end(self, key: str, why: str) -> None:
        """Ask the owner to end a cell's job."""
        with self._transaction() as db:
            _insert(db, "INSERT INTO wishes (key, why)", [(key, why)])

    def wishes(self, after: int = 0) -> list[tuple[int, str, str]]:
        """Number, key and why of each wish with a number above ``after``."""
        return [
            (number, key, why) for number, key, why in self._rows("SELECT * FROM wishes WHERE id > ?", after)
        ]

    # For reports, which pass JSON text on without taking it apart.

    def cell_texts(self) -> Iterator[tuple[str, str, str | None, str | None]]:
        """Every cell in the order of registration: key, registration, verdict, result."""
        sql = "SELECT key, registration, verdict, result FROM cells LEFT JOIN results USING (key) ORDER BY id"
        yield from self._rows(sql)

    def attempt_texts(self) -> Iterator[AttemptTexts]:
        """Every attempt, by key and number."""
        for row in self._rows(f"{_ATTEMPTS} ORDER BY key, number"):
            yield AttemptTexts(*row)

    def report_words(self) -> Iterator[tuple[str, str, str]]:
        """Key, phase and outcome of every report, in the order in which pytest made them."""
        yield from self._rows("SELECT key, phase, outcome FROM reports ORDER BY id")


class AttemptTexts(NamedTuple):
    """A row of ``attempts`` as it is stored: numbers, and JSON text."""

    token: str
    key: str
    number: int
    intended: float
    spec: str | None
    submitted: float | None
    handle: str | None
    observation: str | None
    action: str | None
    outcome: str | None


def _insert(db: sqlite3.Connection, head: str, rows: Sequence[tuple[Any, ...]], tail: str = "") -> None:
    """Insert rows by as few statements as possible.

    Each statement lets go of Python's lock and has to get it back from the tests that run meanwhile;
    a statement a row would cost more than everything else that the engine does.
    """
    if not rows:
        return
    width = len(rows[0])
    mark = f"({', '.join('?' * width)})"
    size = _VARIABLES // width
    for start in range(0, len(rows), size):
        piece = rows[start : start + size]
        marks = ", ".join([mark] * len(piece))
        db.execute(f"{head} VALUES {marks} {tail}", [value for row in piece for value in row])


def _attempt(row: tuple[Any, ...]) -> Attempt:
    token, key, number, intended, spec, submitted, handle, observation, action, outcome = row
    return Attempt(
        token=token,
        key=key,
        number=number,
        intended=intended,
        spec=load(JobSpec, spec) if spec else None,
        submitted=submitted,
        handle=load(Handle, handle) if handle else None,
        observation=load(Observation, observation) if observation else None,
        action=load(OwnAction, action) if action else None,
        outcome=load(Outcome, outcome) if outcome else None,
    )
