"""YAML matrices to cells. Importing this is cheap; YAML and pydantic are imported by the first load."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .errors import MatrixErrors
from .errors import Problem
from .result import Matrix

if TYPE_CHECKING:
    from ..backends.registry import Site

__all__ = ["load_matrix", "schema_json", "Matrix", "MatrixErrors", "Problem"]


def load_matrix(path: Path, *, rootdir: Path, site: Site, backend: str | None = None) -> Matrix:
    """Read a matrix file and expand it to its cells.

    ``backend`` (a NAME) overrides the file's. Raises MatrixErrors with everything that is wrong.
    """
    from .expand import expand_file

    return expand_file(path, rootdir=rootdir, site=site, backend=backend)


def schema_json() -> str:
    """The JSON Schema of a matrix, generated from the model."""
    from .schema import schema_json

    return schema_json()
