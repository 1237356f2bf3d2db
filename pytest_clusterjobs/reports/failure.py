"""A cell's failure in pytest's reports: an explanation, and a position in a matrix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ..model.paths import legible


def shown_at(path: Path, line: int, excinfo: pytest.ExceptionInfo[BaseException], summary: str) -> Any:
    """A ``longrepr`` without a traceback, with the exception's text and the crash location ``path:line``.

    Short summaries, ``--tb=line`` and JUnit's ``message`` show only ``summary``, since they already name the
    cell.
    """
    shown: Any = excinfo.getrepr(style="value")
    crash = getattr(shown, "reprcrash", None)
    if crash is not None:
        crash.path, crash.lineno, crash.message = legible(path), line, summary
    return shown


def failure_at(path: Path, line: int, text: str, summary: str) -> Any:
    """The same without an exception raised in a session."""
    try:
        raise AssertionError(text)
    except AssertionError:
        return shown_at(path, line, pytest.ExceptionInfo.from_current(), summary)
