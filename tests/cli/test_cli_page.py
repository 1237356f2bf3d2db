"""The page of the command names every command and option, and every exit code."""

from __future__ import annotations

from pathlib import Path

import click

from pytest_clusterjobs.cli import errors
from pytest_clusterjobs.cli.app import app

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()


def test_every_command_and_option_is_documented() -> None:
    assert isinstance(app, click.Group)
    context = click.Context(app)
    names = app.list_commands(context)
    assert len(names) == 16
    for name in names:
        command = app.get_command(context, name)
        assert command is not None
        assert f"`{name}" in PAGE, name
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert any(option in PAGE for option in parameter.opts), (name, parameter.opts)


def test_every_exit_code_is_documented() -> None:
    for code in (0, errors.EXIT_NOT_PASSED, 2, errors.EXIT_PREVENTED, errors.EXIT_NOT_FOUND):
        assert f"\n| {code} | " in PAGE
