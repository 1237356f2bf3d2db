"""Converts the project's dataclasses to JSON text and back."""

from __future__ import annotations

import json
from typing import Any
from typing import TypeVar

T = TypeVar("T")

_adapters: dict[Any, Any] = {}


def _adapter(kind: Any) -> Any:
    if kind not in _adapters:
        # Imported here, so that a session without cells does not import pydantic.
        from pydantic import TypeAdapter

        _adapters[kind] = TypeAdapter(kind)
    return _adapters[kind]


def dump(value: object) -> str:
    """One of the project's dataclasses as JSON text; what JSON cannot represent becomes its ``repr``."""
    # Marks may contain any object, such as a function as a condition or an exception class.
    text: bytes = _adapter(type(value)).dump_json(value, fallback=repr)
    return text.decode()


class Damaged(ValueError):
    """Invalid text. The message is one line that does not quote it."""


def load(kind: type[T], text: str) -> T:
    """The inverse of ``dump``. Raises Damaged for text that is not a ``kind``."""
    try:
        value: T = _adapter(kind).validate_json(text)
    except ValueError as error:
        (first, *_) = error.errors() if hasattr(error, "errors") else ({"msg": "not text"},)
        raise Damaged(f"damaged: {kind.__name__}: {first['msg']}") from error
    return value


def load_plain(text: str) -> Any:
    """A JSON value. Raises Damaged."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise Damaged(f"damaged: {error}") from error
