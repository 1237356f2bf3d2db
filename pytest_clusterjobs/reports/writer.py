"""Stores pytest's reports, and keeps the JSON report up to date during the run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from ..ledger.ledger import Ledger
from ..ledger.ledger import LedgerError
from ..ledger.ledger import LedgerGone
from .environment import git_state
from .json_report import cell_lines
from .json_report import CellLine
from .json_report import render
from .place import is_other_file
from .place import is_stream
from .place import JSON_REPORT
from .place import make_folder
from .place import write

MIN_WRITE_INTERVAL_SECONDS = 1.0
"""The shortest time, in seconds, between two writes of the JSON report."""

PAUSE_PER_WRITE_TIME = 20.0
"""The pause between two writes takes this many times as long as a write, which then costs 5 % of the time."""


class ReportWriter:
    """A background thread that writes reports to the ledger in batches, and the ledger to the JSON report."""

    def __init__(
        self, ledger: Ledger, path: Path | None, rootdir: Path, on_gone: Callable[[LedgerGone], None]
    ) -> None:
        self._ledger = ledger
        self._on_gone = on_gone
        self._path = path
        self._rootdir = rootdir
        self._reports: list[tuple[str, str, str, str]] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self.error: str | None = None
        """Why the JSON report could not be written; None if it could."""
        self._thread = threading.Thread(target=self._run, name="clusterjobs-reports", daemon=True)
        self._thread.start()

    def add_report(self, key: str, phase: str, outcome: str, data: str) -> None:
        """Add one of pytest's reports. It is in the ledger within about a second."""
        with self._lock:
            self._reports.append((key, phase, outcome, data))

    def close(self, left_to_reaper: int = 0) -> list[CellLine]:
        """Write everything a last time, and return the cells. Raises LedgerError."""
        self._closing.set()
        self._thread.join()
        try:
            self._ledger.set_meta(ended=time.time(), left_to_reaper=left_to_reaper)
            self._flush()
        finally:
            # A ledger that cannot be written can often still be read.
            lines = list(cell_lines(self._ledger))
            self._write(lines)
        return lines

    def _run(self) -> None:
        try:
            if self._path is not None:
                # Only once: a run's folder that is removed meanwhile is not created again.
                make_folder(self._path)
            if "git" not in self._ledger.meta():
                self._ledger.set_meta(git=git_state(self._rootdir))
            pause = 0.0
            while not self._closing.wait(max(MIN_WRITE_INTERVAL_SECONDS, pause)):
                begin = time.monotonic()
                self._ledger.check_place()
                self._flush()
                # Only the last report is written to a stream.
                if self._path is not None and not is_stream(self._path):
                    self._write(list(cell_lines(self._ledger)))
                pause = PAUSE_PER_WRITE_TIME * (time.monotonic() - begin)
        except LedgerError as error:
            self.error = str(error)
            if isinstance(error, LedgerGone):
                self._on_gone(error)

    def _flush(self) -> None:
        with self._lock:
            reports, self._reports = self._reports, []
        if reports:
            self._ledger.add_reports(reports)

    def _write(self, lines: list[CellLine]) -> None:
        if self._path is None:
            return
        if is_other_file(self._path, JSON_REPORT):
            self.error = f"cannot write {self._path}: another program has written to it meanwhile"
            return
        try:
            # On a terminal, pytest's line of dots may not have ended yet.
            begin = b"\n" if is_stream(self._path) else b""
            write(self._path, begin + render(self._ledger.meta(), lines, updated=time.time()))
            self.error = None
        except OSError as error:
            self.error = f"cannot write {self._path}: {error.strerror or error}"
