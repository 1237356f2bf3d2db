"""How a cell's failure looks to pytest and to whatever reads its reports: an explanation, and a place in a matrix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ..model.paths import legible


def shown_at(path: Path, line: int, excinfo: pytest.ExceptionInfo[BaseException], summary: str) -> Any:
    """A ``longrepr`` without a trace, whose text is the exception's and which crashed at ``path:line``.

    Short summaries, ``--tb=line`` and JUnit's ``message`` show the ``summary``: they name the cell themselves.
    """
    shown: Any = excinfo.getrepr(style="value")
    crash = getattr(shown, "reprcrash", None)
    if crash is not None:
        crash.path, crash.lineno, crash.message = legible(path), line, summary
    return shown


def failure_at(path: Path, line: int, text: str, summary: str) -> Any:
    """The same without a session in which it was raised."""
    try:
        raise AssertionError(text)
    except AssertionError:
        return shown_at(path, line, pytest.ExceptionInfo.from_current(), summary)
