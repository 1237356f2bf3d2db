"""Merging of job fragments: the content of a layer replaces, adds to, or removes the content below."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from typing import Any

from .errors import Location
from .nodes import locate

APPENDED = frozenset({"args", "marks", "fixtures", "only"})
"""Keys whose values are appended layer by layer. The selections of ``only`` must all match."""
DEEP = frozenset({"env", "resources", "options", "expect", "translate", "reasons"})
"""Keys whose mappings merge key by key."""
_PAIR = ("reason", "exit_code")


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One fragment, validated, with its place in a file."""

    name: str
    """For messages: ``condition cmd_fails``."""
    content: Mapping[str, Any]
    """Its keys; ``None`` removes the values of lower layers."""
    raw: Any
    """As loaded, to find positions."""
    location: Location
    """The location of its name in the file."""
    has_errors: bool = False
    """Part of it was left out because it is invalid, so a seemingly missing value may just be misspelt."""
    is_implied: bool = False
    """The layer is not written in the file."""

    def at(self, *path: object) -> Location:
        """The location of a value."""
        return locate(self.raw, path, self.location)

    def key(self, *path: object) -> Location:
        """The location of a key."""
        return locate(self.raw, path, self.location, key=True)


@dataclass
class Merger:
    """Merges layers; each pair of values once, so that ten thousand cells share equal values."""

    _memo: dict[tuple[int, int], tuple[Any, Any, Any]] = field(default_factory=dict)

    def fold(self, layers: Iterable[Layer]) -> dict[str, Any]:
        """The merged content of the layers; later ones override earlier ones."""
        result: dict[str, Any] = {}
        for layer in layers:
            self._apply(result, layer.content)
        return result

    def _apply(self, state: dict[str, Any], content: Mapping[str, Any]) -> None:
        if "run" in content:
            state.pop("args", None)
        for key, value in content.items():
            if value is None:
                state.pop(key, None)
            elif key in APPENDED:
                state[key] = self._once(key, state.get(key, ()), value)
            elif key in DEEP:
                state[key] = self._once(key, state.get(key, _NOTHING), value)
            else:
                state[key] = value

    def _once(self, key: str, lower: Any, upper: Any) -> Any:
        memo = self._memo.get((id(lower), id(upper)))
        if memo is None:
            # Both operands are kept alive so that their ids are not reused.
            merged = _appended(lower, upper) if key in APPENDED else deep(lower, upper, pair=key == "expect")
            memo = self._memo[id(lower), id(upper)] = (merged, lower, upper)
        return memo[0]


_NOTHING: Mapping[str, Any] = {}


def _appended(lower: tuple[Any, ...], upper: Any) -> tuple[Any, ...]:
    return (*lower, *upper) if isinstance(upper, (list, tuple)) else (*lower, upper)


def deep(lower: Mapping[str, Any], upper: Mapping[str, Any], *, pair: bool = False) -> dict[str, Any]:
    """Merge ``upper`` onto ``lower``: mappings merge, ``None`` removes, everything else replaces."""
    result = dict(lower)
    if pair and any(key in upper for key in _PAIR):
        for key in _PAIR:
            result.pop(key, None)
    for key, value in upper.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            below = result.get(key)
            result[key] = deep(below if isinstance(below, Mapping) else {}, value)
        else:
            result[key] = value
    return result


def replaced(upper: Mapping[str, Any], lower: Mapping[str, Any]) -> Iterator[str]:
    """The dotted keys of ``lower`` that ``upper`` replaces or removes."""
    for key, value in upper.items():
        if key == "run" and "run" not in lower and lower.get("args"):
            yield "args"
        elif key in lower and not (key in APPENDED and value is not None):
            yield from _replaced(key, value, lower[key]) if key in DEEP else (key,)
    if isinstance(upper.get("expect"), Mapping) and isinstance(lower.get("expect"), Mapping):
        upper_keys, lower_keys = ([key for key in _PAIR if key in side["expect"]] for side in (upper, lower))
        if upper_keys and lower_keys and not set(upper_keys) & set(lower_keys):
            yield f"expect.{lower_keys[0]}"


def _replaced(path: str, upper: Any, lower: Any) -> Iterator[str]:
    if isinstance(upper, Mapping) and isinstance(lower, Mapping):
        for key in upper:
            if key in lower:
                yield from _replaced(f"{path}.{key}", upper[key], lower[key])
    else:
        yield path
