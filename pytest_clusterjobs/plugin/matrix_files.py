"""Which files of a session are matrices: by pattern, or named (or in a folder named) on the command line."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..matrix.globs import below
from ..matrix.globs import Glob
from ..matrix.raw_file import MAX_BYTES
from ..matrix.raw_file import NAMES_RECIPES
from ..matrix.raw_file import read_regular
from ..matrix.raw_file import top_level_keys
from .options import MATRICES
from .options import SUFFIXES

_TYPICAL_KEYS = frozenset({"conditions", "nodes", "axes", "overrides"})
"""Other top-level keys of a matrix that are unlikely in any other YAML file."""

_BRACES = re.compile(r"\{([^{}]*,[^{}]*)\}")
_SEPARATED = re.compile(r"(?<=\.yaml)[\s,]+|(?<=\.yml)[\s,]+")
_WILD = re.compile(r"[*?[\]]")


def pattern_fault(pattern: str) -> str | None:
    """Why a pattern cannot match any matrix, and what to write instead; None if it can."""
    last = pattern.rstrip("/").rpartition("/")[2]
    if (bare := pattern.strip("'\",")) != pattern:
        return f"a list has no quotes or commas: write {bare}"
    if len(several := _SEPARATED.split(pattern)) > 1:
        return f"write each pattern on a line of its own: {' and '.join(several)}"
    if braces := _BRACES.search(pattern):
        before, after = pattern[: braces.start()], pattern[braces.end() :]
        each = ", ".join(f"{before}{word.strip()}{after}" for word in braces[1].split(","))
        return f"globs do not support braces: write a pattern for each, {each}"
    if pattern.startswith("~"):
        return f"`~` is not expanded: write {os.path.expanduser(pattern)}, or a path relative to rootdir"
    if any("**" in part and part != "**" for part in pattern.split("/")):
        parts = [_whole(part) for part in pattern.split("/")]
        return f"`**` stands for whole folders: write {'/'.join(parts)}"
    below_it = f"{os.path.normpath(pattern)}/**/*.yaml"
    if pattern.endswith("/") or last in (".", ".."):
        return f"it names a folder: write {below_it}"
    suffix = Path(last).suffix
    if _WILD.search(suffix or last) or suffix.lower() in SUFFIXES:
        return None
    if suffix and _WILD.search(last):
        return f"a matrix is a .yaml or .yml file: write {pattern.removesuffix(suffix)}.yaml"
    return f"it does not name a .yaml or .yml file: write {below_it} for what is below a folder"


def _whole(part: str) -> str:
    if "**" not in part or part == "**":
        return part
    return f"**/*{part[2:].lstrip('*')}" if part.startswith("**") else re.sub(r"\*\*+", "*", part)


def check_patterns(config: pytest.Config) -> None:
    """Raise pytest.UsageError for patterns that cannot match any file."""
    for pattern in config.getini(MATRICES):
        if (why := pattern_fault(pattern)) is not None:
            raise pytest.UsageError(
                f"{source_of(config)}: {MATRICES}: {pattern!r} cannot match a matrix: {why}"
            )


def legible(path: str | os.PathLike[str]) -> str:
    """See :mod:`pytest_clusterjobs.model.paths`, imported on use: most projects with YAML do not need it."""
    from ..model.paths import legible

    return legible(path)


def source_of(config: pytest.Config) -> str:
    """Where the ini options come from, for messages."""
    return legible(config.inipath.name) if config.inipath is not None else "ini"


class MatrixFinder:
    """The YAML files of one session."""

    def __init__(self, session: pytest.Session) -> None:
        self._session = session
        self.rootdir = session.config.rootpath
        self.globs = {text: Glob.of(text) for text in session.config.getini(MATRICES)}
        self.matched: set[str] = set()
        """The patterns that matched a file."""
        self.uncollected: list[Path] = []
        """The YAML files that are not collected."""
        self._paths: dict[str, Path] = {}
        self._named: dict[Path, Path | None] = {}
        self._folders: dict[tuple[Path, Path], tuple[str, ...] | None] = {}

    def nodeid(self, path: Path) -> str:
        """The node id of a file: its path from rootdir, whatever links lead to either."""
        names = self._names(path, self.rootdir)
        # pytest gives all files outside of rootdir that are named directly the same, empty node id.
        found = os.path.relpath(path, self.rootdir) if names is None else "/".join(names)
        return legible(Path(found).as_posix())

    def is_second(self, path: Path, nodeid: str) -> bool:
        """Whether a matrix is already collected by another path: two arguments may lead to the same file."""
        return self._paths.setdefault(nodeid, path) != path

    def has(self, path: Path) -> bool:
        """Whether a file is collected as a matrix, by whatever path."""
        return any(path.samefile(other) for other in self._paths.values() if other.exists())

    def is_matrix(self, path: Path, *, taken: bool) -> bool:
        """Whether a YAML file is a matrix. A file that no pattern matches must look like one.

        ``taken``: whether another plugin collects it.
        """
        if self.by_pattern(path):
            return True
        if self._session.isinitpath(path):
            return _is_meant_as_matrix(path) if not taken else has_recipes(path)
        return self.project_of(path) is not None and has_recipes(path)

    def by_pattern(self, path: Path) -> bool:
        """Whether a pattern matches a path."""
        found = [text for text, glob in self.globs.items() if self._matches(glob, path)]
        self.matched.update(found)
        return bool(found)

    def _matches(self, glob: Glob, path: Path) -> bool:
        if glob.is_anchored:
            names = self._names(path, self.rootdir / glob.base)
            return names is not None and any(map(glob.matches, _spellings(names)))
        names = self._names(path, self.rootdir)
        return names is not None and any(map(glob.covers, _spellings(names)))

    def looks_into(self, folder: Path) -> bool:
        """Whether a pattern may match files in a folder, or below it."""
        return any(
            self._names(folder / "any", self.rootdir / glob.base) is not None for glob in self.globs.values()
        )

    def _names(self, path: Path, anchor: Path) -> tuple[str, ...] | None:
        """The names that lead from a folder to a path."""
        key = path.parent, anchor
        if key not in self._folders:
            self._folders[key] = below(path.parent, anchor)
        names = self._folders[key]
        return None if names is None else (*names, path.name)

    def project_of(self, path: Path) -> Path | None:
        """The folder to which patterns are relative, if it is in or above what the command line names."""
        named = self.named_folder(path)
        if named is None:
            return None
        globs = [glob for glob in self.globs.values() if not glob.is_anchored]
        spellings = list(_spellings(path.parts))
        for depth in range(len(named.parts), 0, -1):
            if any(glob.covers(parts[depth:]) for glob in globs for parts in spellings):
                return Path(*path.parts[:depth])
        return None

    def named_folder(self, path: Path) -> Path | None:
        """The folder on the command line that contains a path; for a file named there, its own folder."""
        folder = path.parent
        if self._session.isinitpath(path):
            return folder
        if folder not in self._named:
            ways = (folder, *folder.parents)
            self._named[folder] = next((up for up in ways if self._session.isinitpath(up)), None)
        return self._named[folder]

    def refusal(self, path: Path) -> str | None:
        """Why a matrix cannot run in this session because it belongs to another project; None if it can."""
        from .compat import configuration_in

        config = self._session.config
        if self.by_pattern(path) or (project := self.project_of(path)) is None:
            return None
        settings = configuration_in(project)
        if settings is None or (config.inipath is not None and settings.samefile(config.inipath)):
            return None
        return (
            f"{self.nodeid(path)}: belongs to another project ({legible(settings)}) than this session, whose rootdir is"
            f" {legible(self.rootdir)}: its jobs would run there, with its settings. Run each project by itself:"
            f" pytest --rootdir={legible(project)} {legible(self.named_folder(path) or project)}"
        )


def _spellings(names: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """A path, and the same path with its suffix in lower case: ``m.YAML`` is YAML too."""
    yield names
    stem, dot, suffix = names[-1].rpartition(".")
    if not suffix.islower():
        yield (*names[:-1], f"{stem}{dot}{suffix.lower()}")


def has_recipes(path: Path) -> bool:
    """Whether a file says what to run, as a matrix does and other YAML files do not."""
    try:
        return any(key in NAMES_RECIPES for key in top_level_keys(read_regular(path, MAX_BYTES)))
    except (OSError, ValueError):
        return False


def _is_meant_as_matrix(path: Path) -> bool:
    """Whether a file is a matrix or is meant to be one, so that its mistakes should be reported."""
    from difflib import get_close_matches

    seen = []
    try:
        data = read_regular(path, MAX_BYTES)
        for key in top_level_keys(data):
            seen.append(key)
            if key in NAMES_RECIPES | _TYPICAL_KEYS or get_close_matches(
                key[:40].lower(), NAMES_RECIPES, 1, 0.8
            ):
                return True
    except (OSError, ValueError):
        return not seen
    return not data.strip()
