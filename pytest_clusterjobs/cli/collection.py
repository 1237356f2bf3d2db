"""What pytest would collect, determined by pytest itself so that patterns, marks and hooks apply."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import redirect_stderr
from contextlib import redirect_stdout
from io import StringIO
from itertools import takewhile
from pathlib import Path

import pytest

from ..model.text import printable
from ..plugin.items import CellItem
from ..plugin.items import MatrixFile
from .errors import CommandError
from .errors import NotFound
from .project import Project


class Collected:
    """A plugin that keeps what a session collects, and runs nothing."""

    def __init__(self) -> None:
        self.files: list[Path] = []
        self.items: list[CellItem] = []
        self.errors: list[str] = []
        self.rootdir = Path()
        self.patterns: list[str] = []

    def pytest_make_collect_report(self, collector: pytest.Collector) -> None:
        """Keep a matrix that was found."""
        if isinstance(collector, MatrixFile):
            self.files.append(collector.path)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keep the reason why a file cannot be collected."""
        if report.failed:
            self.errors.append(str(report.longrepr))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Keep the selected items."""
        self.items = [item for item in session.items if isinstance(item, CellItem)]

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Note the session's project."""
        self.rootdir = session.config.rootpath
        self.patterns = session.config.getini("cluster_matrices")


def collect(project: Project, arguments: Sequence[str]) -> Collected:
    """Let pytest collect and select; nothing is run or submitted. Raises CommandError."""
    found = Collected()
    output = StringIO()
    with redirect_stdout(output), redirect_stderr(output):
        code = pytest.main(
            ["--collect-only", "-q", "-p", "no:cacheprovider", *project.options, *arguments], plugins=[found]
        )
    if code in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.INTERNAL_ERROR):
        first, *others = _main_lines(output.getvalue())
        raise CommandError(f"pytest cannot collect: {first}", others)
    found.errors = [printable(text, 20_000) for text in found.errors]
    return found


def _main_lines(output: str) -> list[str]:
    """The lines of pytest's output that say what is wrong; at least one."""
    lines = [line.strip() for line in output.splitlines()]
    marked = next((number for number, line in enumerate(lines) if line.startswith("ERROR: ")), None)
    if marked is None:
        return [line for line in lines if line][-1:] or ["pytest printed no reason"]
    # A blank line ends the message.
    found = list(takewhile(bool, lines[marked:]))
    return [found[0].removeprefix("ERROR: "), *found[1:]]


def matrices_in(project: Project, folder: Path) -> list[Path]:
    """The matrices below a folder. Raises CommandError, and NotFound if there are none."""
    found = collect(project, [str(folder), "-o", "python_files=", "-o", "addopts="])
    if not found.files:
        raise NotFound(
            f"no file in {folder} matches cluster_matrices ({', '.join(found.patterns)}) below {found.rootdir}, "
            "the project that pytest finds (--rootdir or -c selects another)"
        )
    return found.files
