"""``clusterjobs report``: rebuild the reports of a run from its ledger."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Literal

import click

from ..reports.json_report import cell_lines
from ..reports.json_report import render
from ..reports.json_report import summarise
from ..reports.place import is_other_file
from ..reports.place import is_stream
from ..reports.place import JSON_REPORT
from ..reports.place import JUNIT
from ..reports.place import make_folder
from ..reports.place import place
from ..reports.place import STDOUT
from ..reports.place import write
from .errors import CommandError
from .options import pass_project
from .options import run_argument
from .output import note
from .output import say
from .project import OpenRun
from .project import Project
from .runs import format_summary


@click.command()
@run_argument
@click.option("--json", "json_to", metavar="PATH", help="Write the JSON report to PATH; - is stdout.")
@click.option("--junit", "junit_to", metavar="PATH", help="Write JUnit XML to PATH; - is stdout.")
@click.option(
    "--junit-family",
    type=click.Choice(["xunit1", "xunit2"]),
    help="The format of the JUnit XML.  [default: the project's setting when the run began]",
)
@pass_project
def report(
    project: Project,
    run: str | None,
    json_to: str | None,
    junit_to: str | None,
    junit_family: Literal["xunit1", "xunit2"] | None,
) -> None:
    """Write the reports of a run again, from its ledger; without an option, print the JSON report.

    JUnit XML contains the cells of the run. Python tests of the same session are not in a ledger.
    """
    if json_to is None and junit_to is None:
        json_to = "-"
    json_path, junit_path = (
        None if each is None else place(each, Path.cwd()) for each in (json_to, junit_to)
    )
    if json_path is not None and json_path == junit_path:
        raise click.UsageError("--json and --junit name the same file: write a different PATH for each")

    def make(opened: OpenRun) -> None:
        lines = list(cell_lines(opened.ledger))
        json_data = render(opened.meta, lines, updated=time.time()) if json_path is not None else b""
        junit_data = _junit(opened, junit_family) if junit_path is not None else b""
        if json_path is not None:
            _write(json_path, json_data, JSON_REPORT)
        if junit_path is not None:
            _write(junit_path, junit_data, JUNIT)
        if STDOUT not in (json_path, junit_path):
            note(f"run {opened.run_id}: {format_summary(summarise(lines))}")

    project.read(run, make)


def _write(path: Path, data: bytes, kind: re.Pattern[bytes]) -> None:
    if is_other_file(path, kind):
        raise CommandError(
            f"{path} is another kind of file, and is not overwritten: remove it, or name another file"
        )
    make_folder(path)
    try:
        write(path, data)
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror or error}") from error
    if not is_stream(path):
        say(str(path))


def _junit(run: OpenRun, family: str | None) -> bytes:
    from ..plugin.junit_replay import render_junit
    from ..plugin.junit_replay import ReplayError

    try:
        return render_junit(run.ledger, family=family)
    except ReplayError as error:
        raise CommandError(str(error)) from error
