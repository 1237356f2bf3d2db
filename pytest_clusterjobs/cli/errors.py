"""What the command exits with, and its one-line errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from ..judge import printable

NOT_GREEN = 1
"""Something did not pass, survived a kill, or is invalid."""

CANNOT = 3
"""A ledger or a cluster does not let it be done."""

NOTHING = 4
"""There is no such run or cell, or none at all."""


CHOICES = 20
"""Names that an error lists, a line each."""


class CommandError(click.ClickException):
    """Something outside of the command is in the way; ``choices`` are what could have been meant."""

    exit_code = CANNOT

    def __init__(self, message: str, choices: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.choices = choices

    def show(self, file: Any = None) -> None:
        """One line on stderr, and one for each choice."""
        click.echo(f"clusterjobs: {printable(' '.join(self.message.split()), 1000)}", err=True)
        for choice in self.choices[:CHOICES]:
            click.echo(f"  {printable(choice, 1000)}", err=True)
        if len(self.choices) > CHOICES:
            click.echo(f"  and {len(self.choices) - CHOICES} more", err=True)


class NotFound(CommandError):
    """Nothing is called that."""

    exit_code = NOTHING
