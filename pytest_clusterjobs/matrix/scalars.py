"""Values of any shape, for options and marks, as Python values."""

from __future__ import annotations

import math
import re
from typing import Any

from ..model import Mark
from ..model.notation import parse_duration
from ..model.text import quoted
from .nodes import Map
from .nodes import Scalar
from .readers import fail
from .readers import IDENTIFIER_PATTERN
from .readers import reading
from .readers import source_text
from .readers import text
from .suggestions import in_quotes


def python_value(value: Any) -> Any:
    """A value of any shape, as a Python value; rejects text that YAML versions read differently."""
    if isinstance(value, Map):
        return {source_text(key): python_value(each) for key, each in value.pairs()}
    if isinstance(value, list):
        return [python_value(each) for each in value]
    return _scalar(value) if isinstance(value, Scalar) else value


def _scalar(value: Scalar) -> str | int | float | bool:
    kind = value.kind
    if kind == "ambiguous":
        fail(
            f"YAML reads {value} as {value.reading} or as text, depending on its version: write {in_quotes(value)} or another form",
            at=value,
        )
    if kind == "bool":
        return value.lower() == "true"
    if kind == "int":
        return int(value)
    if kind == "float":
        decimal = float(value.replace(".inf", "inf").replace(".nan", "nan").replace(".Inf", "inf"))
        if not math.isfinite(decimal):
            fail("expected a finite number", at=value)
        return decimal
    return source_text(value)


def mark(value: Any) -> Mark:
    """A mark: a name, or a name with its arguments."""
    if isinstance(value, Scalar):
        return Mark(_mark_name(value))
    if not isinstance(value, Map) or len(value) != 1:
        fail("a mark is a name, or one name with its arguments: {skip: why}")
    ((key, given),) = value.pairs()
    called = _mark_name(key)
    arguments = python_value(given)
    if isinstance(arguments, dict):
        return Mark(called, (), arguments)
    if isinstance(arguments, list):
        return Mark(called, tuple(arguments))
    if called == "timeout" and isinstance(arguments, str):
        return Mark(called, (reading(parse_duration)(given),))
    if called in ("skip", "xfail"):
        if not isinstance(arguments, str):
            fail(f"`{called}` takes the reason as text, or a mapping", at=given)
        return Mark(called, (), {"reason": arguments})
    return Mark(called, () if arguments is None else (arguments,))


def _mark_name(value: Scalar) -> str:
    called = text(value)
    if not re.fullmatch(IDENTIFIER_PATTERN, called):
        fail(f"{quoted(called)} is not a valid name of a mark: use letters, digits and _", at=value)
    if called in ("parametrize", "usefixtures"):
        instead = "axes" if called == "parametrize" else "fixtures"
        fail(f"`{called}` has no effect here: use {instead}", at=value)
    return called
