"""What a matrix file holds, once read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..jobs import Cell


@dataclass(frozen=True, slots=True)
class Matrix:
    """The cells of one matrix file."""

    path: Path
    cells: tuple[Cell, ...]
    warnings: tuple[str, ...] = ()
    """``path:line:col: message``, one line each."""
