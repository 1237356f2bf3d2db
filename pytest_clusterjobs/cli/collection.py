"""What pytest would collect: asked of pytest itself, so that patterns, marks and hooks count."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import redirect_stderr
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from ..backends.registry import Site
from ..collect import CellItem
from ..collect import MatrixFile
from ..engine.trust import demand_trust
from ..judge import printable
from ..settings import read_site
from .errors import Trouble
from .project import Project
from .project import SETTINGS

_MARKERS = (
    "pytest.toml",
    ".pytest.toml",
    "pytest.ini",
    ".pytest.ini",
    "pyproject.toml",
    "tox.ini",
    "setup.cfg",
)


class Collected:
    """A plugin that keeps what a session collects, and lets it run nothing."""

    def __init__(self) -> None:
        self.files: list[Path] = []
        self.items: list[CellItem] = []
        self.errors: list[str] = []

    def pytest_make_collect_report(self, collector: pytest.Collector) -> None:
        """A matrix was found."""
        if isinstance(collector, MatrixFile):
            self.files.append(collector.path)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keep why a file cannot be collected."""
        if report.failed:
            self.errors.append(str(report.longrepr))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """The selection is made."""
        self.items = [item for item in session.items if isinstance(item, CellItem)]


def collect(project: Project, arguments: Sequence[str]) -> Collected:
    """Let pytest collect and select; nothing is run or submitted. Raises Trouble."""
    found = Collected()
    said = StringIO()
    root = [f"--rootdir={project_root(project)}"]
    with redirect_stdout(said), redirect_stderr(said):
        code = pytest.main(
            ["--collect-only", "-q", "-p", "no:cacheprovider", *root, *arguments], plugins=[found]
        )
    if code in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.INTERNAL_ERROR):
        raise Trouble(f"pytest cannot collect: {_main_line(said.getvalue())}")
    found.errors = [printable(text, 20_000) for text in found.errors]
    return found


def _main_line(said: str) -> str:
    """The line that says what is wrong, of all that pytest says then."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    marked = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (marked or lines[-1:] or ["it does not say why"])[0]


def matrices_in(project: Project, folder: Path) -> list[Path]:
    """The files below a folder that are matrices. Raises Trouble."""
    return collect(project, [str(folder), "-o", "python_files=", "-o", "addopts="]).files


def project_root(project: Project) -> Path:
    """The nearest folder from the project's up that has pytest's configuration, or the project's own."""
    here = project.rootdir
    if (here / ".clusterjobs").is_dir():
        return here
    for path in (here, *here.parents):
        if any(os.path.exists(path / name) for name in _MARKERS):
            return path
    return here


def settings_of_project(project: Project) -> tuple[Path, Site]:
    """The root that paths are relative to, and the backends that have a name there. Raises Trouble, Untrusted."""
    root = project_root(project)
    if root != project.rootdir and os.path.lexists(settings := root / SETTINGS):
        demand_trust(settings)
    try:
        return root, read_site(root)
    except pytest.UsageError as error:
        raise Trouble(str(error)) from error
