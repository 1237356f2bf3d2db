"""A cell: one combination of a matrix, with its job spec and its expectation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from typing import Any

from .classification import Classification
from .expectation import Expectation
from .spec import JobSpec


@dataclass(frozen=True, slots=True)
class Mark:
    """A pytest mark that a matrix asks for."""

    name: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cell:
    """One test item of a matrix."""

    id: str
    """``recipe-2n-condition``, further axis values appended; unique in its file."""
    line: int
    """The line in its file, counted from 1, of its condition or its include."""
    axes: Mapping[str, str]
    """Axis to value as text, built-in axes first: ``{"recipe": "arena", "nodes": "2", ...}``."""
    backend: str
    """The NAME of the backend."""
    spec: JobSpec
    expect: Expectation = Expectation()
    classify: Classification = Classification()
    infra_retries: int = 0
    """How many new attempts may follow an infrastructure failure."""
    marks: tuple[Mark, ...] = ()
    fixtures: tuple[str, ...] = ()
    """Names of pytest fixtures that the item uses."""
    skip: str | None = None
    """Why the cell is skipped on this backend (``only`` on ``backend``); None if it runs."""

    def __post_init__(self) -> None:
        # Hooks of users may create cells, too.
        for value, kind in (
            (self.spec, JobSpec),
            (self.expect, Expectation),
            (self.classify, Classification),
        ):
            if not isinstance(value, kind):
                raise TypeError(f"a cell has a {kind.__name__}, not {value!r:.80}")
