"""The ledger's tables, version by version: a file of an older version gets the steps that it lacks."""

from __future__ import annotations

import sqlite3

APPLICATION_ID = 0x434A4C31
"""Marks a SQLite file as a ledger (``CJL1``)."""

# One table a fact: facts are only ever added or replaced, many at a time, by the same statement.
_STEPS = (
    """
    CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE cells (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, registration TEXT NOT NULL);
    CREATE TABLE attempts (
        token TEXT PRIMARY KEY, key TEXT NOT NULL, number INTEGER NOT NULL, intended REAL NOT NULL) WITHOUT ROWID;
    CREATE TABLE submissions (token TEXT PRIMARY KEY, submitted REAL, handle TEXT) WITHOUT ROWID;
    CREATE TABLE actions (token TEXT PRIMARY KEY, action TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE observations (token TEXT PRIMARY KEY, observation TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE outcomes (token TEXT PRIMARY KEY, outcome TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE results (key TEXT PRIMARY KEY, verdict TEXT NOT NULL, result TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE history (token TEXT NOT NULL, at REAL NOT NULL, observation TEXT NOT NULL);
    CREATE TABLE reports (
        id INTEGER PRIMARY KEY, key TEXT NOT NULL, phase TEXT NOT NULL, outcome TEXT NOT NULL, data TEXT NOT NULL);
    """,
    """
    CREATE TABLE specs (token TEXT PRIMARY KEY, spec TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE wishes (id INTEGER PRIMARY KEY, key TEXT NOT NULL, why TEXT NOT NULL);
    """,
    # An expectation of any reason has a word of its own.
    """
    UPDATE cells SET registration = json_set(registration, '$.cell.expect.reasons', json('["any"]'))
    WHERE json_type(registration, '$.cell.expect.reasons') = 'null';
    """,
)
"""Statements that make version 1 of nothing, version 2 of version 1, and so on. Released steps never change."""

SCHEMA_VERSION = len(_STEPS)


class NotOurs(Exception):
    """The file is no ledger, or one that only a newer version understands; says which."""


def check(db: sqlite3.Connection) -> int:
    """The version of a file, 0 for an empty one; nothing is written. Raises NotOurs, sqlite3.Error."""
    (found,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if found != APPLICATION_ID and (found or version or tables):
        raise NotOurs("a SQLite file, but not a ledger of pytest-clusterjobs")
    if version > SCHEMA_VERSION:
        raise NotOurs(f"written by a newer pytest-clusterjobs (ledger version {version})")
    return int(version)


def upgrade(db: sqlite3.Connection) -> None:
    """Bring a file up to SCHEMA_VERSION, inside the caller's transaction. Raises NotOurs, sqlite3.Error."""
    # Looked at again: another process may have done it while this one waited for its turn.
    version = check(db)
    for step in _STEPS[version:]:
        for statement in step.split(";"):
            db.execute(statement)
    if version < SCHEMA_VERSION:
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
