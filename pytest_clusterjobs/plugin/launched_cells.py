"""The cells of an earlier run as they were launched, and how today's files differ from them."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import fields
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ..ledger.codec import dump
from ..ledger.codec import load
from ..ledger.ledger import Ledger
from ..model import Cell
from ..model import JobSpec
from ..model.records import Registration
from ..model.text import counted
from ..model.text import one_line

MAX_NAMES_PER_LINE = 5
"""The largest number of names in one line."""

_NOT_COMPARED = ("id", "line", "axes", "spec", "marks", "skip")
"""Fields of a cell that are not compared by themselves: they are irrelevant or are reported another way."""


@dataclass(frozen=True, slots=True)
class LaunchedCell:
    """The cell of an item: as it was launched if the run has it, else as it is today."""

    cell: Cell
    current: Cell | None
    """None if today's files have no such cell."""


class Differences:
    """Differences between today's files and the launch, one line per kind."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, str], list[str]] = {}

    def add(self, kind: str, name: str, detail: str = "") -> None:
        """Note a cell.

        ``kind`` may mention ``{are}`` and ``{have}`` (the cells and the verb) and ``{detail}``.
        """
        self._kinds.setdefault((kind, detail), []).append(name)

    def lines(self) -> Iterator[str]:
        """One line per kind, with the names of a few cells."""
        for (kind, detail), names in self._kinds.items():
            one = len(names) == 1
            cells = f"{counted(len(names), 'cell')} of this run"
            text = kind.format(
                are=f"{cells} {'is' if one else 'are'}",
                have=f"{cells} {'has' if one else 'have'}",
                detail=detail,
            )
            more = len(names) - MAX_NAMES_PER_LINE
            shown = ", ".join(names[:MAX_NAMES_PER_LINE]) + (f" and {more} more" if more > 0 else "")
            yield f"{text}: {shown}"


class Launched:
    """The cells of a run by file. Jobs that a test submitted from Python are not included."""

    def __init__(self, ledger: Ledger) -> None:
        """Read a run's ledger. Raises LedgerError."""
        meta = ledger.meta()
        self.backend: str | None = (meta.get("environment") or {}).get("backend")
        """The value of --cluster-backend at the launch."""
        self.left_out: Mapping[str, tuple[str, str]] = meta.get("left_out") or {}
        """The cells that a mark kept from running, by key: the mark's name and its reason."""
        self.differences = Differences()
        self._entries = {entry.key: entry for _, entry in ledger.registrations() if entry.test is None}
        self._files: dict[str, list[Registration]] = {}
        for entry in self._entries.values():
            self._files.setdefault(entry.path, []).append(entry)

    @property
    def files(self) -> Iterable[str]:
        """The node ids of its files."""
        return self._files

    @property
    def keys(self) -> Iterable[str]:
        """The keys of its cells."""
        return self._entries

    def has(self, key: str) -> bool:
        """Whether the run has this cell, or a mark kept it from running at the launch."""
        return key in self._entries or key in self.left_out

    def entry(self, key: str) -> Registration | None:
        """A cell as it was launched."""
        return self._entries.get(key)

    def cells_of(
        self, path: Path, nodeid: str, todays: Callable[[], Iterable[Cell]]
    ) -> Iterator[LaunchedCell]:
        """The run's cells of a file in the order of the launch, then further cells that the file has now.

        A file that is missing or cannot be read is not an error. ``todays`` may raise if the run has no cells
        of it.
        """
        entries = self._files.get(nodeid, [])
        kind, todays_cells = self._read(path, nodeid, todays, bool(entries))
        current = {cell.id: cell for cell in todays_cells}
        for entry in entries:
            now = current.pop(entry.cell.id, None)
            if now is None:
                self.differences.add(kind, entry.cell.id, nodeid)
                yield LaunchedCell(entry.cell, None)
                continue
            if changed := ", ".join(_changes(entry.cell, now)):
                changed = f"{nodeid} since the launch ({changed})"
                self.differences.add("{have} changed in {detail}: judged as launched", now.id, changed)
            # Show the cell's position in the file as it is now.
            yield LaunchedCell(replace(entry.cell, line=now.line), now)
        for cell in current.values():
            yield LaunchedCell(cell, cell)

    def _read(
        self, path: Path, nodeid: str, todays: Callable[[], Iterable[Cell]], was_launched: bool
    ) -> tuple[str, Iterable[Cell]]:
        """Today's cells, and how to report that one is missing."""
        if was_launched and not path.is_file():
            return "{are} no longer in {detail}, which is gone: judged as launched", ()
        try:
            return "{are} no longer in {detail}: judged as launched", list(todays())
        except Exception as error:
            if not was_launched:
                raise
            problems = getattr(error, "problems", None)
            text = one_line(str(problems[0] if problems else error).splitlines()[0])
            why = text.replace("{", "{{").replace("}", "}}")
            return f"{{detail}} cannot be read today ({why}), {{are}} judged as launched", ()


def _changes(then: Cell, now: Cell) -> Iterator[str]:
    """The fields in which today's cell differs from the one that was launched."""
    # In the form in which the ledger would store it.
    now = load(Cell, dump(now))
    yield from _differing(then.spec, now.spec, fields(JobSpec))
    yield from (name for name in _differing(then, now, fields(Cell)) if name not in _NOT_COMPARED)


def _differing(then: object, now: object, of: Iterable[Any]) -> Iterator[str]:
    return (each.name for each in of if getattr(then, each.name) != getattr(now, each.name))


LAUNCHED_KEY = pytest.StashKey[Launched]()
