"""The lines of a text: the regular expressions of a matrix are applied to one line at a time."""

from __future__ import annotations

from collections.abc import Iterator


def lines(text: str, containing: str = "") -> Iterator[str]:
    """The lines from first to last, without their line feeds; only those that contain ``containing``."""
    start = 0
    while start < len(text) and (hit := text.find(containing, start)) >= 0:
        begin = text.rfind("\n", start, hit) + 1 or start
        end = text.find("\n", hit)
        if end < 0:
            end = len(text)
        yield text[begin:end]
        start = end + 1


def lines_from_the_end(text: str, containing: str = "") -> Iterator[str]:
    """The lines from last to first, so that a reader can stop early."""
    end = len(text) - text.endswith("\n")
    while text and end >= 0 and (hit := text.rfind(containing, 0, end)) >= 0:
        begin = text.rfind("\n", 0, hit) + 1
        until = text.find("\n", hit, end)
        yield text[begin : end if until < 0 else until]
        end = begin - 1
