"""Hooks for users. Implement them in a conftest.py or a plugin, with the arguments that you need.

The first hook runs in every process that collects a matrix. The others run in the process that owns the run
(the controller under xdist), in threads of the engine, several at once. That process only knows the conftest
files that pytest loads at its start: those of rootdir and of the folders named on the command line.

``pytest.fail``, ``pytest.skip``, ``pytest.xfail`` and ``pytest.exit`` have the same effect as in a test, for
the cell that the hook is called for.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ..model import Cell
    from ..model import JobSpec
    from ..model import Outcome
    from ..model.records import Field
    from ..model.records import Result


def pytest_clusterjobs_modify_cells(config: pytest.Config, path: Path, cells: list[Cell]) -> None:
    """Called when a matrix has been loaded. Add, replace or remove cells of the list in place.

    Runs at collection, before selection with -k and -m. Under xdist it runs in every worker, and the result
    must be the same in all of them.
    """


@pytest.hookspec(firstresult=True)
def pytest_clusterjobs_before_submit(config: pytest.Config, cell: Cell, attempt: int) -> JobSpec | str | None:
    """Called before an attempt (counted from 1) of a cell is submitted.

    A returned JobSpec is submitted in place of ``cell.spec``. A text refuses the submission and gives the
    reason: the cell is then an error with the reason ``rejected``. None leaves the decision to other
    implementations, and finally submits the cell's own spec.
    """


def pytest_clusterjobs_check(
    config: pytest.Config, cell: Cell, outcome: Outcome, log: Callable[[int], str]
) -> str | None:
    """Called when a job has ended, except after an infrastructure failure.

    A returned text says what is wrong, and the cell fails. A failed ``assert`` and any other exception have
    the same effect. ``log(rank)`` reads the whole log of a rank.
    """


def pytest_clusterjobs_report_fields(
    config: pytest.Config, cell: Cell, result: Result
) -> Mapping[str, Field] | None:
    """Called when an attempt has been judged.

    Returns texts and numbers by name, for the JSON report and JUnit properties.
    """


def pytest_clusterjobs_job_ended(config: pytest.Config, cell: Cell, result: Result) -> None:
    """Called when an attempt has ended and has been judged, before its cell is reported.

    It is also called if another attempt follows. After a crash the session that resumes the run may call it
    again for the same attempt.
    """
