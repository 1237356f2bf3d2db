"""What the user's code can add to a run. It is called at fixed points, in the process that owns the run."""

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
"""A remark of the user's code on a cell: what is wrong with its end, or how its item ends (skip, xfail)."""


class Vetoed(Exception):
    """The attempt must not be submitted. The message is one line with the reason."""

    def __init__(self, why: str, ruling: Ruling | None = None) -> None:
        super().__init__(why)
        self.ruling = ruling
        """How the item ends; None if the refused submission is an error."""


class Extensions(Protocol):
    """Called from the engine's threads. Only ``Vetoed`` may be raised."""

    @property
    def ending(self) -> BaseException | None:
        """The exception with which the user's code ends the session.

        It is raised in the thread that waits for results; the other threads continue.
        """

    @property
    def is_asked(self) -> bool:
        """Whether any of ``check``, ``fields`` and ``ended`` does something."""

    @property
    def changes_specs(self) -> bool:
        """Whether ``prepare`` may return a spec other than the cell's own."""

    def prepare(self, cell: Cell, attempt: int) -> JobSpec:
        """The spec to submit for an attempt (counted from 1) of a cell. Raises Vetoed."""

    def check(self, cell: Cell, outcome: Outcome, log: Callable[[int], str]) -> Iterable[Remark]:
        """Remarks on the end of a job, if it is not an infrastructure failure.

        ``log(rank)`` is a rank's whole log.
        """

    def fields(self, cell: Cell, result: Result) -> tuple[Mapping[str, Field], Sequence[Remark]]:
        """Further fields for the reports of an attempt that has been judged, and remarks on it."""

    def ended(self, cell: Cell, result: Result) -> Sequence[Remark]:
        """Called for every attempt that has ended and was judged. Returns remarks on it."""


class NoExtensions:
    """Adds nothing."""

    ending: BaseException | None = None

    @property
    def is_asked(self) -> bool:
        """Whether a subclass does anything."""
        return type(self) is not NoExtensions

    @property
    def changes_specs(self) -> bool:
        """Whether a subclass prepares specs."""
        return type(self).prepare is not NoExtensions.prepare

    def prepare(self, cell: Cell, attempt: int) -> JobSpec:
        """Return the cell's own spec."""
        return cell.spec

    def check(self, cell: Cell, outcome: Outcome, log: Callable[[int], str]) -> Iterable[Remark]:
        """Return no remarks."""
        return ()

    def fields(self, cell: Cell, result: Result) -> tuple[Mapping[str, Field], Sequence[Remark]]:
        """Return no fields and no remarks."""
        return {}, ()

    def ended(self, cell: Cell, result: Result) -> Sequence[Remark]:
        """Do nothing."""
        return ()
