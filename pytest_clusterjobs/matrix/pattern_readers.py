"""Readers of the regular expressions and texts that are searched in a job's output."""

from __future__ import annotations

from typing import Any

from ..judge.naming import metric_capture
from ..judge.patterns import BadPattern
from ..judge.patterns import compiled
from ..judge.patterns import line_pattern
from .readers import fail
from .readers import text


def regex(value: Any) -> str:
    """A regular expression that is searched line by line."""
    result = text(value)
    try:
        line_pattern(result)
    except BadPattern as error:
        fail(str(error))
    return result


def log_regex(value: Any) -> str:
    """A regular expression that some line must match."""
    result = text(value)
    if result and _matches_empty(result):
        fail(
            "the pattern matches an empty line, so it matches every log: to require that a text is absent, use `excludes`"
        )
    return regex(value)


def rule_regex(value: Any) -> str:
    """A regular expression that reads a job's output."""
    result = text(value)
    if result and _matches_empty(result):
        fail(
            "the pattern matches an empty line, so it matches every log:"
            " for a line that every rank must print, use `required: true`"
        )
    return regex(value)


def metric_regex(value: Any) -> str:
    """A regular expression for the place of a number."""
    result = text(value)
    try:
        if not metric_capture(result).group:
            fail("the pattern does not mark the number: write {number} in its place, as in 'loss={number}'")
    except BadPattern as error:
        fail(str(error))
    return result


def _matches_empty(pattern: str) -> bool:
    try:
        return compiled(pattern).search("") is not None
    except BadPattern:
        return False


def nonblank_text(value: Any) -> str:
    """Text that may or may not be in a log."""
    result = text(value)
    if not result.strip():
        fail("a blank text is in every log: write the text to search for")
    return result
