"""The group of all commands. It reports every error in one line."""

from __future__ import annotations

import json
import os
from importlib import import_module
from typing import Any

import click

from .._version import __version__
from ..backends.protocol import BackendError
from ..backends.registry import SiteError
from ..ledger.ledger import LedgerError
from ..ledger.ledger import Superseded
from .errors import CommandError

_HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


_MODULES = {
    "launch": ".sessions",
    "check": ".sessions",
    "resume": ".sessions",
    "watch": ".watch",
    "kill": ".kill",
    "runs": ".runs",
    "show": ".show",
    "logs": ".logs",
    "report": ".report",
    "rejudge": ".rejudge",
    "validate": ".matrices",
    "plan": ".plan",
    "schema": ".matrices",
    "sweep": ".sweep",
    "gc": ".sweep",
    "dev": "..devclusters.command",
}
"""The commands and their modules, in the order of the help text."""

_DOCS = "Documentation: README.md and docs/ in the source of pytest-clusterjobs; docs/cli.md describes this command."


class Commands(click.Group):
    """Commands that are imported when they are used, and whose errors are reported in one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands."""
        return list(_MODULES)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each command with its complete first sentence, however narrow the terminal is."""
        known = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, found.get_short_help_str(limit=1000)) for name, found in known if found is not None]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None if there is no command of that name."""
        if cmd_name not in _MODULES:
            return None
        module = import_module(_MODULES[cmd_name], __package__)
        command: click.Command = getattr(module, cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except SiteError as error:
            first, *others = error.faults
            raise CommandError(first, others) from error
        except (LedgerError, Superseded, BackendError) as error:
            raise CommandError(str(error)) from error
        except json.JSONDecodeError as error:
            raise CommandError(f"a ledger is damaged: {error}") from error
        except ValueError as error:
            from pydantic import ValidationError

            if not isinstance(error, ValidationError):
                raise
            raise CommandError(f"a ledger is damaged: {error.title}: {error.errors()[0]['msg']}") from error


@click.group(cls=Commands, context_settings=_HELP, epilog=_DOCS)
@click.option(
    "--rootdir",
    type=click.Path(exists=True, file_okay=False),
    help="The root directory of the project.  [default: the rootdir that pytest would find]",
)
@click.option(
    "-c",
    "--config-file",
    "inifile",
    metavar="FILE",
    help="The configuration file of the project, like pytest's -c.",
)
@click.option("--cluster-dir", metavar="DIR", help="The folder of the runs, like pytest's --cluster-dir.")
@click.version_option(__version__, prog_name="pytest-clusterjobs")
@click.pass_context
def app(context: click.Context, /, **project: object) -> None:
    """Show and control the runs of pytest-clusterjobs.

    RUN is the id of a run or a unique beginning of it; the default is the latest run. CELL is the id of a
    cell, its node id, a glob, or a part of an id.

    \b
    clusterjobs launch matrices/           submit the cells, and return
    clusterjobs watch                      show the progress of the jobs
    clusterjobs check --junitxml=out.xml   judge the jobs that have ended
    clusterjobs show CELL                  show everything known about a cell

    Exit codes: 0 success; 1 something did not pass, survived or is invalid; 2 usage error; 3 a ledger
    or a cluster prevents it; 4 there is no such run or cell.
    """  # noqa: D301 (for click, a backspace means that these lines are not wrapped)
    if os.environ.get("NO_COLOR"):
        context.color = False
