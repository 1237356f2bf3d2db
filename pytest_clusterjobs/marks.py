"""Marks of the launch in a later process: what an ``xfail`` mark expected, by the names of its exceptions."""

from __future__ import annotations

from typing import Any

import pytest

from .engine.records import Xfail
from .judge.text import harmless


def names_of(raises: Any) -> tuple[str, ...] | None:
    """What an xfail mark's ``raises`` stands for in the ledger."""
    if raises is None:
        return None
    return tuple(_name(each) for each in (raises if isinstance(raises, tuple) else (raises,)))


def _name(raises: object) -> str:
    return f"{raises.__module__}.{raises.__qualname__}" if isinstance(raises, type) else repr(raises)


class _ByName(type):
    """The type of a class that an exception is an instance of by the names of its own classes."""

    names: frozenset[str]

    def __instancecheck__(cls, instance: object) -> bool:
        return not cls.names.isdisjoint(map(_name, type(instance).__mro__))


def as_mark(xfail: Xfail, raises: Any = None) -> pytest.MarkDecorator:
    """The mark again. ``raises`` is what a mark of today expects: itself, if it is still the same."""
    reason = harmless(xfail.reason)
    if xfail.raises is None:
        return pytest.mark.xfail(reason=reason, strict=xfail.strict)
    if names_of(raises) != xfail.raises:
        # Today's code may not have these exceptions any more; an exception is known by its names.
        raises = _ByName("Launched", (Exception,), {"names": frozenset(xfail.raises)})
    return pytest.mark.xfail(reason=reason, strict=xfail.strict, raises=raises)
