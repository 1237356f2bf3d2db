"""pytest on a terminal, as text: a pseudo-terminal and an emulator of what stands on it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import sys
import termios
import time
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path

import pyte

DRAWN = b"\x1b8"
"""What ends each drawing of the status line."""

STATUS = re.compile(r"clusterjobs: \d+ (queued|pending|running|ended)")

OFTEN = """
import pytest_clusterjobs.plugin.status_line as status
import pytest_clusterjobs.plugin.completion_order as order
import pytest_clusterjobs.plugin.single_process as single

status.LIVE_INTERVAL_SECONDS = status.QUIET_INTERVAL_SECONDS = 0.0
order.TICK_SECONDS = single.TICK_SECONDS = 0.05
"""
"""A conftest that has the status line drawn whenever pytest waits."""


@dataclass
class Session:
    """What was on the screen in the course of a session."""

    code: int
    data: bytes
    final: list[str]
    """The screen in the end."""
    drawn: list[list[str]] = field(default_factory=list)
    """The screen whenever a status line had been drawn."""

    @property
    def text(self) -> str:
        return "\n".join(self.final)

    def row(self, beginning: str) -> str:
        """The only row that begins like this."""
        (found,) = (row for row in self.final if row.startswith(beginning))
        return found


class Terminal:
    """A terminal of a size."""

    def __init__(self, columns: int = 80, rows: int = 200) -> None:
        self.columns, self.rows = columns, rows
        self.screen = pyte.HistoryScreen(columns, rows, history=10_000)
        self._stream = pyte.ByteStream(self.screen)
        self._data = b""
        self._drawn: list[list[str]] = []

    def run(
        self,
        folder: Path,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        meanwhile: Callable[[Terminal, int, int], None] = lambda terminal, pid, draws: None,
    ) -> Session:
        """Run pytest; ``meanwhile(self, pid, number)`` is called after each drawing of the status line."""
        known = {
            name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "NO_COLOR"))
        }
        known |= {"TERM": "xterm-256color", **(environment or {})}
        for name in ("CI", "BUILD_NUMBER", "COLUMNS", "LINES", "PY_COLORS"):
            known.pop(name, None)
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
        pid, self.fd = pty.fork()
        if pid == 0:
            os.chdir(folder)
            os.execve(sys.executable, command, known)
        self.resize(self.columns, self.rows)
        until = time.monotonic() + 120
        while time.monotonic() < until:
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                break
            if not data:
                break
            self._feed(data, lambda: meanwhile(self, pid, len(self._drawn)))
        _, status = os.waitpid(pid, 0)
        os.close(self.fd)
        return Session(os.waitstatus_to_exitcode(status), self._data, self.shown(), self._drawn)

    def _feed(self, data: bytes, after: Callable[[], None]) -> None:
        self._data += data
        pieces = data.split(DRAWN)
        for number, piece in enumerate(pieces):
            last = number == len(pieces) - 1
            self._stream.feed(piece if last else piece + DRAWN)
            if not last:
                self._drawn.append(self.shown())
                after()

    def shown(self) -> list[str]:
        """The rows down to the last that is not empty, with those that have left the screen."""
        gone = ["".join(row[at].data for at in range(self.columns)) for row in self.screen.history.top]
        rows = [row.rstrip() for row in [*gone, *self.screen.display]]
        while rows and not rows[-1]:
            rows.pop()
        return rows

    def resize(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.resize(rows, columns)

    def type(self, keys: bytes) -> None:
        os.write(self.fd, keys)


def assert_apart(session: Session, *, least: int = 2) -> None:
    """The status line stood below all else whenever it was drawn, changed nothing of it, and is gone."""
    assert len(session.drawn) >= least
    assert not [row for row in session.final if STATUS.search(row)]
    for rows in session.drawn:
        *above, status = rows
        assert STATUS.match(status), rows
        begin = next(number for number, row in enumerate(above) if row.startswith("collected"))
        for then, now in zip(above[begin:], session.final[begin:], strict=False):
            assert now.startswith(then), rows
