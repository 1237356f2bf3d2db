"""What a person sees: a line while jobs run, and a table when they have ended."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Collection
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ..engine.host import Run
from ..jobs import Reason
from ..jobs import Verdict
from ..judge import printable
from ..judge.text import harmless
from .place import STDOUT
from .sidecar import CellLine

QUIET_EVERY = 60.0
"""Seconds between two status lines where lines cannot be rewritten, as in CI logs."""

TABLE_LIMIT = 200
"""Rows of the summary table; cells that passed are left out first."""

_COLUMNS = ["job", "recipe", "nodes", "condition", "status", "reason", "exit", "restarts", "queue", "run"]

_VERDICTS = frozenset(map(str, Verdict))

_BY_MARK = ("xfailed", "xpassed")
"""pytest's words for what a mark expects: they say what became of the job."""

_LIMITS = {Reason.HEARTBEAT_TIMEOUT, Reason.MAX_RUNTIME_REACHED}


class Progress:
    """The status line: rewritten in place on a terminal, once a minute elsewhere."""

    def __init__(self, config: pytest.Config, run: Run) -> None:
        self._run = run
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        self._reporter: Any = reporter if reporter is not None and reporter.verbosity >= 0 else None
        self._live = self._reporter is not None and sys.__stdout__ is not None and sys.__stdout__.isatty()
        self._shown_at = time.monotonic()
        self._width = 0

    def tick(self) -> None:
        """Show how far the jobs are, if it is time."""
        if self._reporter is None:
            return
        now = time.monotonic()
        if now - self._shown_at < (1.0 if self._live else QUIET_EVERY):
            return
        self._shown_at = now
        text = self._text()
        if self._live:
            self._reporter.ensure_newline() if not self._width else None
            self._reporter.rewrite(text.ljust(self._width))
            self._width = len(text)
        else:
            self._reporter.ensure_newline()
            self._reporter.write_line(text)

    def clear(self) -> None:
        """Take a live line away."""
        if self._live and self._width:
            self._reporter.rewrite(" " * self._width)
            self._reporter.rewrite("")
            self._width = 0

    def _text(self) -> str:
        counts = self._run.engine.counts()
        text = "clusterjobs: " + ", ".join(f"{number} {name}" for name, number in counts.items() if number)
        for name, trouble in self._run.engine.trouble.items():
            text += f"; {name} does not answer: {printable(trouble, 120)}"
        for name, words in self._run.engine.refusals.items():
            text += f"; {name} takes no more for now: {printable(words, 120)}"
        return text


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    texts: tuple[str, ...]
    colour: str


def rows_of(lines: Collection[CellLine]) -> list[Row]:
    """The table's rows, from the ledger's texts; of a large run those that did not pass first."""
    if len(lines) > TABLE_LIMIT:
        lines = sorted(lines, key=lambda line: line.verdict == Verdict.PASSED)[:TABLE_LIMIT]
    return [_row(line) for line in lines]


def _row(line: CellLine) -> Row:
    axes: Mapping[str, str] = json.loads(line.registration)["cell"]["axes"]
    result = json.loads(line.result) if line.result else {}
    outcome = result.get("outcome") or {}
    times = outcome.get("times") or {}
    status = _status(line)
    colour = _colour(status, outcome.get("reason") or "-")
    if line.verdict is not None and line.judged not in (None, line.verdict) and status not in _BY_MARK:
        status += f", job {line.judged}"
    if result.get("attempt", 1) > 1:
        status += f", attempt {result['attempt']}"
    texts = (
        result.get("job_id") or "-",
        axes["recipe"],
        axes["nodes"],
        "-".join([axes["condition"], *list(axes.values())[3:]]),
        status,
        outcome.get("reason") or "-",
        _number(outcome.get("exit_code")),
        _number(outcome.get("restarts")),
        _seconds(times.get("submitted"), times.get("started") or times.get("ended")),
        _seconds(times.get("started"), times.get("ended")),
    )
    return Row(tuple(printable(text, 40) for text in texts), colour)


def _status(line: CellLine) -> str:
    """The cell in one word: pytest's where it is none of the verdicts."""
    if line.verdict is None:
        return "pending"
    said = line.reported
    return said if said is not None and said != "passed" and said not in _VERDICTS else line.verdict


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)


def _seconds(begin: float | None, end: float | None) -> str:
    return "-" if begin is None or end is None else f"{max(0.0, end - begin):.1f}s"


def _colour(status: str, reason: str) -> str:
    """Passed green, an expected limit yellow, errors magenta, failures red."""
    if status in ("passed", "xfailed"):
        return "yellow" if reason in _LIMITS else "green"
    return {"failed": "red", "error": "purple", "xpassed": "yellow"}.get(status, "yellow")


def write_summary(
    reporter: pytest.TerminalReporter,
    rows: list[Row],
    counts: Mapping[str, int],
    run_id: str,
    notes: list[str],
) -> None:
    """The table and where the whole story is; in quiet mode only the latter."""
    if reporter.verbosity >= 0 and rows:
        reporter.section("cluster jobs", sep="=")
        for row in _laid_out(rows):
            reporter.write_line(row[0], **({row[1]: True} if row[1] else {}))
        hidden = counts.get("selected", 0) - len(rows)
        if hidden > 0:
            reporter.write_line(f"... and {hidden} more")
    shown = ", ".join(
        _counted(name, number) for name, number in counts.items() if number and name != "selected"
    )
    reporter.write_line(f"run {run_id}: {shown or ('no cells' if counts else 'cut short')}")
    for note in notes:
        reporter.write_line(harmless(note))


def _counted(name: str, number: int) -> str:
    words = name.replace("_", " ")
    return f"{number} {words}s" if name == "error" and number > 1 else f"{number} {words}"


def _laid_out(rows: list[Row]) -> list[tuple[str, str]]:
    widths = [max(map(len, column)) for column in zip(_COLUMNS, *(row.texts for row in rows), strict=True)]
    lines = [("  ".join(name.ljust(width) for name, width in zip(_COLUMNS, widths, strict=True)), "")]
    for row in rows:
        texts = "  ".join(text.ljust(width) for text, width in zip(row.texts, widths, strict=True))
        lines.append((texts.rstrip(), row.colour))
    return lines


def location_of(path: Path, start: Path) -> str:
    """``path`` as short as it can be shown to somebody in ``start``."""
    if path == STDOUT:
        return "stdout"
    return str(path.relative_to(start)) if path.is_relative_to(start) else str(path)
