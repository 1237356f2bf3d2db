"""What a person sees when the jobs have ended: a table, and where the whole story is."""

from __future__ import annotations

import json
from collections.abc import Collection
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from ..jobs import Reason
from ..jobs import Verdict
from ..judge import printable
from ..judge.text import harmless
from .place import STDOUT
from .sidecar import CellLine

TABLE_LIMIT = 200
"""Rows of the summary table; cells that passed are left out first."""

_COLUMNS = ["job", "recipe", "nodes", "condition", "status", "reason", "exit", "restarts", "queue", "run"]

_VERDICTS = frozenset(map(str, Verdict))

_BY_MARK = ("xfailed", "xpassed")
"""pytest's words for what a mark expects: they say what became of the job."""

_LIMITS = {Reason.HEARTBEAT_TIMEOUT, Reason.MAX_RUNTIME_REACHED}


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
