"""The real ledger on a simulated disk, shared by the processes of a history."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from ...ledger.batch import Batch
from ...ledger.codec import dump
from ...ledger.ledger import Ledger
from ...ledger.ledger import LedgerError
from ...ledger.ledger import LedgerGone
from ...model.records import Result
from .rng import Rng
from .world import World

PATH = Path("/simulated/ledger.sqlite")
MAX_FAILURES = 3
"""After so many failures in a row the engine takes the ledger for lost."""


@dataclass(slots=True)
class DiskFaults:
    """What fails on the disk of a history. Times are world time."""

    error: float = 0.0
    """How often a write fails without effect."""
    lost_answer: float = 0.0
    """How often a write that is durable is reported as failed."""
    read_error: float = 0.0
    dead_from: float = inf
    """From when on no write succeeds: the disk is full."""
    gone_from: float = inf
    """From when on the file is not there any more."""


class Disk:
    """The one database of a history. Its connection is used again by the worker's next history."""

    def __init__(self, world: World, rng: Rng, faults: DiskFaults, which: str = "ledger") -> None:
        self.world = world
        self.rng = rng
        self.faults = faults
        self.db = _fresh(which)
        self.failed: Callable[[str], None] = lambda kind: None
        """Called with the kind of each fault that has happened: ``for_good`` or ``once``."""
        self.committed: Callable[[Batch, list[Result]], None] = lambda batch, results: None
        """Called with each batch that is durable, and with those of its results that the ledger has taken."""

    def before_write(self, failures: int) -> None:
        """Raise LedgerError if this write fails, after so many failures in a row."""
        now, faults = self.world.now, self.faults
        if now >= faults.gone_from:
            self.failed("for_good")
            raise LedgerGone(f"{PATH}: removed or moved during the run; its jobs are cancelled")
        if now >= faults.dead_from:
            self.failed("for_good")
            raise LedgerError(f"{PATH}: database or disk is full")
        if faults.error and self.rng.chance(faults.error):
            self._failed(failures)
            raise LedgerError(f"{PATH}: disk I/O error")

    def after_write(self, failures: int) -> None:
        """Raise LedgerError although the write is durable, if its answer is lost."""
        if self.faults.lost_answer and self.rng.chance(self.faults.lost_answer):
            self._failed(failures)
            raise LedgerError(f"{PATH}: disk I/O error after the write")

    def _failed(self, failures: int) -> None:
        """A write has failed. The engine tries each three times."""
        self.failed("for_good" if failures + 1 >= MAX_FAILURES else "once")

    def before_read(self) -> None:
        """Raise LedgerError if this read fails."""
        if self.faults.read_error and self.rng.chance(self.faults.read_error):
            # The engine does not submit without knowing that the run is still its own.
            self.failed("for_good")
            raise LedgerError(f"{PATH}: disk I/O error")


class SimulatedLedger(Ledger):
    """One process's access to the ledger."""

    def __init__(self, disk: Disk) -> None:
        # The file's own opening is not simulated.
        self.path = PATH
        self._kind = None
        self._lock = threading.RLock()
        self._lock_timeout = 0.0
        self._until = inf
        self._file = None
        self._db = disk.db
        self._disk = disk
        self._is_inside = False
        self._is_durable = False
        self._failures = 0
        """How many writes of this process have failed in a row."""
        self.judged: Callable[[Result], None] = lambda result: None
        """Called with each result of this process that is durable, also if the answer is lost."""

    def commit(self, batch: Batch, at: float, session: int | None = None) -> None:
        """Write a batch, and report it if it is durable, also if its answer is lost."""
        self._is_durable = False
        try:
            super().commit(batch, at, session)
        finally:
            if self._is_durable:
                taken = self._taken(batch)
                self._disk.committed(batch, taken)
                for result in taken:
                    self.judged(result)

    def durable_session(self) -> int:
        """The number of the last session that was counted, also if the process was told of an error."""
        found = self._disk.db.execute("SELECT value FROM meta WHERE name = 'session'").fetchone()
        return 0 if found is None else int(found[0])

    def _taken(self, batch: Batch) -> list[Result]:
        """The results of a batch that the ledger has now; it ignores a canceller's if it has one already."""
        if not batch.is_foreign:
            return batch.results
        query = "SELECT result FROM results WHERE key = ?"
        return [
            each
            for each in batch.results
            if self._disk.db.execute(query, (each.key,)).fetchone() == (dump(each),)
        ]

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        failures, self._failures = self._failures, self._failures + 1
        self._disk.before_write(failures)
        self._is_inside = True
        try:
            with super()._transaction() as db:
                yield db
        finally:
            self._is_inside = False
        self._is_durable = True
        self._disk.after_write(failures)
        self._failures = 0

    def _rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        if not self._is_inside:
            self._disk.before_read()
        return super()._rows(sql, *values)

    def close(self) -> None:
        """The connection stays open for the other processes, and for the next history."""


def empty_ledger(world: World) -> SimulatedLedger:
    """A ledger that one process uses alone, and on which nothing fails."""
    return SimulatedLedger(Disk(world, Rng(0), DiskFaults(), "spare"))


_connections: dict[str, Ledger] = {}
_empty: list[bytes] = []


def _fresh(which: str) -> sqlite3.Connection:
    """One of this worker's connections, with an empty ledger."""
    if which not in _connections:
        _connections[which] = Ledger(Path(":memory:"))
        if not _empty:
            _empty.append(_connections[which]._db.serialize())
    db = _connections[which]._db
    if db.in_transaction:
        db.execute("ROLLBACK")
    db.deserialize(_empty[0])
    return db
