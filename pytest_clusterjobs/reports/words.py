"""What pytest says of a cell, in one word, and the verdict that this word and the job's own come to.

Table, JSON report, JUnit properties and ``clusterjobs`` all take their verdicts from here.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from ..model import Verdict
from ..model.text import one_line

NOT_RUN = "not run: "
"""What the skip reason of a cell without a verdict starts with."""

PENDING = "pending: "
"""The same of a cell whose job lives on."""

LONGEST_WORD = 80
"""Characters of an outcome of another plugin."""

RED = (Verdict.FAILED, Verdict.ERROR)

_SEVERITY = {
    word: place
    for place, word in enumerate(
        ["passed", "xfailed", "xpassed", "skipped", "pending", "not run", "failed", "error"]
    )
}

_UNKNOWN = _SEVERITY["skipped"] - 0.5
"""Where a word of another plugin stands: it is no failure, and it is no success either."""


def word_of(report: pytest.TestReport) -> str:
    """The outcome in pytest's words, other plugins' as one short line; skips without a verdict are ``not run``."""
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
    """What was said of one item, phase by phase."""

    def __init__(self) -> None:
        self._phases: dict[str, str] = {}

    def add(self, phase: str, word: str) -> None:
        """Take one report: a setup begins the item anew, a word of another plugin gives way to pytest's own."""
        if phase == "setup":
            self._phases.clear()
        before = self._phases.get(phase)
        if before not in _SEVERITY or _SEVERITY[before] < _SEVERITY.get(word, -1):
            self._phases[phase] = word

    @property
    def word(self) -> str | None:
        """The gravest word of all phases."""
        return max(self._phases.values(), key=lambda word: _SEVERITY.get(word, _UNKNOWN), default=None)


def reported(rows: Iterable[tuple[str, str, str]]) -> dict[str, str | None]:
    """One word an item, of its last run; ``rows`` are key, phase and word in the order of the reports."""
    found: dict[str, ReportedPhases] = {}
    for key, phase, word in rows:
        found.setdefault(key, ReportedPhases()).add(phase, word)
    return {key: said.word for key, said in found.items()}


def verdict_of(judged: str | None, word: str | None) -> str | None:
    """A cell's verdict by the judge's (``judged``) and pytest's word; None while there is none.

    pytest has the last word (fixtures, hooks, other plugins), but for one thing: a skip never hides that
    the job failed.
    """
    if word == "pending":
        # What was pending when pytest looked has a verdict only if it was killed since.
        return judged if judged == Verdict.NOT_RUN else None
    if word in ("failed", "error", "not run"):
        return word
    if word in ("xfailed", "xpassed"):
        # Expected by a mark, and so as it should be; ``reported`` says which.
        return Verdict.PASSED.value
    if word in ("passed", None) or judged is None or judged in RED:
        return judged
    return Verdict.NOT_RUN.value
