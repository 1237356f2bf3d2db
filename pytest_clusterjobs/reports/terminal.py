"""The summary printed when the jobs have ended: a table, and the paths of the full reports."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path

import pytest

from ..model import Phase
from ..model import Reason
from ..model import Verdict
from ..model.notation import format_duration
from ..model.tables import COLUMN_GAP_CHARACTERS
from ..model.tables import column_widths
from ..model.text import printable
from ..model.text import unbroken
from .json_report import CellLine
from .place import STDOUT
from .verdicts import colour_of
from .verdicts import FAILURES

MAX_TABLE_ROWS = 50
"""The most rows of the summary table; for a larger run it has only the cells that did not pass."""

_COLUMNS = ["job", "recipe", "nodes", "condition", "status", "reason", "exit", "restarts", "queue", "run"]

_OPTIONAL_COLUMNS = ["restarts", "queue", "run", "job", "exit"]
"""The columns that a narrow terminal does not show; the first is left out first."""

_VERDICTS = frozenset(map(str, Verdict))

_XFAIL_OUTCOMES = ("xfailed", "xpassed")
"""pytest's outcomes for an xfail mark, which already describe the job's end."""

_LIMITS = {Reason.HEARTBEAT_TIMEOUT, Reason.MAX_RUNTIME_REACHED}

_ORDER = [*map(str, Verdict), "xfailed", "xpassed", "skipped", "pending"]
"""The order of the outcomes in a tally; those of other plugins follow."""


@dataclass(frozen=True, slots=True)
class EndRow:
    """One line of the table."""

    texts: Mapping[str, str]
    """By column."""
    colours: Mapping[str, str]
    """pytest's colour names by column; other columns have no colour."""


def tally(lines: Iterable[CellLine]) -> dict[str, int]:
    """The number of cells per status in the table: a verdict, or else pytest's outcome."""
    found = Counter(map(_status, lines))
    return {status: found[status] for status in dict.fromkeys([*_ORDER, *found]) if found[status]}


def format_tally(counts: Mapping[str, int]) -> str:
    """A tally as text: ``3 passed, 1 failed``."""
    return ", ".join(f"{n} {'errors' if name == 'error' and n > 1 else name}" for name, n in counts.items())


def rows_of(lines: Collection[CellLine]) -> list[EndRow]:
    """The table's rows, from the ledger's texts; for a large run only what did not pass, failures first."""
    if len(lines) > MAX_TABLE_ROWS:
        not_passed = [line for line in lines if _status(line) != Verdict.PASSED]
        lines = sorted(not_passed, key=lambda line: line.verdict not in FAILURES)[:MAX_TABLE_ROWS]
    return [_row(line) for line in lines]


def _row(line: CellLine) -> EndRow:
    axes: Mapping[str, str] = json.loads(line.registration)["cell"]["axes"]
    result = json.loads(line.result) if line.result else {}
    outcome = result.get("outcome") or {}
    job = _job(line)
    times = outcome.get("times") or job.times
    until = None if result else time.time()
    reason = outcome.get("reason") or job.native_reason or "-"
    status = _status(line)
    colours = {"status": colour_of(status)}
    if line.verdict is None:
        status += f", job {'ended' if result else job.phase}"
    elif line.judged not in (None, line.verdict) and status not in _XFAIL_OUTCOMES:
        status += f", job {line.judged}"
    if (number := result.get("attempt", job.attempt)) > 1:
        status += f", attempt {number}"
    begun = times.get("started")
    texts = {
        "job": result.get("job_id") or job.id or "-",
        "recipe": axes["recipe"],
        "nodes": axes["nodes"],
        "condition": "-".join([axes["condition"], *list(axes.values())[3:]]),
        "status": status,
        "reason": reason,
        "exit": _number(outcome.get("exit_code")),
        "restarts": _number(outcome.get("restarts")),
        "queue": _duration(times.get("submitted"), begun or times.get("ended") or until),
        "run": _duration(begun, times.get("ended") or until),
    }
    if reason in _LIMITS and line.verdict == Verdict.PASSED:
        colours["reason"] = "yellow"
    return EndRow({name: printable(text, 40) for name, text in texts.items()}, colours)


@dataclass(frozen=True, slots=True)
class _Job:
    """The cluster's information about a cell's last job."""

    id: str | None = None
    attempt: int = 1
    phase: str = "not submitted"
    native_reason: str = ""
    times: Mapping[str, float | None] = field(default_factory=dict)


def _job(line: CellLine) -> _Job:
    if not line.attempts:
        return _Job()
    last = line.attempts[-1]
    seen = json.loads(last.observation) if last.observation else {}
    phase = seen.get("phase", "submitted" if last.handle else "not submitted")
    return _Job(
        json.loads(last.handle).get("job_id") if last.handle else None,
        last.number,
        "queued" if phase == Phase.PENDING else phase,
        seen.get("native_reason") or "",
        {"submitted": last.submitted, **(seen.get("times") or {})},
    )


def _status(line: CellLine) -> str:
    """The cell's status: its verdict, or else pytest's outcome."""
    if line.verdict is None:
        return "pending"
    reported = line.reported
    if reported is None or reported == "passed" or reported in _VERDICTS:
        return line.verdict
    return reported


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)


def _duration(begin: float | None, end: float | None) -> str:
    return format_duration(None if begin is None or end is None else end - begin)


def write_summary(
    reporter: pytest.TerminalReporter,
    rows: list[EndRow],
    counts: Mapping[str, int] | None,
    run_id: str,
    notes: list[str],
) -> None:
    """Write the table, the tally of all cells (None if there was no time for one), and the reports' paths.

    In quiet mode there is no table.
    """
    # pytest has already ended its last line, and would end it again before the first line written here.
    reporter.currentfspath = None
    writer = reporter.config.get_terminal_writer()
    if reporter.verbosity >= 0 and counts:
        reporter.section("cluster jobs", sep="=")
        if rows:
            # Output that is not a terminal has no width limit.
            _write_table(reporter, rows, writer.fullwidth if reporter.isatty() else sys.maxsize)
        hidden = sum(counts.values()) - len(rows)
        if hidden > 0:
            reporter.write_line(f"... and {hidden} more")
    verdicts = "cut short" if counts is None else format_tally(counts) or "no cells"
    reporter.write_line(unbroken(f"run {run_id}: {verdicts}"))
    for note in notes:
        reporter.write_line(unbroken(note))


def _write_table(reporter: pytest.TerminalReporter, rows: list[EndRow], width: int) -> None:
    writer = reporter.config.get_terminal_writer()
    table = [EndRow({name: name for name in _COLUMNS}, {}), *rows]
    widths = column_widths([[row.texts[name] for name in _COLUMNS] for row in table])
    rooms = {name: COLUMN_GAP_CHARACTERS + width for name, width in zip(_COLUMNS, widths, strict=True)}
    for name in _OPTIONAL_COLUMNS:
        if sum(rooms.values()) - COLUMN_GAP_CHARACTERS > width:
            del rooms[name]
    last = list(rooms)[-1]
    for row in table:
        left = width
        for name, room in rooms.items():
            text = row.texts[name][:left]
            colour = row.colours.get(name)
            writer.write(text, **({colour: True} if colour else {}))
            writer.write("\n" if name == last else " " * min(room - len(text), left - len(text)))
            left = max(0, left - room)


def location_of(path: Path, start: Path) -> str:
    """The shortest form of ``path`` for output read in the folder ``start``."""
    if path == STDOUT:
        return "stdout"
    return str(path.relative_to(start)) if path.is_relative_to(start) else str(path)
