"""``clusterjobs runs``: list the runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..ledger.ledger import LedgerError
from ..model import Verdict
from ..reports.json_report import cell_lines
from ..reports.json_report import summarise
from ..reports.terminal import format_tally
from ..reports.verdicts import colour_of
from .errors import CommandError
from .errors import NotFound
from .options import as_json
from .options import pass_project
from .output import clock
from .output import emit
from .output import row
from .output import table
from .project import open_run
from .project import Project


@click.command()
@click.option("--last", "-n", default=20, show_default=True, help="How many runs to list; 0 for all.")
@as_json
@pass_project
def runs(project: Project, last: int, as_json: bool) -> None:
    """List runs, the latest first."""
    folders = project.folders()
    found = [describe(folder) for folder in (folders[:last] if last > 0 else folders)]
    if as_json:
        emit(found)
    elif not found:
        raise NotFound(f"no runs in {project.home.runs}{project.hint()}")
    else:
        rows = [row(*_texts(about), colour=_colour(about)) for about in found]
        table(["run", "started", "state", "cells", "verdicts"], rows)


def describe(folder: Path) -> dict[str, Any]:
    """A short description of a run, or the reason why it cannot be read."""
    try:
        with open_run(folder) as run:
            counts = summarise(cell_lines(run.ledger))
            return {
                "run": folder.name,
                "started": run.meta["started"],
                "ended": run.meta.get("ended"),
                "state": run.state,
                "summary": counts,
                "trouble": None,
            }
    except (LedgerError, CommandError) as error:
        return {
            "run": folder.name,
            "started": None,
            "ended": None,
            "state": "unreadable",
            "summary": None,
            "trouble": str(error).removeprefix(f"{folder}/"),
        }


def format_summary(counts: dict[str, int]) -> str:
    """The verdicts of a run: ``3 passed, 1 failed``."""
    found = {name.replace("_", " "): number for name, number in counts.items() if number}
    found.pop("selected", None)
    return format_tally(found) or "no cells"


def _texts(about: dict[str, Any]) -> tuple[object, ...]:
    counts = about["summary"]
    if counts is None:
        return about["run"], None, about["state"], None, about["trouble"]
    return about["run"], clock(about["started"]), about["state"], counts["selected"], format_summary(counts)


def _colour(about: dict[str, Any]) -> str:
    counts = about["summary"]
    if counts is None or counts["error"]:
        return colour_of(Verdict.ERROR)
    if counts["failed"]:
        return colour_of(Verdict.FAILED)
    return colour_of(Verdict.PASSED if counts["passed"] == counts["selected"] else None)
