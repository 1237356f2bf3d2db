"""From pydantic's errors to locations in the file; and the valid rest of it, for later checks."""

from __future__ import annotations

from typing import Any
from typing import Generic
from typing import NamedTuple
from typing import TypeVar

from pydantic import BaseModel
from pydantic import ValidationError

from ..model.text import quoted
from .errors import Location
from .errors import Reporter
from .hints import allowed_place
from .hints import example
from .hints import unknown_key
from .nodes import locate
from .nodes import location_of
from .nodes import Map
from .nodes import map_of
from .nodes import Scalar
from .nodes import Seq
from .nodes import seq_of
from .nodes import value_at
from .repair import is_misindented
from .repair import repaired

M = TypeVar("M", bound=BaseModel)
Loc = tuple[str | int, ...]
_REMOVED = object()
_MAX_ROUNDS = 4


class Validated(NamedTuple, Generic[M]):
    """The remaining content of a file after its mistakes have been reported."""

    model: M | None
    """``None`` if too little is left."""
    dropped: list[Loc]
    """The paths of invalid content that was left out."""
    raw: Map
    """The file's content, read as intended where the intention is clear."""


def validate(model: type[M], raw: Map, reporter: Reporter) -> Validated[M]:
    """The model of a file; its mistakes are reported to the reporter."""
    checked = map_of(raw.node, [(key, value) for key, value in raw.items() if not key.startswith("x-")])
    if not is_misindented(checked):
        try:
            return Validated(model.model_validate(checked), [], raw)
        except ValidationError:
            pass
    intended = repaired(checked, reporter)
    top: Any = intended
    dropped: list[Loc] = []
    for attempt in range(_MAX_ROUNDS):
        try:
            return Validated(model.model_validate(top), dropped, intended)
        except ValidationError as error:
            found = error.errors(include_url=False)
            if attempt == 0:
                for each in found:
                    reporter.error(*_located_message(model, intended, each))
            locs = [each["loc"] for each in found]
            dropped += locs
            top = _without(top, locs)
            if top is _REMOVED:
                break
    return Validated(None, dropped, intended)


def _located_message(model: type[BaseModel], raw: Map, error: Any) -> tuple[Location, str]:
    loc: Loc = error["loc"]
    in_key = loc[-1:] == ("[key]",)
    path = loc[:-1] if in_key else loc
    unknown = error["type"] == "extra_forbidden"
    location = locate(raw, path, location_of(raw), key=in_key or unknown)
    if unknown:
        return location, _unknown(_model_at(model, path[:-1]), path, raw)
    at = error.get("ctx", {}).get("at")
    return (location_of(at) if isinstance(at, (Scalar, Seq, Map)) else location), _message(
        error, _path_in_file(raw, path)
    )


def _unknown(model: type[BaseModel], path: Loc, raw: Any) -> str:
    """The message for a key that this model does not have."""
    *above, key = map(str, path)
    holder = value_at(raw, path[:-1])
    if isinstance(holder, Map) and holder.is_bare(key):
        return f"unknown key {quoted(key)}: inside {{ }} a text with a comma must be in quotes"
    return unknown_key(key, model.model_fields, allowed_place=allowed_place(key, model, above))


def _path_in_file(raw: Any, path: Loc) -> Loc:
    """The path without list indexes that the file does not have: one value may replace a list of one."""
    for at, part in enumerate(path):
        if isinstance(part, int) and not isinstance(value_at(raw, path[:at]), (Map, list)):
            return path[:at]
    return path


def _message(error: Any, path: Loc) -> str:
    where = _dotted(path)
    match error["type"]:
        case "matrix":
            message = str(error["ctx"]["message"])
        case "missing":
            where = _dotted(path[:-1])
            message = f"{path[-1]} is missing"
        case "dict_type" | "model_type" | "model_attributes_type":
            message = f"expected a mapping, not {_shape(error['input'])}{example(path)}"
        case "list_type" | "tuple_type":
            message = f"expected a list, not {_shape(error['input'])}{example(path)}"
        case _:
            message = error["msg"]
    return f"{where}: {message}" if where else message


def _dotted(path: Loc) -> str:
    return ".".join(str(part) if len(str(part)) <= 60 else f"{str(part)[:57]}..." for part in path)


def _shape(value: Any) -> str:
    if value is None:
        return "nothing"
    return "a mapping" if isinstance(value, dict) else "a list" if isinstance(value, list) else "one value"


def _model_at(model: type[BaseModel], path: Loc) -> type[BaseModel]:
    """The model of the mapping at ``path``: each name or index of a collection leads to its one model."""
    current = model
    at = 0
    while at < len(path):
        field = current.model_fields.get(str(path[at]))
        if field is not None:
            inner = _inner_model(field.annotation)
            current = inner if inner is not None else current
        at += 1
    return current


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    """The model inside of ``dict[..., Annotated[Model | None, ...]]`` and the like."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in getattr(annotation, "__args__", ()):
        if (found := _inner_model(part)) is not None:
            return found
    return None


def _without(value: Any, locs: list[Loc]) -> Any:
    """A copy of a value without the content at ``locs``; ``_REMOVED`` if that is the value itself."""
    if not locs:
        return value
    if any(not loc for loc in locs) or not isinstance(value, (Map, Seq)):
        return _REMOVED
    deeper: dict[object, list[Loc]] = {}
    for loc in locs:
        deeper.setdefault(loc[0], []).append(() if loc[1:] == ("[key]",) else loc[1:])
    if isinstance(value, Map):
        pairs = [(key, _without(each, deeper.get(key, []))) for key, each in value.items()]
        return map_of(value.node, [(key, each) for key, each in pairs if each is not _REMOVED])
    items = [
        _without(each, deeper.get(at, []) + (deeper.get(each, []) if isinstance(each, Scalar) else []))
        for at, each in enumerate(value)
    ]
    return seq_of(value.node, [each for each in items if each is not _REMOVED])
