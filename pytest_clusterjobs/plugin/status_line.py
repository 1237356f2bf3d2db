"""The status line: the progress of the jobs, kept separate from all other terminal output."""

from __future__ import annotations

import io
import os
import sys
import threading
import time
from collections.abc import Callable
from collections.abc import Mapping
from contextlib import AbstractContextManager
from contextlib import ExitStack
from contextlib import nullcontext
from typing import Any
from typing import TypeVar

import pytest

from ..engine.host import Run
from ..model.text import printable
from .compat import terminal_of

LIVE_INTERVAL_SECONDS = 1.0
"""The least number of seconds between two status lines on a terminal."""

QUIET_INTERVAL_SECONDS = 60.0
"""The same where a line cannot be erased, as in CI logs."""

_ERASE = "\x1b[J"
"""Erase from the cursor to the end of the screen, where only the status line is."""

_BELOW = "\x1bD\x1b[A\x1b7\x1b[B\r\x1b[?7l"
"""Ensure that there is a row below the cursor, save the cursor, and move there; long lines are cut."""

_BACK = "\x1b[?7h\x1b8"

T = TypeVar("T")


class Progress:
    """Shows the progress of a run's jobs while pytest waits for them."""

    def __init__(self, config: pytest.Config, run: Run) -> None:
        self._run = run
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        self._line = StatusLine(config, reporter) if reporter and reporter.verbosity >= 0 else None
        self._shown_at = time.monotonic()

    def tick(self) -> None:
        """Show the progress if it is due. May be called from any thread."""
        if self._line is None:
            return
        now = time.monotonic()
        if now - self._shown_at < (LIVE_INTERVAL_SECONDS if self._line.is_live else QUIET_INTERVAL_SECONDS):
            return
        self._shown_at = now
        counts = self._run.engine.counts()
        if any(counts.values()):
            self._line.show(self._text(counts))

    def until(self, look: Callable[[], T | None]) -> T:
        """Call ``look``, which waits briefly, until it returns a value; show the line meanwhile."""
        try:
            while (found := look()) is None:
                self.tick()
            return found
        finally:
            self.clear()

    def suspended(self) -> AbstractContextManager[object]:
        """Show nothing in the block, so that the output of another thread is not interrupted."""
        return nullcontext() if self._line is None else self._line.lock

    def clear(self) -> None:
        """Erase the line, before a test that may write to the terminal without going through Python."""
        if self._line is not None:
            self._line.clear()

    def close(self) -> None:
        """Erase the line, and do not show it again."""
        if self._line is not None:
            self._line.close()

    def _text(self, counts: Mapping[str, int]) -> str:
        text = "clusterjobs: " + ", ".join(f"{number} {name}" for name, number in counts.items() if number)
        for name, api_error in self._run.engine.api_errors.items():
            text += f"; {name} does not answer: {printable(api_error, 120)}"
        for name, error in self._run.engine.refusals.items():
            text += f"; {name} is not accepting submissions: {printable(error, 120)}"
        return text


class StatusLine:
    """A line below the cursor of a terminal; elsewhere an ordinary line of output.

    On a terminal the cursor does not move, so that pytest and tests can continue a line that is half
    written. Any write to the terminal through Python erases the status line first.
    """

    def __init__(self, config: pytest.Config, reporter: Any) -> None:
        self._reporter = reporter
        self._writer, self._stream = terminal_of(config)
        self.lock = threading.RLock()
        self._undo = ExitStack()
        self._shown = self._closed = False
        self._last = "\n"
        """The last character written to the terminal, if known."""
        # Workers write to the same terminal, which this process does not see.
        unseen = config.option.capture == "no" and config.pluginmanager.hasplugin("dsession")
        self.is_live = self._stream.isatty() and os.environ.get("TERM") != "dumb" and not unseen
        self._write: Callable[[str], object] = self._stream.write
        for stream in {id(each): each for each in (self._stream, sys.stdout, sys.stderr)}.values():
            if _is_same_file(stream, self._stream):
                self._watch(stream)

    def _watch(self, stream: Any) -> None:
        """Erase the line before each write to ``stream``."""
        write = stream.write

        def watched(text: str) -> object:
            with self.lock:
                self._erase()
                self._last = text[-1:] or self._last
                return write(text)

        try:
            stream.write = watched
        except AttributeError:
            # Writes to that stream are not seen, so do not show a line that would have to be erased.
            self.is_live = False
        else:
            self._undo.callback(_restore, stream, watched, write)

    def show(self, text: str) -> None:
        """Replace the line that is shown with this text."""
        with self.lock:
            if self._closed:
                return
            if self.is_live:
                self._draw(text)
            else:
                self._print(text)

    def _draw(self, text: str) -> None:
        width = self._writer.fullwidth
        at = self._writer.width_of_current_line
        # A cursor behind the last column, or before other text, cannot be restored exactly.
        if self._last == "\r" or (at and at % width == 0):
            self._erase()
            return
        encoding = self._stream.encoding or "ascii"
        shown = text[: width - 1].encode(encoding, "backslashreplace").decode(encoding)
        self._write(f"{_ERASE if self._shown else ''}{_BELOW}{shown}{_BACK}")
        self._stream.flush()
        self._shown = True

    def _print(self, text: str) -> None:
        self._reporter.ensure_newline()
        if self._last != "\n":
            self._writer.line()
        self._writer.line(text)
        self._writer.flush()

    def clear(self) -> None:
        """Erase the line."""
        with self.lock:
            self._erase()

    def _erase(self) -> None:
        if self._shown:
            self._shown = False
            self._write(_ERASE)
            self._stream.flush()

    def close(self) -> None:
        """Erase the line, and do not show it again."""
        with self.lock:
            self._closed = True
            self._erase()
            self._undo.close()


def _is_same_file(one: Any, other: Any) -> bool:
    try:
        return one is other or os.path.sameopenfile(one.fileno(), other.fileno())
    except (AttributeError, io.UnsupportedOperation, OSError, ValueError):
        return False


def _restore(stream: Any, watched: object, write: object) -> None:
    if stream.write is watched:
        stream.write = write
