"""Reports matrices that would be missing silently: unmatched files, patterns without a match, and links."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from ..matrix.globs import Glob
from ..matrix.globs import leads_back
from ..matrix.globs import TooManyEntries
from ..matrix.raw_file import NAMES_RECIPES
from ..matrix.raw_file import read_regular
from ..matrix.raw_file import top_level_keys
from .matrix_files import legible
from .matrix_files import MatrixFinder
from .matrix_files import source_of
from .options import MATRICES
from .options import SUFFIXES

_MAX_SEARCHED_BYTES = 256 * 1024
"""Bytes at the beginning of a file that are searched for the keys of a matrix."""


class UncollectedWarning(pytest.PytestWarning):
    """A file looks like a matrix, and its cells are not collected."""


def warn_of_files(finder: MatrixFinder, config: pytest.Config) -> None:
    """Warn about files that look like matrices in the folders in which the session looks for tests."""
    for path in finder.uncollected:
        # pytest also sees files that lie beside the path to what the command line names.
        if _looks_like_one(path) and finder.named_folder(path) is not None and not finder.has(path):
            _warn(_warning(finder), legible(path), config)


def _warn(warning: UncollectedWarning, path: str, config: pytest.Config) -> None:
    try:
        warnings.warn_explicit(warning, None, path, 1)
    except UncollectedWarning:
        # Filters that turn warnings into errors are meant for code: such a file must not stop the tests.
        message = warnings.WarningMessage(warning, UncollectedWarning, path, 1)
        recorded = {"warning_message": message, "when": "collect", "nodeid": "", "location": None}
        config.hook.pytest_warning_recorded.call_historic(kwargs=recorded)


def _warning(finder: MatrixFinder) -> UncollectedWarning:
    patterns = ", ".join(finder.globs) or "no pattern"
    return UncollectedWarning(
        f"this looks like a matrix, and its cells are not collected: {MATRICES} ({patterns}), relative to rootdir"
        f" {legible(finder.rootdir)}, does not match it. Add a pattern, or name the file on the command line"
    )


def _looks_like_one(path: Path) -> bool:
    try:
        data = read_regular(path, _MAX_SEARCHED_BYTES)
        # Most YAML files are not matrices, so avoid parsing them.
        if b"recipe" not in data or b"conditions" not in data:
            return False
        seen = set()
        for key in top_level_keys(data):
            seen.add(key)
            if "conditions" in seen and seen & NAMES_RECIPES:
                return True
    except (OSError, ValueError):
        pass
    return False


def unmatched(finder: MatrixFinder, session: pytest.Session) -> Iterator[str]:
    """What is wrong with the project's own patterns that match no file in the folders that were searched."""
    config = session.config
    if session.testsfailed:
        # Folders that could not be collected may contain the missing files.
        return
    # For patterns that come in pairs, a match for one suffix is enough.
    served = {_without_suffix(text) for text in finder.matched}
    for text, glob in finder.globs.items():
        if _without_suffix(text) not in served and _was_searched(finder.rootdir / glob.base, session):
            served.add(_without_suffix(text))
            if (why := _why_nothing(glob, finder.rootdir, config)) is not None:
                yield f"{source_of(config)}: {MATRICES}: {text!r} does not match a matrix: {why}"


def _without_suffix(pattern: str) -> str:
    stem, suffix = os.path.splitext(pattern)
    return stem if suffix.lower() in SUFFIXES else pattern


def _was_searched(folder: Path, session: pytest.Session) -> bool:
    """Whether the session has searched a folder, or would have if the folder were in rootdir."""
    rootdir = session.config.rootpath
    folder = Path(os.path.normpath(folder))
    if not folder.is_relative_to(rootdir):
        folder = rootdir
    ways = (folder, folder.resolve())
    return any(session.isinitpath(up) for way in ways for up in (way, *way.parents))


def _why_nothing(glob: Glob, rootdir: Path, config: pytest.Config) -> str | None:
    """The fix; None if there are files that are left out deliberately (``--ignore`` ...)."""
    try:
        files = [name for name in glob.files(rootdir, hidden=True) if name.lower().endswith(SUFFIXES)]
    except TooManyEntries:
        files = []
    if not files:
        return (
            f"there is no such file below {legible(rootdir / glob.base)}. Correct the pattern, or remove it"
        )
    if glob.is_anchored:
        folder = os.path.normpath(rootdir / glob.base)
        return f"pytest collects the paths on the command line or in testpaths: add {legible(folder)}"
    left_out = config.getini("norecursedirs")
    for folder in (folder for name in files for folder in name.split("/")[:-1]):
        for pattern in left_out:
            if fnmatchcase(folder, pattern):
                return f"pytest does not collect {legible(folder)}/, because norecursedirs excludes {pattern}"
    return None


def fix_links(
    folder: pytest.Directory, found: list[pytest.Item | pytest.Collector], finder: MatrixFinder
) -> None:
    """Drop links that lead to a folder above them, and add dangling links as errors.

    Folders in which no pattern can match are left as they are.
    """
    if not finder.looks_into(folder.path):
        return
    found[:] = [node for node in found if not (isinstance(node, pytest.Directory) and leads_back(node.path))]
    from .items import MatrixFile

    for path in _dangling(folder.path):
        ignored = folder.ihook.pytest_ignore_collect(collection_path=path, config=folder.config)
        if not ignored and finder.by_pattern(path):
            found.append(MatrixFile.from_parent(folder, path=path, nodeid=finder.nodeid(path)))


def _dangling(folder: Path) -> list[Path]:
    """Dangling links with the name of a YAML file. pytest ignores them."""
    try:
        with os.scandir(folder) as entries:
            links = [
                Path(each.path)
                for each in entries
                if each.is_symlink() and each.name.lower().endswith(SUFFIXES)
            ]
    except OSError:
        return []
    return sorted(path for path in links if not os.path.exists(path))
