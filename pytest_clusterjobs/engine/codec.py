"""The project's dataclasses to JSON text and back."""

from __future__ import annotations

from typing import Any
from typing import TypeVar

T = TypeVar("T")

_adapters: dict[Any, Any] = {}


def _adapter(kind: Any) -> Any:
    if kind not in _adapters:
        # Imported here: a session without cells never pays for pydantic.
        from pydantic import TypeAdapter

        _adapters[kind] = TypeAdapter(kind)
    return _adapters[kind]


def dump(value: object) -> str:
    """A dataclass of ``jobs`` or ``engine`` as JSON text."""
    text: bytes = _adapter(type(value)).dump_json(value)
    return text.decode()


def load(kind: type[T], text: str) -> T:
    """The inverse of ``dump``. Raises ValueError for text that is not a ``kind``."""
    value: T = _adapter(kind).validate_json(text)
    return value
