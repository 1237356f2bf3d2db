"""Arguments that several commands share, and what a shell may complete them to."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any
from typing import TypeVar

import click

from ..engine.ledger import LedgerError
from .errors import Trouble
from .project import find_project
from .project import open_run
from .project import Project

Command = TypeVar("Command", bound=Callable[..., Any])

pass_project = click.make_pass_decorator(Project)


def _project(context: click.Context) -> Project:
    found = context.find_object(Project)
    return found if found is not None else find_project(None)


def _runs(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    return [path.name for path in _project(context).folders() if path.name.startswith(incomplete)]


def _cells(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    with suppress(Trouble, LedgerError):
        folder = _project(context).pick(context.params.get("run"))
        with open_run(folder) as run:
            ids = [entry.cell.id for entry in run.registrations()]
            return [name for name in ids if name.startswith(incomplete)]
    return []


def as_json(command: Command) -> Command:
    """``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def run_argument(command: Command) -> Command:
    """``[RUN]``."""
    return click.argument("run", required=False, shell_complete=_runs)(command)


def run_option(command: Command) -> Command:
    """``--run RUN``, for commands whose argument is a cell."""
    help = "The run; a unique beginning of its id will do.  [default: the latest]"
    return click.option("--run", "-r", metavar="RUN", shell_complete=_runs, help=help)(command)


def cell_argument(command: Command) -> Command:
    """``CELL``."""
    return click.argument("cell", shell_complete=_cells)(command)
