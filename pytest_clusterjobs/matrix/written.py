"""Values as they could be written in a file: created for a location in it, and shown in messages."""

from __future__ import annotations

import re
from typing import Any

import yaml

from ..model.text import escaped
from .nodes import Map
from .nodes import READINGS
from .nodes import Scalar
from .nodes import Seq
from .nodes import TAG

_LONGEST = 80
"""The most characters of a suggested text in a message."""


def map_of(node: Any, pairs: list[tuple[Any, Any]]) -> Map:
    """A mapping with these entries; of two entries with the same key the first is kept."""
    result = Map()
    result.node = node
    for key, value in pairs:
        result.setdefault(key, value)
    return result


def seq_of(node: Any, items: list[Any]) -> Seq:
    """A list of these items."""
    result = Seq(items)
    result.node = node
    return result


def scalar_of(text: str, at: yaml.Node, tag: str = "") -> Scalar:
    """A plain scalar, with the meaning that YAML gives it."""
    if not tag:
        resolver: Any = yaml.resolver.Resolver()
        tag = resolver.resolve(yaml.ScalarNode, text, (True, False)).removeprefix(TAG)
    tag = tag if tag in READINGS else "str"
    return Scalar.of(yaml.ScalarNode(f"{TAG}{tag}", text, at.start_mark, at.end_mark))


def write(text: str) -> str:
    """``write `TEXT```, the end of a message."""
    return f"write {inner(text)}"


def inner(text: str) -> str:
    """Text in backquotes, escaped and bounded."""
    plain = escaped(text)
    return f"`{plain if len(plain) <= _LONGEST else plain[: _LONGEST - 3] + '...'}`"


def flow(key: Any, value: Any) -> str:
    """An entry of a mapping, in one line."""
    return f"{key}: {shown(value)}"


def shown(value: Any) -> str:
    """A value as it could be written in a file, in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(flow(key, each) for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(shown, value)) + "]"
    text = "{}" if value is None else str(value)
    if "\n" in text:
        return "..."
    return "'" + text.replace("'", "''") + "'" if value is not None and _needs_quotes(text) else text


def _needs_quotes(text: str) -> bool:
    return re.search(r"^$|^[*&!%@`|>?#\"']|^-(?![\w-])|[][{},]|: | #|:$", text) is not None
