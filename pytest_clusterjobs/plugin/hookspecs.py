"""Hooks offered to users: implement them in a conftest.py or a plugin, with the arguments that you need.

The first runs wherever a matrix is collected. The others run in the process that owns the run (the
controller under xdist), in threads of the engine, several at once: they see conftest files that pytest
loads at its start, those of rootdir and of the folders named on the command line.

``pytest.fail``, ``pytest.skip``, ``pytest.xfail`` and ``pytest.exit`` mean in them what they mean in a test, for
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
    """Called when a matrix has been loaded: add, replace or remove cells of the list in place.

    Runs at collection, before -k and -m select; under xdist in every worker, where the answer must be the same.
    """


@pytest.hookspec(firstresult=True)
def pytest_clusterjobs_before_submit(config: pytest.Config, cell: Cell, attempt: int) -> JobSpec | str | None:
    """Called when an attempt (counted from 1) of a cell is to be submitted.

    A JobSpec is submitted in place of ``cell.spec``; a text refuses the submission and says why: the
    cell is then an error with the reason ``rejected``. None leaves it to others, and last to the cell.
    """


def pytest_clusterjobs_check(
    config: pytest.Config, cell: Cell, outcome: Outcome, log: Callable[[int], str]
) -> str | None:
    """Called when a job has ended and given an answer: a text says what is wrong with it, and the cell has failed.

    A failed ``assert`` does so too, and so does any other exception. ``log(rank)`` reads the whole log of a rank.
    """


def pytest_clusterjobs_report_fields(
    config: pytest.Config, cell: Cell, result: Result
) -> Mapping[str, Field] | None:
    """Called when an attempt has been judged: texts and numbers by name, for the JSON report and JUnit properties."""


def pytest_clusterjobs_job_ended(config: pytest.Config, cell: Cell, result: Result) -> None:
    """Called when an attempt has ended and was judged, before its cell is reported; also when another attempt follows.

    After a crash it may be called again for the same attempt, by the session that resumes the run.
    """
