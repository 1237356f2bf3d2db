"""What the command exits with, and its one-line errors."""

from __future__ import annotations

from typing import Any

import click

from ..judge import printable

NOT_GREEN = 1
"""Something did not pass, survived a kill, or is invalid."""

CANNOT = 3
"""A ledger or a cluster does not let it be done."""

NOTHING = 4
"""There is no such run or cell, or none at all."""


class Trouble(click.ClickException):
    """Something outside of the command is in the way."""

    exit_code = CANNOT

    def show(self, file: Any = None) -> None:
        """One line on stderr."""
        click.echo(f"clusterjobs: {printable(' '.join(self.message.split()), 1000)}", err=True)


class NotFound(Trouble):
    """Nothing is called that."""

    exit_code = NOTHING
