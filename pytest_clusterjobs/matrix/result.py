"""What a matrix file holds, once read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path

from ..jobs import Cell
from .errors import Spot


@dataclass(frozen=True, slots=True)
class Matrix:
    """The cells of one matrix file."""

    path: Path
    cells: tuple[Cell, ...]
    warnings: tuple[str, ...] = ()
    """``path:line:col: message``, one line each."""
    marks: Mapping[str, Spot] = field(default_factory=dict)
    """Where each mark's name first stands."""
