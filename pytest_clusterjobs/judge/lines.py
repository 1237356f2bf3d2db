"""The lines of a text, one after the other: a regular expression of a matrix sees no more than one at a time."""

from __future__ import annotations

from collections.abc import Iterator


def lines(text: str, holding: str = "") -> Iterator[str]:
    """From the first to the last, without their line feeds; only those that have ``holding`` in them."""
    start = 0
    while start < len(text) and (hit := text.find(holding, start)) >= 0:
        begin = text.rfind("\n", start, hit) + 1 or start
        end = text.find("\n", hit)
        if end < 0:
            end = len(text)
        yield text[begin:end]
        start = end + 1


def lines_from_the_end(text: str, holding: str = "") -> Iterator[str]:
    """From the last to the first: a reader who finds early stops early."""
    end = len(text) - text.endswith("\n")
    while text and end >= 0 and (hit := text.rfind(holding, 0, end)) >= 0:
        begin = text.rfind("\n", 0, hit) + 1
        until = text.find("\n", hit, end)
        yield text[begin : end if until < 0 else until]
        end = begin - 1
