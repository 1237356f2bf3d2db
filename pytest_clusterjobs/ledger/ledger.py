"""The ledger: one SQLite file per run. Every intent is recorded in it before it is acted on."""

from __future__ import annotations

import json
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from functools import partial
from typing import Any
from typing import NamedTuple

from ..model import Handle
from ..model import JobSpec
from ..model import Observation
from ..model import Outcome
from ..model import OwnAction
from ..model import Phase
from ..model.batches import batched
from ..model.records import Attempt
from ..model.records import Registration
from ..model.records import Result
from .batch import Batch
from .codec import dump
from .codec import load
from .codec import load_plain
from .database import Database
from .database import insert
from .database import LedgerError as LedgerError
from .database import LedgerGone as LedgerGone
from .database import MAX_VARIABLES

_ATTEMPTS = """
SELECT token, key, number, intended, spec, submitted, handle, observation, action, outcome
FROM attempts LEFT JOIN specs USING (token) LEFT JOIN submissions USING (token) LEFT JOIN observations USING (token)
LEFT JOIN actions USING (token) LEFT JOIN outcomes USING (token)
"""


_REPLACE_RESULT = """
ON CONFLICT (key) DO UPDATE SET verdict = excluded.verdict, result = excluded.result
WHERE json_extract(excluded.result, '$.attempt') {newer} json_extract(result, '$.attempt')
"""
"""An attempt's result never replaces that of a later attempt."""


class Superseded(Exception):
    """A later session has begun on the run and handles what is left to do."""


class Ledger(Database):
    """A run's ledger, open in this process. Every method may be called from any thread.

    Methods raise LedgerError if the file cannot be read or written.
    """

    # Facts about the whole run.

    def set_meta(self, **values: Any) -> None:
        """Store JSON values by name."""
        with self._transaction():
            self._store(values)

    def _store(self, values: Mapping[str, Any]) -> None:
        rows = [(name, json.dumps(value)) for name, value in values.items()]
        self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows)

    def meta(self) -> dict[str, Any]:
        """Everything that ``set_meta`` stored."""
        return dict(self._read(lambda name, text: (name, load_plain(text)), "SELECT name, value FROM meta"))

    # Ownership.

    def take_over(
        self, is_allowed: Callable[[dict[str, Any] | None], bool], **values: Any
    ) -> dict[str, Any] | None:
        """Begin a session: count it, and store ``values`` (the new ``owner`` is one) like ``set_meta``.

        ``is_allowed`` is called with the last owner (None if that one ended normally). If it returns False,
        nothing is changed and the last owner is returned. If two processes try at once, one gets the run.
        If there is a last owner, ``incomplete`` is stored as well: not all that it did may be recorded.
        """
        with self._transaction():
            meta = self.meta()
            last: dict[str, Any] | None = meta.get("owner")
            if not is_allowed(last):
                return last
            if last is not None:
                values["incomplete"] = True
            self._store({**values, "session": meta.get("session", 0) + 1})
        return None

    def end_session(self, session: int, *, is_recorded: bool = True, **values: Any) -> None:
        """Give up the run, and store ``values`` like ``set_meta``.

        Does nothing if a later session has begun. Unless ``is_recorded``, ``incomplete`` is stored as well.
        """
        if not is_recorded:
            values["incomplete"] = True
        with self._transaction():
            if self.session() <= session:
                self._store({**values, "owner": None})

    def check_session(self, session: int | None) -> None:
        """Raise Superseded if a later session than this one has begun; does nothing for None.

        A truncated file may have an earlier session. That is damage, and not a successor.
        """
        if session is not None and self.session() > session:
            raise Superseded(f"{self.path}: a later session has begun, which continues its jobs")

    # Cells.

    def register(self, registrations: Iterable[Registration]) -> None:
        """Add cells. Cells that are already registered are not changed."""
        rows = [(entry.key, dump(entry)) for entry in registrations]
        with self._transaction() as db:
            insert(db, "INSERT OR IGNORE INTO cells (key, registration)", rows)

    def registrations(self, after: int = 0) -> list[tuple[int, Registration]]:
        """Cells with a number above ``after``, with their numbers, in the order of registration."""
        sql = "SELECT id, registration FROM cells WHERE id > ? ORDER BY id"
        return self._read(lambda number, text: (number, load(Registration, text)), sql, after)

    def has_cell(self, key: str) -> bool:
        """Whether a cell was registered."""
        return bool(self._rows("SELECT 1 FROM cells WHERE key = ?", key))

    def result(self, key: str) -> Result | None:
        """The result of one cell, or None."""
        found = self._read(partial(load, Result), "SELECT result FROM results WHERE key = ?", key)
        return found[0] if found else None

    def results(self) -> dict[str, Result]:
        """Every result by key."""
        return dict(
            self._read(lambda key, text: (key, load(Result, text)), "SELECT key, result FROM results")
        )

    # Attempts.

    def actions(self, tokens: Iterable[str]) -> dict[str, OwnAction]:
        """The actions that any process of this run has taken on some jobs, by token."""
        found: dict[str, OwnAction] = {}
        for batch in batched(list(tokens), MAX_VARIABLES):
            sql = f"SELECT token, action FROM actions WHERE token IN ({', '.join('?' * len(batch))})"
            found.update(self._read(lambda token, text: (token, load(OwnAction, text)), sql, *batch))
        return found

    def commit(self, batch: Batch, at: float, session: int | None = None) -> None:
        """Write a batch in one transaction; ``at`` is the time of day.

        Raises Superseded, and writes nothing, if ``session`` is given and is not the last one.
        """
        statements = list(_statements(batch, at))
        with self._transaction() as db:
            self.check_session(session)
            for token in batch.deleted:
                # The token may be used again.
                for table in ("attempts", "specs", "actions", "submissions", "observations", "outcomes"):
                    db.execute(f"DELETE FROM {table} WHERE token = ?", (token,))
            for head, rows, tail in statements:
                insert(db, head, rows, tail)
            if batch.meta:
                self._store(batch.meta)

    def session(self) -> int:
        """The number of the last session that has begun on the run; 0 if none has."""
        found = self._rows("SELECT value FROM meta WHERE name = 'session'")
        return int(found[0][0]) if found else 0

    def attempts(self, *, live: bool = False) -> list[Attempt]:
        """All attempts by key and number; with ``live`` only those that have no outcome."""
        where = "WHERE outcome IS NULL" if live else ""
        return self._read(_attempt, f"{_ATTEMPTS} {where} ORDER BY key, number")

    def last_attempt(self, key: str) -> Attempt | None:
        """The last attempt of one cell, or None."""
        found = self._read(_attempt, f"{_ATTEMPTS} WHERE key = ? ORDER BY number DESC LIMIT 1", key)
        return found[0] if found else None

    def history(self, token: str) -> list[tuple[float, Observation]]:
        """The observations of an attempt before its end, with their times in seconds since the epoch."""
        sql = "SELECT at, observation FROM history WHERE token = ? ORDER BY at"
        return self._read(lambda at, text: (at, load(Observation, text)), sql, token)

    # pytest's reports.

    def add_reports(self, rows: Iterable[tuple[str, str, str, str]]) -> None:
        """Append reports as ``(key, phase, outcome, JSON text)``."""
        with self._transaction() as db:
            insert(db, "INSERT INTO reports (key, phase, outcome, data)", list(rows))

    def reports(self) -> list[tuple[str, str, str, dict[str, Any]]]:
        """Every report in the order in which pytest made them."""
        sql = "SELECT key, phase, outcome, data FROM reports ORDER BY id"
        return self._read(lambda *row: (*row[:3], load_plain(row[3])), sql)

    # Requests of the session's other processes to the one that owns the run.

    def request_cancel(self, key: str, why: str) -> None:
        """Request that the process that owns the run cancels the job of a cell."""
        with self._transaction() as db:
            insert(db, "INSERT INTO wishes (key, why)", [(key, why)])

    def cancel_requests(self, after: int = 0) -> list[tuple[int, str, str]]:
        """Number, key and reason of each cancel request with a number above ``after``."""
        return [
            (number, key, why) for number, key, why in self._rows("SELECT * FROM wishes WHERE id > ?", after)
        ]

    # For reports, which copy JSON text without parsing it.

    def cell_texts(self) -> Iterator[tuple[str, str, str | None, str | None]]:
        """Every cell in the order of registration: key, registration, verdict, result."""
        sql = "SELECT key, registration, verdict, result FROM cells LEFT JOIN results USING (key) ORDER BY id"
        yield from self._rows(sql)

    def attempt_texts(self) -> Iterator[AttemptTexts]:
        """Every attempt, by key and number."""
        for row in self._rows(f"{_ATTEMPTS} ORDER BY key, number"):
            yield AttemptTexts(*row)

    def reported_outcomes(self) -> Iterator[tuple[str, str, str]]:
        """Key, phase and outcome of every report, in the order in which pytest made them."""
        yield from self._rows("SELECT key, phase, outcome FROM reports ORDER BY id")


