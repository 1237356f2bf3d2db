"""YAML text in messages: what to write in a file instead."""

from __future__ import annotations

import re
from typing import Any

from ..model.text import escaped

_MAX_CHARACTERS = 80
"""The most characters of a suggested text."""


def suggestion(text: str) -> str:
    """``write `TEXT```, the end of a message."""
    return f"write {in_backquotes(text)}"


def in_backquotes(text: str) -> str:
    """Text in backquotes, escaped and shortened."""
    shown = escaped(text)
    return f"`{shown if len(shown) <= _MAX_CHARACTERS else shown[: _MAX_CHARACTERS - 3] + '...'}`"


def flow_entry(key: Any, value: Any) -> str:
    """An entry of a mapping, on one line."""
    return f"{key}: {flow_value(value)}"


def flow_value(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(flow_entry(key, each) for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow_value, value)) + "]"
    text = "{}" if value is None else str(value)
    if "\n" in text:
        return "..."
    return in_quotes(text) if value is not None and _needs_quotes(text) else text


def in_quotes(text: str) -> str:
    """A scalar in quotes."""
    return "'" + text.replace("'", "''") + "'"


def _needs_quotes(text: str) -> bool:
    return re.search(r"^$|^[*&!%@`|>?#\"']|^-(?![\w-])|[][{},]|: | #|:$", text) is not None
