"""All problems of a matrix file at once: where they are, what is wrong, how to fix them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from dataclasses import field
from typing import NamedTuple

from ..model.text import escaped

_MAX_SOURCE_COLUMNS = 100
"""The most columns of a source line in a message."""
_MAX_MESSAGE_CHARACTERS = 600
"""The most characters of a message."""
_MAX_SHOWN_PROBLEMS = 50
"""The most problems in ``str()``."""


class Location(NamedTuple):
    """A place in a file; line and column are counted from 1."""

    path: str
    line: int
    col: int

    def __str__(self) -> str:
        return f"{escaped(self.path)}:{self.line}:{self.col}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a matrix, or in a file of recipes that it reads."""

    path: str
    """Relative to rootdir where possible."""
    line: int
    col: int
    message: str
    """One line, control characters escaped."""
    source_line: str = ""
    """The line as it is in the file."""

    def __str__(self) -> str:
        head = f"{escaped(self.path)}:{self.line}:{self.col}: {self.message}"
        if not self.source_line.strip():
            return head
        shown, caret = _window(self.source_line, self.col - 1)
        return f"{head}\n  {shown}\n  {' ' * caret}^"


class MatrixErrors(Exception):
    """A matrix that cannot be used, with everything that is wrong with it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        shown = [str(problem) for problem in self.problems[:_MAX_SHOWN_PROBLEMS]]
        left = len(self.problems) - len(shown)
        return "\n".join([*shown, *([f"... and {left} more"] if left else [])])


@dataclass
class Reporter:
    """Collects problems and warnings of a matrix and of the files that it reads."""

    lines: dict[str, list[str]] = field(default_factory=dict)
    """Path to source lines, in the order in which files were read."""
    _errors: dict[tuple[Location, str], list[str]] = field(default_factory=dict)
    _messages_at: dict[Location, set[str]] = field(default_factory=dict)
    _warnings: dict[tuple[Location, str], list[str]] = field(default_factory=dict)

    def error(self, location: Location, message: str, cell: str | None = None) -> None:
        """Record a mistake; one that many cells share is reported once."""
        self._errors.setdefault((location, message[:_MAX_MESSAGE_CHARACTERS]), []).extend(
            [cell] if cell else []
        )
        self._messages_at.setdefault(location, set()).add(message[:_MAX_MESSAGE_CHARACTERS])

    def warn(self, location: Location, message: str, cell: str | None = None) -> None:
        """Record something that is allowed but probably not intended."""
        self._warnings.setdefault((location, message[:_MAX_MESSAGE_CHARACTERS]), []).extend(
            [cell] if cell else []
        )

    def has_error_at(self, location: Location, message: str | None = None) -> bool:
        """Whether a mistake (with this message) is already recorded there."""
        messages = self._messages_at.get(location, ())
        return bool(messages) if message is None else message[:_MAX_MESSAGE_CHARACTERS] in messages

    @property
    def has_errors(self) -> bool:
        """Whether there is any mistake."""
        return bool(self._errors)

    @property
    def warnings(self) -> tuple[str, ...]:
        """``path:line:col: message``, one line each, in file order."""
        ordered = sorted(self._warnings.items(), key=lambda item: self._order(item[0][0]))
        return tuple(
            f"{location}: {escaped(message)}{_cells(cells)}" for (location, message), cells in ordered
        )

    def raise_errors(self) -> None:
        """Raise MatrixErrors if there is any mistake."""
        if self._errors:
            ordered = sorted(self._errors.items(), key=lambda item: self._order(item[0][0]))
            raise MatrixErrors(
                Problem(*location, escaped(message) + _cells(cells), self._source(location))
                for (location, message), cells in ordered
            )

    def _order(self, location: Location) -> tuple[int, int, int]:
        files = list(self.lines)
        return (
            files.index(location.path) if location.path in self.lines else len(files),
            location.line,
            location.col,
        )

    def _source(self, location: Location) -> str:
        lines = self.lines.get(location.path, [])
        return lines[location.line - 1] if 0 < location.line <= len(lines) else ""


def _cells(cells: list[str]) -> str:
    if not cells:
        return ""
    more = f" and {len(cells) - 1} more" if len(cells) > 1 else ""
    return f" ({'cells' if more else 'cell'} {cells[0]}{more})"


def _window(line: str, at: int) -> tuple[str, int]:
    """The part of a line around a column, escaped, and the column in it."""
    start = max(0, at - _MAX_SOURCE_COLUMNS // 2) if len(line) > _MAX_SOURCE_COLUMNS else 0
    stop = start + _MAX_SOURCE_COLUMNS
    head = ("..." if start else "") + escaped(line[start:at].replace("\t", " "))
    rest = escaped(line[at:stop].replace("\t", " ")) + ("..." if stop < len(line) else "")
    return head + rest, len(head)