class AttemptTexts(NamedTuple):
    """A row of ``attempts`` as stored: numbers, and JSON text."""

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


def _attempt(*row: Any) -> Attempt:
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


def _statements(batch: Batch, at: float) -> Iterator[tuple[str, list[tuple[Any, ...]], str]]:
    """Beginning, rows and end of each statement that writes a part of a batch."""
    answers = [(a.token, a.submitted, dump(a.handle) if a.handle else None) for a in batch.submitted]
    # A poll may have recorded a more complete handle by now.
    keep = "ON CONFLICT (token) DO UPDATE SET submitted = excluded.submitted, handle = coalesce(handle, excluded.handle)"
    yield "INSERT INTO submissions (token, submitted, handle)", answers, keep
    intended = batch.intended.values()
    intents = [(a.token, a.key, a.number, a.intended) for a in intended]
    yield "INSERT OR IGNORE INTO attempts", intents, ""
    yield "INSERT OR IGNORE INTO specs", [(a.token, dump(a.spec)) for a in intended if a.spec is not None], ""
    yield "INSERT OR IGNORE INTO actions", [(token, dump(action)) for token, action in batch.actions], ""
    seen = [(token, dump(observation), observation, handle) for token, observation, handle in batch.changed]
    yield "INSERT OR REPLACE INTO observations", [(token, text) for token, text, _, _ in seen], ""
    handles = [(token, dump(handle)) for token, _, _, handle in seen if handle is not None]
    replace = "ON CONFLICT (token) DO UPDATE SET handle = excluded.handle"
    yield "INSERT INTO submissions (token, handle)", handles, replace
    # An end is never replaced; earlier observations are.
    history = [(token, at, text) for token, text, now, _ in seen if now.phase is not Phase.ENDED]
    yield "INSERT INTO history", history, ""
    ends = [(token, dump(outcome)) for token, outcome in batch.ended]
    yield f"INSERT OR {'IGNORE' if batch.is_foreign else 'REPLACE'} INTO outcomes", ends, ""
    done = [(result.key, result.judgement.verdict.value, dump(result)) for result in batch.results]
    newer = ">" if batch.is_foreign else ">="
    yield "INSERT INTO results", done, _REPLACE_RESULT.format(newer=newer)
