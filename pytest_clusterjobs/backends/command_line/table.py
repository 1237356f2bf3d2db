"""Tables that status commands print: one job a line, fields between separators."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from datetime import datetime
from datetime import UTC


def parse_table(
    lines: Iterable[str], columns: Sequence[str], separator: str | None = "|"
) -> Iterator[dict[str, str]]:
    """Each line as a mapping of column to field, without surrounding blanks.

    The last field may contain separators. A line with fewer fields than columns is left out: it is a
    header, or a part of a name with a line break. ``separator=None``: runs of blanks.
    """
    for line in lines:
        fields = line.split(separator, len(columns) - 1)
        if len(fields) == len(columns):
            yield dict(zip(columns, map(str.strip, fields), strict=True))


def parse_time(text: str) -> float | None:
    """Seconds since the epoch from the same, or from an ISO time in UTC; ``None`` for any other text or 0."""
    text = text.strip()
    if text.isdecimal():
        return float(text) or None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
