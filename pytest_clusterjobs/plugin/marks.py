"""Marks of a matrix as pytest marks, and marks of a launch in a later process (exceptions by name)."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any
from typing import TYPE_CHECKING

import pytest

from ..matrix import Matrix
from ..matrix import MatrixErrors
from ..matrix import Problem
from ..model.records import Xfail
from ..model.text import unbroken

if TYPE_CHECKING:
    from ..model import Cell
    from ..model import Mark

JUDGING = frozenset({"skip", "skipif", "xfail"})
"""The marks that decide whether an item runs and what its failure means."""


def decorator(mark: Mark) -> pytest.MarkDecorator:
    """A mark of a matrix as a pytest mark. ``check_names`` reports unknown names."""
    plain = _named(mark.name)
    args, kwargs = mark.args, mark.kwargs
    if mark.name in JUDGING:
        # pytest prints these reasons unchanged.
        args = tuple(map(_shown, args))
        kwargs = {name: _shown(value) for name, value in kwargs.items()}
    return plain.with_args(*args, **kwargs) if args or kwargs else plain


def _shown(value: Any) -> Any:
    return unbroken(value) if isinstance(value, str) else value


@cache
def _named(name: str) -> pytest.MarkDecorator:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pytest.PytestUnknownMarkWarning)
        found: pytest.MarkDecorator = getattr(pytest.mark, name)
        return found


def check_names(matrix: Matrix, cells: Iterable[Cell], shown: str, rootdir: Path) -> None:
    """Warn once about each mark that pytest does not know, at its position in the matrix.

    Raises MatrixErrors if that is an error: with --strict-markers, or through a warning filter.
    """
    first: dict[str, Cell] = {}
    for cell in cells:
        for mark in cell.marks:
            first.setdefault(mark.name, cell)
    problems = []
    for name, cell in first.items():
        path, line, col = matrix.marks.get(name, (shown, cell.line, 1))
        try:
            warning = _unknown(name)
            if warning is not None:
                warnings.warn_explicit(warning, None, str(rootdir / path), line)
        except (pytest.fail.Exception, pytest.PytestUnknownMarkWarning) as error:
            problems.append(Problem(path, line, col, f"marks: {error} (cell {cell.id})"))
    if problems:
        raise MatrixErrors(problems)


def _unknown(name: str) -> pytest.PytestUnknownMarkWarning | None:
    """The warning of pytest about this name, if any. Raises pytest.fail.Exception if it is rejected."""
    with warnings.catch_warnings(record=True) as recorded:
        warnings.simplefilter("always")
        getattr(pytest.mark, name)
    found = (each.message for each in recorded if isinstance(each.message, pytest.PytestUnknownMarkWarning))
    return next(found, None)


def names_of(raises: Any) -> tuple[str, ...] | None:
    """The names that stand for an xfail mark's ``raises`` in the ledger."""
    if raises is None:
        return None
    return tuple(_name(each) for each in (raises if isinstance(raises, tuple) else (raises,)))


def _name(raises: object) -> str:
    return f"{raises.__module__}.{raises.__qualname__}" if isinstance(raises, type) else repr(raises)


class _ByName(type):
    """Metaclass whose ``isinstance`` check compares the names of an exception's classes."""

    names: frozenset[str]

    def __instancecheck__(cls, instance: object) -> bool:
        return not cls.names.isdisjoint(map(_name, type(instance).__mro__))


def as_mark(xfail: Xfail, raises: Any = None) -> pytest.MarkDecorator:
    """The mark of the launch. ``raises`` is today's value, which is used if its names are unchanged."""
    reason = unbroken(xfail.reason)
    if xfail.raises is None:
        return pytest.mark.xfail(reason=reason, strict=xfail.strict)
    if names_of(raises) != xfail.raises:
        # Today's code may no longer define these exceptions, so they are matched by name.
        raises = _ByName("Launched", (Exception,), {"names": frozenset(xfail.raises)})
    return pytest.mark.xfail(reason=reason, strict=xfail.strict, raises=raises)
