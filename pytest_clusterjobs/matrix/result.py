"""The result of reading a matrix file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path

from ..model import Cell
from .errors import Location


@dataclass(frozen=True, slots=True)
class Matrix:
    """The cells of one matrix file."""

    path: Path
    cells: tuple[Cell, ...]
    warnings: tuple[str, ...] = ()
    """``path:line:col: message``, one line each."""
    marks: Mapping[str, Location] = field(default_factory=dict)
    """The first location of each mark's name."""
