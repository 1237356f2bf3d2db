"""The ledger's tables by version. A file of an older version is upgraded by the missing steps."""

from __future__ import annotations

import sqlite3

APPLICATION_ID = 0x434A4C31
"""Marks a SQLite file as a ledger (``CJL1``)."""

# One table per kind of fact: facts are only added or replaced, many at a time, with the same statement.
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
    # An expectation of any reason has its own keyword.
    """
    UPDATE cells SET registration = json_set(registration, '$.cell.expect.reasons', json('["any"]'))
    WHERE json_type(registration, '$.cell.expect.reasons') = 'null';
    """,
)
"""Statements that create version 1, upgrade version 1 to version 2, and so on. Released steps never
change."""

SCHEMA_VERSION = len(_STEPS)


class NotALedger(Exception):
    """The file is not a ledger, or needs a newer version. The message says which."""


def check(db: sqlite3.Connection) -> int:
    """The version of a file; 0 for an empty file. Writes nothing. Raises NotALedger, sqlite3.Error."""
    (found,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if found != APPLICATION_ID and (found or version or tables):
        raise NotALedger("a SQLite file, but not a ledger of pytest-clusterjobs")
    if version > SCHEMA_VERSION:
        raise NotALedger(f"written by a newer pytest-clusterjobs (ledger version {version})")
    return int(version)


def upgrade(db: sqlite3.Connection) -> None:
    """Upgrade a file to SCHEMA_VERSION, in the caller's transaction. Raises NotALedger, sqlite3.Error."""
    # Check again: another process may have upgraded it while this one waited for the lock.
    version = check(db)
    for step in _STEPS[version:]:
        for statement in step.split(";"):
            db.execute(statement)
    if version < SCHEMA_VERSION:
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
