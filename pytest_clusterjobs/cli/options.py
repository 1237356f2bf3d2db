"""Arguments shared by several commands, and their shell completion."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any
from typing import cast
from typing import TypeVar

import click

from ..ledger.ledger import LedgerError
from .errors import CommandError
from .project import find_project
from .project import given
from .project import open_run
from .project import Project

Command = TypeVar("Command", bound=Callable[..., Any])


def _project(context: click.Context) -> Project:
    return find_project(given(context.find_root().params))


def pass_project(command: Command) -> Command:
    """Call a command with its project, which is searched when the command runs."""

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> Any:
        return command(_project(click.get_current_context()), *arguments, **options)

    return cast(Command, run)


def _runs(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    with suppress(CommandError):
        return [path.name for path in _project(context).folders() if path.name.startswith(incomplete)]
    return []


def _cells(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    with suppress(CommandError, LedgerError):
        folder = _project(context).pick(context.params.get("run"))
        with open_run(folder) as run:
            ids = [entry.cell.id for entry in run.registrations()]
            return [name for name in ids if name.startswith(incomplete)]
    return []


def as_json(command: Command) -> Command:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def run_argument(command: Command) -> Command:
    """Add ``[RUN]``."""
    return click.argument("run", required=False, shell_complete=_runs)(command)


def run_option(command: Command) -> Command:
    """Add ``--run RUN``, for commands whose argument is a cell."""
    help = "The id of the run, or a unique beginning of it.  [default: the latest run]"
    return click.option("--run", "-r", metavar="RUN", shell_complete=_runs, help=help)(command)


def cell_argument(command: Command) -> Command:
    """Add ``CELL``."""
    return click.argument("cell", shell_complete=_cells)(command)
