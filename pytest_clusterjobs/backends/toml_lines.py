"""The line of a key in a TOML file, which ``tomllib`` does not report."""

from __future__ import annotations

import tomllib
from bisect import bisect_left
from collections.abc import Sequence
from functools import partial
from typing import Any


def line_of(text: str, path: Sequence[str | int], least: int = 1) -> int | None:
    """The line, counted from 1, of the statement that sets a key in a valid TOML file.

    ``path`` has the keys from the top of the file, and indices in arrays. For a key that is missing the
    result is the line of the innermost enclosing key of at least ``least`` elements; None if there is none.
    """
    lines = text.split("\n")
    for length in range(len(path), least - 1, -1):
        # Every statement adds keys and removes none, so the first lines that have the key can be bisected.
        has = partial(_has, lines, path[:length])
        end = bisect_left(range(len(lines) + 1), True, key=has)
        if end <= len(lines):
            return _statements(lines, end - 1)[0] + 1
    return None


def _has(lines: Sequence[str], path: Sequence[str | int], end: int) -> bool:
    here = _statements(lines, end)[1]
    for key in path:
        try:
            here = here[key]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def _statements(lines: Sequence[str], end: int) -> tuple[int, Any]:
    """How many of the first ``end`` lines are whole statements and comments, and what they set."""
    while end > 0:
        try:
            return end, tomllib.loads("\n".join(lines[:end]) + "\n")
        except ValueError:
            # The last line is inside a statement of several lines.
            end -= 1
    return 0, {}
