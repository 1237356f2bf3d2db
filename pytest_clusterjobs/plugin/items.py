"""Turns a matrix file into pytest items."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any
from typing import Protocol
from typing import TYPE_CHECKING

import pluggy
import pytest

from ..matrix import load_matrix
from ..matrix import MatrixErrors
from ..matrix.errors import Problem
from ..model import Cell
from ..model import CELL_ID
from ..model.paths import legible
from ..model.text import one_line
from ..model.text import unbroken
from ..reports.verdicts import NOT_RUN
from .collect_only import WHY_NOTHING_KEY
from .compat import fixture_mistakes
from .compat import Marked
from .launched_cells import LAUNCHED_KEY
from .launched_cells import LaunchedCell
from .marks import check_names
from .marks import decorator
from .marks import JUDGING
from .settings import settings_of

if TYPE_CHECKING:
    from ..model import Mark
    from ..model.records import Result


class MatrixWarning(pytest.PytestWarning):
    """A matrix contains something that works, but probably not as intended."""


class Checks(Protocol):
    """What an item needs from the session that runs it."""

    def check_expectation(self, item: CellItem) -> None:
        """Raise if the expectation is unmet."""


SESSION_KEY = pytest.StashKey[Checks]()


class MatrixFile(pytest.Module):
    """One matrix. It is a Module so that fixtures of every scope find their node."""

    refusal: str | None = None
    """Why its cells cannot run in this session."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # For conftest files that use ``request.module`` or ``item.module``; there is nothing to import.
        self.obj = ModuleType(self.path.stem)
        self.obj.__file__ = str(self.path)

    def collect(self) -> Iterator[CellItem]:
        """Load the file. Cells that request the same fixtures share pytest's fixture information."""
        if self.refusal is not None:
            raise pytest.UsageError(self.refusal)
        shared: dict[tuple[str, ...], tuple[Callable[[], None], Any]] = {}
        mistakes: list[Problem] = []
        for found in self._found():
            fixtures = found.cell.fixtures
            function, info = shared.get(fixtures) or (_function_using(fixtures), None)
            item: CellItem = CellItem.from_parent(
                self,
                name=found.cell.id,
                callobj=function,
                fixtureinfo=info,
                cell=found.cell,
                current=found.current,
            )
            if fixtures not in shared:
                shared[fixtures] = (function, item._fixtureinfo)
                mistakes += self._mistakes(item)
            yield item
        # In a check or a resume the jobs have already been submitted.
        if mistakes and LAUNCHED_KEY not in self.config.stash:
            raise MatrixErrors(mistakes)

    def _mistakes(self, item: CellItem) -> Iterator[Problem]:
        """Fixture errors that would otherwise appear in the item's setup, after its job has ended."""
        for mistake in fixture_mistakes(item._fixtureinfo):
            yield Problem(self.nodeid, item.cell.line, 1, f"{item.cell.id}: {mistake}")

    def _found(self) -> Iterator[LaunchedCell]:
        """The cells of the file; in a check or resume those of the run come first."""
        launched = self.config.stash.get(LAUNCHED_KEY, None)
        if launched is None:
            return (LaunchedCell(cell, cell) for cell in self._cells_now(None))
        return launched.cells_of(self.path, self.nodeid, lambda: self._cells_now(launched.backend))

    def _cells_now(self, backend: str | None) -> list[Cell]:
        """The cells in the file now, on ``backend`` unless the command line names one."""
        settings = settings_of(self.config)
        matrix = load_matrix(
            self.path,
            rootdir=settings.run_config.rootdir,
            site=settings.run_config.site,
            backend=settings.backend or backend,
        )
        for warning in matrix.warnings:
            self.warn(MatrixWarning(warning))
        cells = self._modified(matrix.cells)
        check_names(matrix, cells, self.nodeid, settings.run_config.rootdir)
        return cells

    def _modified(self, cells: Sequence[Cell]) -> list[Cell]:
        """The cells after the user's hooks. Raises pytest.UsageError for an invalid cell."""
        hook = self.ihook.pytest_clusterjobs_modify_cells
        changed = list(cells)
        hook(config=self.config, path=self.path, cells=changed)
        seen: set[str] = set()
        for cell in changed:
            if not isinstance(cell, Cell):
                raise pytest.UsageError(
                    f"{self.nodeid}: pytest_clusterjobs_modify_cells left {one_line(repr(cell), 80)} among the"
                    " cells; a Cell is needed, such as dataclasses.replace(cells[0], id=...)"
                )
            if cell.id in seen or not CELL_ID.fullmatch(cell.id):
                what = "a second cell" if cell.id in seen else "a cell"
                raise pytest.UsageError(
                    f"{self.nodeid}: pytest_clusterjobs_modify_cells left {what} with the id {cell.id!r};"
                    " ids are unique and within [A-Za-z0-9._+-]"
                )
            seen.add(cell.id)
        return changed

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Show errors in a matrix or in settings without a traceback."""
        if isinstance(excinfo.value, MatrixErrors | MatrixWarning | pytest.UsageError):
            return str(excinfo.value)
        if not self.config.option.fulltrace:
            excinfo.traceback = _inside_hook(excinfo.traceback)
        return super().repr_failure(excinfo)


def _inside_hook(traceback: Any) -> Any:
    """The part of a traceback inside a user's hook, as pytest cuts a module's; all of it without a hook."""
    caller = Path(pluggy.__file__).parent
    calls = [place for place, entry in enumerate(traceback) if caller in Path(entry.path).parents]
    return traceback[calls[-1] + 1 :] or traceback if calls else traceback


def _function_using(fixtures: tuple[str, ...]) -> Callable[[], None]:
    """A function for cells to refer to, marked so that pytest sets up these fixtures."""

    def cell() -> None:
        """One cell of a matrix."""

    return pytest.mark.usefixtures(*fixtures)(cell) if fixtures else cell


class CellItem(pytest.Function):
    """One cell. Its setup phase is the wait in the queue, its call phase the job's run and the verdict."""

    cell: Cell
    will_run = False
    """Whether its job has been or will be submitted, because no mark skips it."""
    result: Result | None = None
    marked = Marked()
    """The result of its marks when the loop began."""
    _overruled: Sequence[pytest.Mark] = ()
    current: Cell | None
    """The cell in its file now; None if the file no longer has it. May differ from ``cell`` in a check."""

    def __init__(self, *, cell: Cell, current: Cell | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cell = cell
        self.current = current
        for mark in _marks(cell, current):
            self.add_marker(decorator(mark))
        skip = (current or cell).skip
        if skip is not None:
            self.add_marker(pytest.mark.skip(reason=unbroken(skip)))

    def judge_by(self, mark: pytest.MarkDecorator | None) -> None:
        """Replace the item's skip, skipif and xfail marks, including inherited ones, with this mark."""
        self._overruled = [each for each in self.iter_markers() if each.name in JUDGING]
        if mark is not None:
            self.add_marker(mark)

    def iter_markers_with_node(self, name: str | None = None) -> Iterator[tuple[Any, pytest.Mark]]:
        """The marks in force, without those that have been replaced."""
        for node, mark in super().iter_markers_with_node(name):
            if not any(mark is each for each in self._overruled):
                yield node, mark

    @property
    def key(self) -> str:
        """The cell's key: the node id without the suffix of xdist's loadgroup."""
        assert self.parent is not None
        return f"{self.parent.nodeid}::{self.cell.id}"

    @property
    def location_text(self) -> str:
        """``path:line`` of the cell, the path relative to rootdir."""
        assert self.parent is not None
        return f"{self.parent.nodeid}:{self.cell.line}"

    def setup(self) -> None:
        """Set up fixtures, unless nothing was submitted: then there is nothing to report."""
        stash = self.config.stash
        if not getattr(self.config.option, "setuponly", False) and not (
            self.will_run and SESSION_KEY in stash
        ):
            pytest.skip(stash.get(WHY_NOTHING_KEY, f"{NOT_RUN}this session submits nothing"))
        super().setup()

    def runtest(self) -> None:
        """Check the outcome against the expectation."""
        self.config.stash[SESSION_KEY].check_expectation(self)

    def reportinfo(self) -> tuple[Path, int, str]:
        """The cell's position. The ``: `` keeps pytest -v from treating the id as a dotted name."""
        return Path(legible(self.path)), self.cell.line - 1, f"{self.path.stem}: {self.cell.id}"


def _marks(cell: Cell, current: Cell | None) -> list[Mark]:
    """The marks for selecting a cell: today's, and those that it had when it was launched."""
    if current is None or current is cell:
        return list(cell.marks)
    then = [mark for mark in cell.marks if mark not in current.marks and mark.name not in JUDGING]
    return [*current.marks, *then]
