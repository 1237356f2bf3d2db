"""Globs over ``/`` paths: whether they match a path, and which files they match, also through links."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

MAX_ENTRIES = 100_000
"""The most names that are examined for one glob; a glob that covers more is reported as a mistake."""

_WILD = re.compile(r"[*?[]")


class TooManyEntries(Exception):
    """A glob covers more of the disk than intended."""


@dataclass(frozen=True, slots=True)
class Glob:
    """A glob with pytest's syntax: ``*`` ``?`` ``[abc]`` within a name, ``**`` for any number of folders."""

    base: str
    """The folders before the first wildcard."""
    parts: tuple[str, ...]
    """The rest, one name a part; never empty."""

    @classmethod
    def of(cls, text: str) -> Glob:
        """Read a glob; ``./`` and ``..`` have the same meaning as in a path."""
        parts = os.path.normpath(text).split("/")
        wild = (number for number, part in enumerate(parts) if _WILD.search(part))
        split = min(next(wild, len(parts)), len(parts) - 1)
        rest = [*parts[split:], *(["*"] if parts[-1] == "**" else [])]
        return cls("/".join(parts[:split]) or ("/" if text.startswith("/") else ""), tuple(rest))

    def matches(self, names: Sequence[str]) -> bool:
        """Whether it matches a path below its base, given as names."""
        positions = self._start
        for name in names:
            positions = self._after(positions, name)
        return len(self.parts) in positions

    def covers(self, names: Sequence[str]) -> bool:
        """Whether it matches a path below the folder to which its base is relative."""
        base = tuple(self.base.split("/")) if self.base else ()
        return tuple(names[: len(base)]) == base and self.matches(names[len(base) :])

    @property
    def is_anchored(self) -> bool:
        """Whether it is independent of its folder: absolute, or beginning with ``..``."""
        return self.base.startswith(("/", ".."))

    def files(self, folder: Path, *, hidden: bool = False) -> Iterator[str]:
        """The regular files that it matches below ``folder``, relative to it. Raises TooManyEntries.

        A folder that contains itself through links is entered once. Names with a leading dot need ``hidden``,
        or a pattern with that dot.
        """
        walk = _Walk(self, hidden)
        base = folder / self.base
        for names in walk.below(base, self._start, ()):
            yield "/".join([*([self.base.rstrip("/")] if self.base else []), *names])

    @property
    def _start(self) -> frozenset[int]:
        return self._closed({0})

    def _after(self, positions: frozenset[int], name: str, *, hidden: bool = True) -> frozenset[int]:
        """The positions in the glob after one more name."""
        found = set()
        for position in positions:
            part = self.parts[position] if position < len(self.parts) else None
            if part is None or (name.startswith(".") and not hidden and not part.startswith(".")):
                continue
            if part == "**":
                found.add(position)
            elif fnmatchcase(name, part):
                found.add(position + 1)
        return self._closed(found)

    def _closed(self, positions: set[int]) -> frozenset[int]:
        """The positions, with those that are reached without a name."""
        for position, part in enumerate(self.parts):
            if part == "**" and position in positions:
                positions.add(position + 1)
        return frozenset(positions)


class _Walk:
    """One walk over the disk."""

    def __init__(self, glob: Glob, hidden: bool) -> None:
        self._glob = glob
        self._hidden = hidden
        self._seen = 0
        self._open: set[tuple[int, int]] = set()
        """The folders that are being walked."""

    def below(
        self, folder: Path, positions: frozenset[int], names: tuple[str, ...]
    ) -> Iterator[tuple[str, ...]]:
        identity = _identity(folder)
        if identity is None or identity in self._open:
            return
        self._open.add(identity)
        for name in self._names(folder):
            after = self._glob._after(positions, name, hidden=self._hidden)
            if not after:
                continue
            path, last = folder / name, len(self._glob.parts)
            if after - {last}:
                yield from self.below(path, after - {last}, (*names, name))
            if last in after and path.is_file():
                yield (*names, name)
        self._open.discard(identity)

    def _names(self, folder: Path) -> list[str]:
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            return []
        self._seen += len(names)
        if self._seen > MAX_ENTRIES:
            raise TooManyEntries
        return names


def _identity(folder: Path) -> tuple[int, int] | None:
    """Identifies a folder independently of its path; None for anything else."""
    try:
        found = folder.stat()
    except (OSError, ValueError):
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISDIR(found.st_mode) else None


def below(path: Path, folder: Path) -> tuple[str, ...] | None:
    """The names that lead from ``folder`` to ``path``, independently of links; None if none do."""
    if path.is_relative_to(folder):
        return path.relative_to(folder).parts
    wanted = _identity(folder)
    if wanted is None:
        return None
    names: tuple[str, ...] = ()
    for up in (path, *path.parents):
        if _identity(up) == wanted:
            return names
        names = (up.name, *names)
    return None


def leads_back(path: Path) -> bool:
    """Whether a folder is a link to one of its parents."""
    if not path.is_symlink():
        return False
    wanted = _identity(path)
    return wanted is not None and any(_identity(up) == wanted for up in path.parents)
