"""``clusterjobs rejudge``: judge a stored run again."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import click

from ..backends.protocol import Backend
from ..backends.protocol import BackendError
from ..backends.registry import SiteError
from ..engine.rejudge import rejudge as judge_again
from ..engine.rejudge import Rejudged
from ..engine.secrets import Secrets
from ..matrix import load_matrix
from ..matrix import MatrixErrors
from ..model import Cell
from ..model import Verdict
from ..model.records import Attempt
from ..model.records import Registration
from ..model.records import Result
from ..model.text import counted
from ..model.text import one_line
from ..reports.verdicts import colour_of
from .errors import CommandError
from .errors import EXIT_NOT_PASSED
from .options import as_json
from .options import pass_project
from .options import run_argument
from .output import emit
from .output import note
from .output import row
from .output import say
from .output import table
from .project import Backends
from .project import open_run
from .project import OpenRun
from .project import Project


@dataclass(frozen=True, slots=True)
class RejudgedCell:
    """A cell with its old and its new verdict."""

    key: str
    was: str | None
    now: Rejudged | None
    note: str = ""

    @property
    def verdict(self) -> str | None:
        """The new verdict."""
        return None if self.now is None else str(self.now.judgement.verdict)

    @property
    def misses(self) -> list[dict[str, str]]:
        """What is unmet in the new judgement."""
        found = self.now.judgement.misses if self.now is not None else ()
        return [{"field": miss.field, "expected": miss.expected, "seen": miss.seen} for miss in found]


@click.command()
@run_argument
@click.option(
    "--with-todays-file", is_flag=True, help="Judge by the matrix as it is now, not as it was at the launch."
)
@as_json
@pass_project
def rejudge(project: Project, run: str | None, with_todays_file: bool, as_json: bool) -> None:
    """Judge the recorded outcomes of a run again, without running anything or changing the run.

    Fixtures, hooks and marks of a session are not applied. Exit code 1 unless every cell passes.
    """
    with open_run(project.pick(run)) as opened, Backends(opened, project) as backends:
        cells = _current_cells(project, opened) if with_todays_file else None
        lines = _lines(opened, backends, cells)
    _print(opened, lines, as_json)
    if any(line.verdict != Verdict.PASSED for line in lines):
        raise SystemExit(EXIT_NOT_PASSED)


def _current_cells(project: Project, run: OpenRun) -> dict[str, Cell]:
    """Every cell that the run's matrices have today, by key. Raises CommandError."""
    root, site = project.rootdir, project.site()
    backend = (run.meta.get("environment") or {}).get("backend")
    cells: dict[str, Cell] = {}
    # Jobs that a test submitted from Python are not in a matrix.
    for path in dict.fromkeys(entry.path for entry in run.registrations() if entry.test is None):
        try:
            matrix = load_matrix(root / path, rootdir=root, site=site, backend=backend)
        except MatrixErrors as errors:
            first = str(errors.problems[0]).splitlines()[0]
            more = counted(len(errors.problems) - 1, "more error")
            message = f"{first} (and {more})" if len(errors.problems) > 1 else first
            raise CommandError(message) from errors
        cells.update((f"{path}::{cell.id}", cell) for cell in matrix.cells)
    return cells


def _lines(run: OpenRun, backends: Backends, cells: dict[str, Cell] | None) -> list[RejudgedCell]:
    results, secrets = run.ledger.results(), run.secrets
    attempts = {attempt.key: attempt for attempt in run.ledger.attempts()}
    lines = []
    for entry in run.registrations():
        result, attempt = results.get(entry.key), attempts.get(entry.key)
        cell = entry.cell if cells is None else cells.get(entry.key)
        if result is None:
            lines.append(RejudgedCell(entry.key, None, None, "no outcome was recorded"))
        elif cell is None:
            verdict = result.judgement.verdict
            lines.append(RejudgedCell(entry.key, verdict, None, "the matrix no longer has this cell"))
        else:
            lines.append(_line(entry, cell, attempt, result, backends, secrets))
    return lines


def _line(
    entry: Registration,
    cell: Cell,
    attempt: Attempt | None,
    result: Result,
    backends: Backends,
    secrets: Secrets,
) -> RejudgedCell:
    backend: Backend | None = None
    if cell.expect.needs_logs or cell.classify.needs_logs:
        with suppress(BackendError, SiteError):
            backend = backends(entry.cell.backend)
    now = judge_again(entry, cell, attempt, result, backend, secrets)
    note = "its logs cannot be read to their end" if now.logs_missing else ""
    return RejudgedCell(entry.key, result.judgement.verdict, now, note)


def _print(run: OpenRun, lines: list[RejudgedCell], as_json: bool) -> None:
    if as_json:
        emit([_as_dict(line) for line in lines])
        return
    table(["cell", "was", "is", "unmet"], [row(*_texts(line), colour=_colour(line)) for line in lines])
    changed = sum(line.was != line.verdict for line in lines)
    say(f"run {run.run_id}: {counted(len(lines), 'cell')}, {changed} changed")
    for line in lines:
        if line.note:
            note(f"{line.key}: {line.note}")


def _as_dict(line: RejudgedCell) -> dict[str, Any]:
    reason = line.now.outcome.reason if line.now is not None else None
    return {
        "key": line.key,
        "was": line.was,
        "is": line.verdict,
        "reason": reason,
        "misses": line.misses,
        "note": line.note,
    }


def _texts(line: RejudgedCell) -> tuple[object, ...]:
    unmet = [f"{one_line(each['field'], 60)}: {one_line(each['seen'], 60)}" for each in line.misses]
    return line.key.rpartition("::")[2], line.was, line.verdict, ", ".join(unmet) or None


def _colour(line: RejudgedCell) -> str:
    return colour_of(line.verdict) if line.verdict != line.was else ""
