"""A YAML parser's errors, as messages about the file: what is wrong, and what to write instead."""

from __future__ import annotations

import re
from collections.abc import Sequence

import yaml

from ..model.text import escaped
from .errors import Location

_BRACKETS = {"while parsing a flow mapping": "{ }", "while parsing a flow sequence": "[ ]"}
_KEY = re.compile(r"\s*(?:- +)*[^\s#][^#]*?:(?:\s|$)")


def located_message(error: yaml.MarkedYAMLError, path: str, lines: Sequence[str]) -> tuple[Location, str]:
    """The location of a syntax error, and a one-line message about it."""
    problem, context = _place(error.problem_mark), _place(error.context_mark)
    at = problem or context or (1, 1)
    start = context or at
    found = _tab(at, lines) or _by_context(error, at, start, lines)
    if found is None:
        problem_text = ", ".join(part for part in (error.context, error.problem) if part)
        found = at, f"YAML syntax: {escaped(problem_text)}"
    return Location(path, *found[0]), found[1]


_Place = tuple[int, int]
_Found = tuple[_Place, str] | None


def _place(mark: yaml.Mark | None) -> _Place | None:
    return None if mark is None else (mark.line + 1, mark.column + 1)


def _tab(at: _Place, lines: Sequence[str]) -> _Found:
    line, col = _line(lines, at[0]), at[1]
    if "\t" in line[: _indent(line)] or line[col - 1 : col] == "\t":
        return at, "YAML does not allow tabs for indentation; use spaces"
    return None


def _by_context(error: yaml.MarkedYAMLError, at: _Place, start: _Place, lines: Sequence[str]) -> _Found:
    context, problem = error.context or "", error.problem or ""
    first = _line(lines, start[0])[start[1] - 1 : start[1]]
    if context in _BRACKETS:
        return _flow(_BRACKETS[context], at, start, lines)
    if context == "while parsing a flow node":
        return at, "a value is missing here; a text with { } [ ] , must be in quotes"
    if context in ("while parsing a block mapping", "while parsing a block collection"):
        return _block(at, start, lines)
    if problem.startswith("mapping values are not allowed"):
        return _second_colon(at, lines)
    if context == "while scanning a simple key":
        return start, f"line {start[0]} has no `:` after its key"
    if "quoted scalar" in context or "double-quoted" in context:
        return _quoted(problem, at, start)
    if "cannot start any token" in problem:
        sign = _line(lines, at[0])[at[1] - 1 : at[1]]
        return at, f"a text cannot begin with {sign}: put it in quotes"
    if context in ("while scanning an alias", "while scanning an anchor", "while scanning a tag"):
        return start, f"a text that begins with {first} must be in quotes"
    if problem.startswith("found undefined alias"):
        return (
            at,
            f"no anchor has this name; a text that begins with {_line(lines, at[0])[at[1] - 1 : at[1]]} must be in quotes",
        )
    if context == "while scanning a block scalar":
        return (
            start,
            f"the text of a `{first}` begins on the next line; a text that begins with {first} must be in quotes",
        )
    return None


def _flow(brackets: str, at: _Place, start: _Place, lines: Sequence[str]) -> _Found:
    """A mapping between { } or a list between [ ] with unexpected content."""
    opening = brackets[0]
    if at[0] == start[0] or " #" in _line(lines, start[0])[start[1] - 1 :]:
        signs = "{ } : # ," if opening == "{" else "[ ] { } : # ,"
        location = at if at[0] == start[0] else start
        return (
            location,
            f"inside {brackets} a text with {signs} must be in quotes (or a bracket is not closed)",
        )
    return start, f"the {opening} that opens here is not closed before line {at[0]}"


def _block(at: _Place, start: _Place, lines: Sequence[str]) -> _Found:
    """A line that is neither part of a mapping or list nor after it."""
    line = _line(lines, at[0])
    indent, neighbours = at[1] - 1, start[1] - 1
    if indent > _indent(line):
        return at, "a text continues after its closing quote or bracket: put all of it in quotes"
    if indent == neighbours:
        return (
            at,
            f"{line[indent:][:1]} is where its neighbours are keys (from line {start[0]}): write `KEY: ...`",
        )
    return at, f"line {at[0]} is indented by {indent}, its neighbours by {neighbours} (from line {start[0]})"


def _second_colon(at: _Place, lines: Sequence[str]) -> _Found:
    """A colon where no key is allowed: in a text, or in a line that continues the text above it."""
    line = _line(lines, at[0])
    first = _KEY.match(line)
    if first is None or first.end() - 1 < at[1] - 1:
        return at, "a text with `: ` must be in quotes"
    above = next((number for number in range(at[0] - 1, 0, -1) if _has_content(_line(lines, number))), 0)
    if _KEY.match(_line(lines, above)) is None:
        return (above or 1, _indent(_line(lines, above)) + 1), f"line {above} has no `:` after its key"
    indents = _indent(line), _indent(_line(lines, above))
    problem_text = f"line {at[0]} is indented by {indents[0]}, line {above} by {indents[1]}"
    return (
        at,
        f"{problem_text}, which already has a value: indent both lines alike, or write nothing after the `:` of line {above}",
    )


def _quoted(problem: str, at: _Place, start: _Place) -> _Found:
    if "end of stream" in problem or "document" in problem:
        return start, "the quote that opens here is not closed"
    if "unknown escape" in problem:
        return at, "not a valid escape in double quotes: put a text with backslashes in single quotes"
    return at, "the escape does not name a character"


def _line(lines: Sequence[str], number: int) -> str:
    return lines[number - 1] if 0 < number <= len(lines) else ""


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _has_content(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")
