"""pytest's outcome of a cell as one word, and the verdict that follows from it and the job's own verdict.

The table, the JSON report, JUnit properties and ``clusterjobs`` all use this module for verdicts.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from ..model import Verdict
from ..model.text import one_line

NOT_RUN = "not run: "
"""The beginning of the skip reason of a cell without a verdict."""

PENDING = "pending: "
"""The same for a cell whose job still runs."""

LONGEST_WORD = 80
"""The most characters of another plugin's outcome."""

RED = (Verdict.FAILED, Verdict.ERROR)

_SEVERITY = {
    word: place
    for place, word in enumerate(
        ["passed", "xfailed", "xpassed", "skipped", "pending", "not run", "failed", "error"]
    )
}

_UNKNOWN = _SEVERITY["skipped"] - 0.5
"""The severity of another plugin's outcome, which is neither a failure nor a success."""


def word_of(report: pytest.TestReport) -> str:
    """The outcome in pytest's terms; another plugin's as one short line.

    Skips without a verdict are ``not run``.
    """
    if hasattr(report, "wasxfail"):
        return "xfailed" if report.skipped else "xpassed"
    if report.skipped and NOT_RUN in str(report.longrepr):
        return "not run"
    if report.skipped and PENDING in str(report.longrepr):
        return "pending"
    if report.failed and report.when != "call":
        return "error"
    return one_line(str(report.outcome), LONGEST_WORD)


class ReportedPhases:
    """The reported outcomes of one item by phase."""

    def __init__(self) -> None:
        self._phases: dict[str, str] = {}

    def add(self, phase: str, word: str) -> None:
        """Add one report. A setup starts the item again; pytest's outcome overrides another plugin's."""
        if phase == "setup":
            self._phases.clear()
        before = self._phases.get(phase)
        if before not in _SEVERITY or _SEVERITY[before] < _SEVERITY.get(word, -1):
            self._phases[phase] = word

    @property
    def word(self) -> str | None:
        """The most severe outcome of all phases."""
        return max(self._phases.values(), key=lambda word: _SEVERITY.get(word, _UNKNOWN), default=None)


def reported(rows: Iterable[tuple[str, str, str]]) -> dict[str, str | None]:
    """One outcome per item, from its last run.

    ``rows`` are key, phase and outcome in the order of the reports.
    """
    found: dict[str, ReportedPhases] = {}
    for key, phase, word in rows:
        found.setdefault(key, ReportedPhases()).add(phase, word)
    return {key: said.word for key, said in found.items()}


def verdict_of(judged: str | None, word: str | None) -> str | None:
    """A cell's verdict, if any, from the job's verdict (``judged``) and pytest's outcome (``word``).

    pytest's outcome (fixtures, hooks, other plugins) takes precedence, except that a skip never hides that
    the job failed.
    """
    if word == "pending":
        # A cell that pytest reported as pending has a verdict only if it has been killed since.
        return judged if judged == Verdict.NOT_RUN else None
    if word in ("failed", "error", "not run"):
        return word
    if word in ("xfailed", "xpassed"):
        # As expected by a mark; ``reported`` has the exact outcome.
        return Verdict.PASSED.value
    if word in ("passed", None) or judged is None or judged in RED:
        return judged
    return Verdict.NOT_RUN.value
