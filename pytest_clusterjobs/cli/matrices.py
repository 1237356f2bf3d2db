"""``clusterjobs validate`` and ``schema``: check matrices without running anything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from ..matrix import load_matrix
from ..matrix import Matrix
from ..matrix import MatrixErrors
from ..matrix import schema_json
from ..model.text import counted
from .collection import matrices_in
from .errors import EXIT_NOT_PASSED
from .options import as_json
from .options import pass_project
from .output import emit
from .output import note
from .output import say
from .project import Project

_PATHS = click.Path(exists=True, path_type=Path)


@click.command()
@click.argument("paths", nargs=-1, required=True, type=_PATHS)
@click.option("--backend", metavar="NAME", help="Like pytest's --cluster-backend.")
@as_json
@pass_project
def validate(project: Project, paths: tuple[Path, ...], backend: str | None, as_json: bool) -> None:
    """Check matrices, and all matrices in folders; print every error, or the number of cells.

    In a folder, the ini option cluster_matrices determines which files are matrices. The project's
    conftest.py is executed, as by pytest --collect-only.
    """
    project = project.for_paths([str(path) for path in paths])
    files = dict.fromkeys(_files(project, paths))
    site = project.site()
    good: list[Matrix] = []
    bad: list[MatrixErrors] = []
    for path in files:
        try:
            good.append(load_matrix(path, rootdir=project.rootdir, site=site, backend=backend))
        except MatrixErrors as errors:
            bad.append(errors)
    _print(good, bad, as_json)
    if bad:
        raise SystemExit(EXIT_NOT_PASSED)


def _files(project: Project, paths: tuple[Path, ...]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from matrices_in(project, path)
        else:
            yield path.resolve()


def _print(good: list[Matrix], bad: list[MatrixErrors], as_json: bool) -> None:
    cells = sum(len(matrix.cells) for matrix in good)
    warnings = [warning for matrix in good for warning in matrix.warnings]
    if as_json:
        emit({"cells": cells, "warnings": warnings, "problems": list(_problems(bad))})
        return
    for errors in bad:
        say(str(errors), "red")
    for warning in warnings:
        note(f"warning: {warning}")
    if bad:
        problems = sum(len(errors.problems) for errors in bad)
        note(f"{counted(problems, 'error')} in {len(bad)} of {len(good) + len(bad)} matrices")
    else:
        say(f"{counted(cells, 'cell')} in {len(good)} {'matrix' if len(good) == 1 else 'matrices'}")


def _problems(bad: list[MatrixErrors]) -> Iterator[dict[str, Any]]:
    for errors in bad:
        for problem in errors.problems:
            yield {
                "path": problem.path,
                "line": problem.line,
                "col": problem.col,
                "message": problem.message,
            }


@click.command()
def schema() -> None:
    """Print the JSON Schema of a matrix, for editors."""
    click.echo(schema_json(), nl=False)
