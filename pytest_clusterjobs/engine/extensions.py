"""What a user's own code may add to a run: asked at fixed places, in the process that owns the run."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Protocol

from ..model import Cell
from ..model import JobSpec
from ..model import Mismatch
from ..model import Outcome
from ..model.records import Field
from ..model.records import Result
from ..model.records import Ruling

Remark = Mismatch | Ruling
"""What the user's code says of a cell: what is wrong with its end, or what becomes of its item."""


class Vetoed(Exception):
    """Its attempt is not to be submitted; the message is one line that says why."""

    def __init__(self, why: str, ruling: Ruling | None = None) -> None:
        super().__init__(why)
        self.ruling = ruling
        """What becomes of the item, unless the submission is refused as an error."""


class Extensions(Protocol):
    """Called from the engine's threads; nothing but ``Vetoed`` may be raised."""

    @property
    def ending(self) -> BaseException | None:
        """What the user's code ends the session with; raised in the thread that waits for results, while the others go on."""

    @property
    def changes_specs(self) -> bool:
        """Whether ``prepare`` may give another spec than the cell's own."""

    def prepare(self, cell: Cell, attempt: int) -> JobSpec:
        """What to submit for an attempt of a cell, counted from 1. Raises Vetoed."""

    def check(self, cell: Cell, outcome: Outcome, log: Callable[[int], str]) -> Iterable[Remark]:
        """What else there is to say of an end that is an answer; ``log(rank)`` is a rank's whole log."""

    def fields(self, cell: Cell, result: Result) -> tuple[Mapping[str, Field], Sequence[Remark]]:
        """More fields for the reports of an attempt that has been judged, and what else there is to say of it."""

    def ended(self, cell: Cell, result: Result) -> Sequence[Remark]:
        """Told of every attempt that has ended and was judged; what there is to say of it."""


class NoExtensions:
    """Nothing is added."""

    ending: BaseException | None = None

    @property
    def changes_specs(self) -> bool:
        """It does not."""
        return False

    def prepare(self, cell: Cell, attempt: int) -> JobSpec:
        """The cell's own spec."""
        return cell.spec

    def check(self, cell: Cell, outcome: Outcome, log: Callable[[int], str]) -> Iterable[Remark]:
        """Nothing is wrong."""
        return ()

    def fields(self, cell: Cell, result: Result) -> tuple[Mapping[str, Field], Sequence[Remark]]:
        """None."""
        return {}, ()

    def ended(self, cell: Cell, result: Result) -> Sequence[Remark]:
        """Nobody is told."""
        return ()
