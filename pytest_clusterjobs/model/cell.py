"""A cell: one combination of a matrix, with all that is needed to run and judge it."""

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
    """Where the cell comes from in its file, counted from 1 (its condition, or its include)."""
    axes: Mapping[str, str]
    """Every axis, built-in ones first, with the value's source text: ``{"recipe": "arena", "nodes": "2", ...}``."""
    backend: str
    """The NAME that it runs on."""
    spec: JobSpec
    expect: Expectation = Expectation()
    classify: Classification = Classification()
    infra_retries: int = 0
    marks: tuple[Mark, ...] = ()
    fixtures: tuple[str, ...] = ()
    skip: str | None = None
    """Why it cannot run on this backend (``only`` on ``backend``); it is collected and skipped."""

    def __post_init__(self) -> None:
        # A user's hook may make cells, too.
        for value, kind in (
            (self.spec, JobSpec),
            (self.expect, Expectation),
            (self.classify, Classification),
        ):
            if not isinstance(value, kind):
                raise TypeError(f"a cell has a {kind.__name__}, not {value!r:.80}")
