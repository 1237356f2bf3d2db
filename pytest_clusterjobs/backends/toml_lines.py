"""The lines of keys in a TOML file, which ``tomllib`` does not report."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

Path = tuple[str | int, ...]
"""Keys from the top of the file; a number is an index in an array."""


def key_lines(text: str) -> dict[Path, int]:
    """The first line, counted from 1, of every key, table and array element of a valid TOML file."""
    scanner = _Scanner(text)
    # If the text is invalid after all, what was found before that place is kept.
    with suppress(IndexError, ValueError):
        scanner.scan()
    return scanner.lines


def line_of(lines: Mapping[Path, int], path: Sequence[str | int], least: int = 1) -> int | None:
    """The line of a key, or of the innermost enclosing key of at least ``least`` elements that has one."""
    for length in range(len(path), least - 1, -1):
        if (line := lines.get(tuple(path[:length]))) is not None:
            return line
    return None


class _Scanner:
    """Walks over a file once. It relies on the file being valid, and interprets keys only."""

    def __init__(self, text: str) -> None:
        self.lines: dict[Path, int] = {}
        self._text = text + "\n"
        self._at = 0
        self._elements: dict[Path, int] = {}
        """The number of elements of each array of tables so far."""

    def scan(self) -> None:
        table: Path = ()
        while self._skip_blank():
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> Path:
        is_array = self._text.startswith("[[", self._at)
        line = self._line()
        self._at += 2 if is_array else 1
        path = self._in_arrays(_keys(self._until("]")))
        self._at += 2 if is_array else 1
        if is_array:
            self._note((), path, line)
            number = self._elements[path] = self._elements.get(path, -1) + 1
            path = (*path, number)
        self._note((), path, line)
        return path

    def _in_arrays(self, path: Path) -> Path:
        """The path with the index of the last element after each array of tables on its way."""
        found: Path = ()
        for number, key in enumerate(path, 1):
            found = (*found, key)
            if number < len(path) and found in self._elements:
                found = (*found, self._elements[found])
        return found

    def _pair(self, table: Path) -> None:
        line = self._line()
        path = (*table, *_keys(self._until("=")))
        self._note(table, path, line)
        self._at += 1
        self._value(path)

    def _value(self, path: Path) -> None:
        self._skip_blank()
        first = self._text[self._at]
        if first == "{":
            self._items("}", lambda number: self._pair(path))
        elif first == "[":
            self._items("]", lambda number: self._element((*path, number)))
        elif first in "\"'":
            self._string()
        else:
            self._until(",]}#\n")

    def _items(self, end: str, item: Any) -> None:
        self._at += 1
        number = 0
        while self._skip_blank() and self._text[self._at] != end:
            item(number)
            number += 1
            self._skip_blank()
            if self._text[self._at] == ",":
                self._at += 1
        self._at += 1

    def _element(self, path: Path) -> None:
        self._note((), path, self._line())
        self._value(path)

    def _note(self, table: Path, path: Path, line: int) -> None:
        for length in range(len(table) + 1, len(path) + 1):
            self.lines.setdefault(path[:length], line)

    def _skip_blank(self) -> bool:
        """Skip white space and comments; whether anything is left."""
        while self._at < len(self._text):
            char = self._text[self._at]
            if char == "#":
                self._at = self._text.index("\n", self._at)
            elif char not in " \t\r\n":
                return True
            else:
                self._at += 1
        return False

    def _until(self, ends: str) -> str:
        """The text up to one of ``ends``, which may also occur in strings."""
        start = self._at
        while self._text[self._at] not in ends:
            if self._text[self._at] in "\"'":
                self._string()
            else:
                self._at += 1
        return self._text[start : self._at]

    def _string(self) -> None:
        quote = self._text[self._at]
        mark = quote * 3 if self._text.startswith(quote * 3, self._at) else quote
        self._at += len(mark)
        while not self._text.startswith(mark, self._at):
            escaped = quote == '"' and self._text[self._at] == "\\"
            self._at += 2 if escaped else 1
            if self._at >= len(self._text):
                raise ValueError("a string without an end")
        self._at += len(mark)
        # A text in three quotation marks may itself end with one or two of them.
        while len(mark) == 3 and self._text[self._at] == quote:
            self._at += 1

    def _line(self) -> int:
        return self._text.count("\n", 0, self._at) + 1


def _keys(text: str) -> Path:
    """The keys of a dotted key, as ``tomllib`` reads them."""
    found: list[str] = []
    here: Any = tomllib.loads(f"{text.strip()} = 0")
    while isinstance(here, dict):
        ((key, here),) = here.items()
        found.append(key)
    return tuple(found)
