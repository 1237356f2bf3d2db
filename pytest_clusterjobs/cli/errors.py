"""The exit codes of the command, and its one-line errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from ..model.text import printable

EXIT_NOT_PASSED = 1
"""Something did not pass, survived a kill, or is invalid."""

EXIT_PREVENTED = 3
"""A ledger or a cluster prevents it."""

EXIT_NOT_FOUND = 4
"""There is no such run or cell, or there are none at all."""


MAX_CHOICES = 20
"""The most names that an error lists, one per line."""


class CommandError(click.ClickException):
    """An error outside the command prevents it.

    ``choices`` are further lines, such as names that may have been meant.
    """

    exit_code = EXIT_PREVENTED

    def __init__(self, message: str, choices: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.choices = choices

    def show(self, file: Any = None) -> None:
        """Print one line on stderr, and one for each choice."""
        click.echo(f"clusterjobs: {printable(' '.join(self.message.split()), 1000)}", err=True)
        for choice in self.choices[:MAX_CHOICES]:
            click.echo(f"  {printable(choice, 1000)}", err=True)
        if len(self.choices) > MAX_CHOICES:
            click.echo(f"  and {len(self.choices) - MAX_CHOICES} more", err=True)


class NotFound(CommandError):
    """No run, cell, job or matrix has that name."""

    exit_code = EXIT_NOT_FOUND
