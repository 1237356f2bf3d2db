"""Text and tables for a terminal, JSON for programs. Printed with click, which handles pipes and colours."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from ..model.tables import align
from ..model.text import harmless
from ..model.text import one_line
from ..model.text import printable
from ..plugin.hints import program

MAX_FIELD_CHARACTERS = 100
"""The most characters of one field of a table."""

MAX_SCRIPT_CHARACTERS = 4000
"""The most characters of a script that are shown."""


@dataclass(frozen=True, slots=True)
class TableRow:
    """One line of a table."""

    texts: tuple[str, ...]
    colour: str
    """One of pytest's colour names, or empty."""


_COLOURS = {"purple": "magenta", "": None}


def say(text: str = "", colour: str = "") -> None:
    """Print one or more lines, made safe to show. ``colour`` is one of pytest's colour names."""
    name = _COLOURS.get(colour, colour)
    text = harmless(text)
    click.echo(click.style(text, fg=name) if name else text)


def note(text: str) -> None:
    """Print a one-line remark that is not part of the answer."""
    click.echo(one_line(text, 2000), err=True)


def emit(value: Any) -> None:
    """Print an answer as JSON."""
    click.echo(json.dumps(value, indent=1))


def emit_line(value: Any) -> None:
    """Print one of many answers as JSON, on a line of its own."""
    click.echo(json.dumps(value))


def command(*arguments: str) -> str:
    """A command of this program for the user to paste."""
    return shlex.join([*program("clusterjobs", "pytest_clusterjobs.cli"), *arguments])


def row(*texts: object, colour: str = "") -> TableRow:
    """One line of a table, made safe to show."""
    shown = (" ".join(str("-" if text is None else text).split()) for text in texts)
    return TableRow(tuple(printable(text, MAX_FIELD_CHARACTERS) for text in shown), colour)


def lay_out(header: Sequence[str], rows: Sequence[TableRow]) -> Iterator[tuple[str, str]]:
    """The lines of a table, each with its colour."""
    lines = align([header, *(row.texts for row in rows)])
    return zip(lines, ["", *(row.colour for row in rows)], strict=True)


def table(header: Sequence[str], rows: Sequence[TableRow]) -> None:
    """Print a table."""
    for text, colour in lay_out(header, rows):
        say(text, colour)


def facts(pairs: Iterable[tuple[str, str]], indent: str = "  ") -> None:
    """Print names and values in two columns; a value with several lines stays in its column."""
    known = list(pairs)
    width = max((len(name) for name, _ in known), default=0)
    for name, value in known:
        first, *rest = value.split("\n")
        say(f"{indent}{name:<{width}}  {first}".rstrip())
        for line in rest:
            say(f"{indent}{'':<{width}}  {line}".rstrip())


def rewrite(height: int, lines: Sequence[tuple[str, str]]) -> None:
    """Replace the last ``height`` lines on a terminal with these, each with its colour."""
    click.echo(f"\x1b[{height}A\x1b[J" if height else "", nl=False, color=True)
    for text, colour in lines:
        say(text, colour)


def clock(at: float | None) -> str:
    """A date and time in the local time zone."""
    return "-" if at is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
