"""The layout of tables in text."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence

COLUMN_GAP_CHARACTERS = 2
"""Blanks between two columns."""


def column_widths(rows: Sequence[Sequence[str]], limit: int | None = None) -> list[int]:
    """The width of each column: that of its longest text, at most ``limit`` characters."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return widths if limit is None else [min(limit, width) for width in widths]


def align(rows: Sequence[Sequence[str]], limit: int | None = None) -> Iterator[str]:
    """One line per row. A text longer than ``limit`` is not cut, but moves only its own line."""
    widths = column_widths(rows, limit)
    for row in rows:
        yield (
            (" " * COLUMN_GAP_CHARACTERS)
            .join(text.ljust(width) for text, width in zip(row, widths, strict=True))
            .rstrip()
        )
