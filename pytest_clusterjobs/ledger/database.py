"""The file of a ledger: opens it as its file system allows, upgrades it, and reports errors in one line."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from contextlib import suppress
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any
from typing import TypeVar

from ..model.batches import batched
from ..model.paths import is_still_at
from . import journal_mode
from .codec import Damaged
from .migrations import check
from .migrations import NotALedger
from .migrations import SCHEMA_VERSION
from .migrations import upgrade

T = TypeVar("T")

LOCK_TIMEOUT_SECONDS = 30.0
"""The longest wait for another process that has locked the file."""

SHUTDOWN_LOCK_TIMEOUT_SECONDS = 3.0
"""The same after ``shorten_waits``, for all calls together."""

BUSY_TIMEOUT_SECONDS = 0.25
"""The longest wait inside SQLite. Ctrl-C and ``shorten_waits`` take effect between two such waits."""

MAX_VARIABLES = 900
"""The most values in one statement; SQLite before 3.32 allows 999."""


class LedgerError(Exception):
    """The ledger cannot be read or written. The message is one line that names the file."""


class LedgerGone(LedgerError):
    """The file is no longer where it was opened, so that writes would be lost."""


class Database:
    """A ledger's file, open in this process. Every method may be called from any thread.

    ``lock_timeout``: seconds to wait for a process that has locked it (LOCK_TIMEOUT_SECONDS). Raises
    LedgerError if the file cannot be read or written.
    """

    def __init__(self, path: Path, lock_timeout: float | None = None) -> None:
        self.path = path
        self._kind: str | None = None
        self._lock = threading.RLock()
        self._lock_timeout = LOCK_TIMEOUT_SECONDS if lock_timeout is None else lock_timeout
        self._until = inf
        with self._convert_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._kind = journal_mode.file_system(path.parent)
            self._retry_while_locked(self._open)

    def shorten_waits(self) -> None:
        """From now on wait at most SHUTDOWN_LOCK_TIMEOUT_SECONDS for locks, in all threads together."""
        self._until = monotonic() + SHUTDOWN_LOCK_TIMEOUT_SECONDS

    def check_place(self) -> None:
        """Raise LedgerGone if the file was removed, moved or replaced since it was opened."""
        if self._file is not None and not is_still_at(self.path, self._file):
            raise LedgerGone(f"{self.path}: removed or moved during the run; its jobs are cancelled")

    def _retry_while_locked(self, do: Callable[[], T]) -> T:
        """Retry while another process has locked the file."""
        begin = monotonic()
        while True:
            try:
                return do()
            except sqlite3.OperationalError as error:
                until = min(begin + self._lock_timeout, self._until)
                if not journal_mode.is_busy(error) or monotonic() >= until:
                    raise

    @contextmanager
    def _convert_errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, NotALedger, Damaged) as error:
            # Name the file system: only its administrator can fix what it does not support.
            where = "" if self._kind in (None, *journal_mode.LOCAL) else f" (on a {self._kind} file system)"
            message = getattr(error, "strerror", None) or error
            raise LedgerError(f"{self.path}: {message}{where}") from error

    def _open(self) -> None:
        self._db = sqlite3.connect(
            self.path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            self._prepare()
            # With O_PATH, because closing any other descriptor of the file would release SQLite's locks.
            self._file = None if str(self.path) == ":memory:" else os.open(self.path, os.O_PATH)
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> None:
        is_local = self._kind in journal_mode.LOCAL
        if not is_local:
            journal_mode.avoid_shared_memory(self._db)
        with self._begin("DEFERRED") as db:
            version = check(db)
        if is_local:
            journal_mode.use_write_ahead_log(self._db)
        else:
            journal_mode.use_rollback_journal(self._db)
        if version < SCHEMA_VERSION:
            with self._begin("IMMEDIATE") as db:
                upgrade(db)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._convert_errors():
            self.check_place()
            with self._begin("IMMEDIATE") as db:
                yield db

    @contextmanager
    def _begin(self, kind: str) -> Iterator[sqlite3.Connection]:
        self._retry_while_locked(lambda: self._db.execute(f"BEGIN {kind}"))
        try:
            yield self._db
            self._retry_while_locked(lambda: self._db.execute("COMMIT"))
        except BaseException:
            # A full disk makes SQLite roll back by itself; its own error is the one to report.
            if self._db.in_transaction:
                with suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
            raise

    def _rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._lock, self._convert_errors():
            return self._retry_while_locked(lambda: self._db.execute(sql, values).fetchall())

    def _read(self, convert: Callable[..., T], sql: str, *values: Any) -> list[T]:
        rows = self._rows(sql, *values)
        with self._convert_errors():
            return [convert(*row) for row in rows]

    def close(self) -> None:
        """Close the file. The ledger cannot be used afterwards."""
        with self._lock:
            self._db.close()
            if self._file is not None:
                os.close(self._file)
                self._file = None


def insert(db: sqlite3.Connection, head: str, rows: Sequence[tuple[Any, ...]], tail: str = "") -> None:
    """Insert rows with as few statements as possible.

    Each statement releases Python's global lock and has to get it back from the tests that run meanwhile.
    One statement per row would cost more than the rest of the engine.
    """
    if not rows:
        return
    width = len(rows[0])
    mark = f"({', '.join('?' * width)})"
    for batch in batched(rows, MAX_VARIABLES // width):
        marks = ", ".join([mark] * len(batch))
        db.execute(f"{head} VALUES {marks} {tail}", [value for row in batch for value in row])
