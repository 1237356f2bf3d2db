"""Selections: one grammar for ``only``, ``exclude`` and ``where``.

A selection maps an axis name to a value or a list of values.
"""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..model.text import did_you_mean
from ..model.text import quoted
from .errors import Location
from .errors import Reporter
from .nodes import location_of
from .nodes import Map
from .nodes import Scalar
from .readers import fail
from .readers import source_text

BACKEND = "backend"
"""The name that selects by backend; not an axis."""


@dataclass(frozen=True, slots=True)
class Term:
    """One axis of a selection."""

    axis: str
    key: Scalar
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Where:
    """A selection as written in the file."""

    terms: tuple[Term, ...]
    location: Location


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """A selection with its names checked."""

    axes: tuple[tuple[str, frozenset[str]], ...]
    backends: frozenset[str] | None
    """Backend names or types; ``None`` for any."""
    location: Location

    def names(self, axis: str) -> bool:
        """Whether the selection includes this axis."""
        return any(name == axis for name, _ in self.axes)

    def matches(self, axes: Mapping[str, str]) -> bool:
        """Whether a cell's axes are selected, on any backend."""
        return all([axes[axis] in values for axis, values in self.axes])

    def matches_backend(self, names: Collection[str]) -> bool:
        """Whether a backend is selected, by its NAME and its type."""
        return self.backends is None or not self.backends.isdisjoint(names)


class SelectionIndex:
    """Finds the selections that match a cell, without testing each of them."""

    def __init__(self, selections: Sequence[Selection], sizes: Mapping[str, int]) -> None:
        """``sizes`` is how many values each axis has."""
        self._selections = selections
        self._without_axes: list[int] = []
        """Selections without an axis."""
        self._by_value: dict[tuple[str, str], list[int]] = {}
        """The others, by their values on the axis that leaves the fewest cells."""
        for at, selection in enumerate(selections):
            if selection.axes:
                axis, values = min(selection.axes, key=lambda named: len(named[1]) / sizes[named[0]])
                for value in values:
                    self._by_value.setdefault((axis, value), []).append(at)
            else:
                self._without_axes.append(at)

    def matching(self, axes: Mapping[str, str]) -> Sequence[int]:
        """The indexes of the selections that match, in order."""
        if not self._selections:
            return ()
        found = list(self._without_axes)
        for named in axes.items():
            found += [at for at in self._by_value.get(named, ()) if self._selections[at].matches(axes)]
        return sorted(found)


def parse_where(value: Any) -> Where:
    """Read a selection; names and values are checked later, when all axes are known."""
    if not isinstance(value, Map) or not value:
        fail("a selection maps axes to values: {nodes: [1, 2], condition: normal_completion}")
    terms = []
    for key, given in value.pairs():
        values = given if isinstance(given, list) else [given]
        if not values or not all(isinstance(each, Scalar) for each in values):
            fail(f"{quoted(key)} takes a value or a list of values", at=key)
        for each in values:
            source_text(each)
        terms.append(Term(str(key), key, tuple(values)))
    return Where(tuple(terms), location_of(value))


def check_where(
    where: Where, known: Mapping[str, Collection[str]], backends: Collection[str], reporter: Reporter
) -> Selection | None:
    """The selection with its names checked; ``None``, and errors, if some are unknown."""
    axes: list[tuple[str, frozenset[str]]] = []
    selected: frozenset[str] | None = None
    is_valid = True
    for term in where.terms:
        allowed = backends if term.axis == BACKEND else known.get(term.axis)
        if allowed is None:
            hint = did_you_mean(term.axis, [*known, BACKEND])
            reporter.error(location_of(term.key), f"unknown axis {quoted(term.axis)}{hint}")
            is_valid = False
            continue
        for value in term.values:
            if value not in allowed:
                hint = did_you_mean(value, sorted(allowed) if term.axis == BACKEND else allowed)
                reporter.error(location_of(value), f"{term.axis} has no value {quoted(value)}{hint}")
                is_valid = False
        values = frozenset(str(value) for value in term.values)
        if term.axis == BACKEND:
            selected = values
        else:
            axes.append((term.axis, values))
    return Selection(tuple(axes), selected, where.location) if is_valid else None
