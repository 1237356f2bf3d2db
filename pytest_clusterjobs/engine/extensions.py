"""What a user's own code may add to a run: asked at fixed places, in the process that owns the run."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Protocol

from ..jobs import Cell
from ..jobs import JobSpec
from ..jobs import Miss
from ..jobs import Outcome
from .records import Field
from .records import Result


class Vetoed(Exception):
    """Its attempt is not to be submitted; the message is one line that says why."""


class Extensions(Protocol):
    """Called from the engine's threads; nothing but ``Vetoed`` may be raised."""

    @property
    def changes_specs(self) -> bool:
        """Whether ``prepare`` may give another spec than the cell's own."""

    def prepare(self, cell: Cell, attempt: int) -> JobSpec:
        """What to submit for an attempt of a cell, counted from 1. Raises Vetoed."""

    def check(self, cell: Cell, outcome: Outcome, log: Callable[[int], str]) -> Iterable[Miss]:
        """What else is wrong with an end that is an answer; ``log(rank)`` is a rank's whole log."""

    def fields(self, cell: Cell, result: Result) -> Mapping[str, Field]:
        """More fields for the reports of an attempt that has been judged."""

    def ended(self, cell: Cell, result: Result) -> None:
        """Told of every attempt that has ended, once the ledger has it."""


class NoExtensions:
    """Nothing is added."""

    @property
    def changes_specs(self) -> bool:
        """It does not."""
        return False

    def prepare(self, cell: Cell, attempt: int) -> JobSpec:
        """The cell's own spec."""
        return cell.spec

    def check(self, cell: Cell, outcome: Outcome, log: Callable[[int], str]) -> Iterable[Miss]:
        """Nothing is wrong."""
        return ()

    def fields(self, cell: Cell, result: Result) -> Mapping[str, Field]:
        """None."""
        return {}

    def ended(self, cell: Cell, result: Result) -> None:
        """Nobody is told."""
