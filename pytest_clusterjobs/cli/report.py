"""``clusterjobs report``: the reports of a run, again, from its ledger."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

import click

from ..reports.sidecar import cell_lines
from ..reports.sidecar import render
from ..reports.sidecar import summarise
from ..reports.sidecar import write
from .errors import Trouble
from .options import pass_project
from .options import run_argument
from .output import note
from .output import say
from .project import open_run
from .project import OpenRun
from .project import Project
from .runs import counted


@click.command()
@run_argument
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path, dir_okay=False), help="Write the JSON report here."
)
@click.option(
    "--junit", "junit_path", type=click.Path(path_type=Path, dir_okay=False), help="Write JUnit XML here."
)
@click.option(
    "--junit-family",
    type=click.Choice(["xunit1", "xunit2"]),
    help="The form of the JUnit XML.  [default: as the project had it]",
)
@pass_project
def report(
    project: Project,
    run: str | None,
    json_path: Path | None,
    junit_path: Path | None,
    junit_family: Literal["xunit1", "xunit2"] | None,
) -> None:
    """Rebuild a run's reports from its ledger; without a path, print the JSON report.

    JUnit XML holds the run's cells; Python tests of the same session are in no ledger.
    """
    with open_run(project.pick(run)) as opened:
        lines = list(cell_lines(opened.ledger))
        text = render(opened.meta, lines, updated=time.time())
        if json_path is None and junit_path is None:
            click.echo(text, nl=False)
            return
        if json_path is not None:
            _write_json(json_path, text)
        if junit_path is not None:
            _write_junit(opened, junit_path, junit_family)
    note(f"run {opened.run_id}: {counted(summarise(lines))}")


def _write_json(path: Path, text: str) -> None:
    try:
        write(path, text)
    except OSError as error:
        raise Trouble(f"cannot write {path}: {error.strerror or error}") from error
    say(str(path))


def _write_junit(run: OpenRun, path: Path, family: str | None) -> None:
    from ..reports.replay import ReplayError
    from ..reports.replay import write_junit

    try:
        write_junit(run.ledger, path.resolve(), family=family)
    except ReplayError as error:
        raise Trouble(str(error)) from error
    say(str(path))
