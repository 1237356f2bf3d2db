"""The verdict of a cell, from the verdict on its job and from the outcome that pytest reported; its colour.

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

MAX_OUTCOME_CHARACTERS = 80
"""The most characters of another plugin's outcome."""

FAILURES = (Verdict.FAILED, Verdict.ERROR)

_COLOURS = {"passed": "green", "xfailed": "green", "failed": "red", "error": "purple", "running": "cyan"}
"""pytest's colour names."""

_SEVERITY = {
    outcome: place
    for place, outcome in enumerate(
        ["passed", "xfailed", "xpassed", "skipped", "pending", "not run", "failed", "error"]
    )
}

_UNKNOWN = _SEVERITY["skipped"] - 0.5
"""The severity of another plugin's outcome, which is neither a failure nor a success."""


def colour_of(status: str | None) -> str:
    """The colour of a verdict, of pytest's outcome, or of the phase of a job without a verdict."""
    return _COLOURS.get(status or "", "yellow")


def outcome_of(report: pytest.TestReport) -> str:
    """The outcome of a report in pytest's terms; another plugin's as one short line.

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
    return one_line(str(report.outcome), MAX_OUTCOME_CHARACTERS)


class ReportedPhases:
    """The reported outcomes of one item by phase."""

    def __init__(self) -> None:
        self._phases: dict[str, str] = {}

    def add(self, phase: str, outcome: str) -> None:
        """Add one report. A setup starts the item again; pytest's outcome overrides another plugin's."""
        if phase == "setup":
            self._phases.clear()
        before = self._phases.get(phase)
        if before not in _SEVERITY or _SEVERITY[before] < _SEVERITY.get(outcome, -1):
            self._phases[phase] = outcome

    @property
    def outcome(self) -> str | None:
        """The most severe outcome of all phases."""
        return max(self._phases.values(), key=lambda each: _SEVERITY.get(each, _UNKNOWN), default=None)


def outcomes_by_item(rows: Iterable[tuple[str, str, str]]) -> dict[str, str | None]:
    """One outcome per item, by key, from its last run.

    ``rows`` are key, phase and outcome in the order of the reports.
    """
    found: dict[str, ReportedPhases] = {}
    for key, phase, outcome in rows:
        found.setdefault(key, ReportedPhases()).add(phase, outcome)
    return {key: phases.outcome for key, phases in found.items()}


def verdict_of(judged: str | None, reported: str | None) -> str | None:
    """A cell's verdict, if any, from the job's verdict (``judged``) and pytest's outcome (``reported``).

    pytest's outcome (fixtures, hooks, other plugins) takes precedence, except that a skip never hides that
    the job failed.
    """
    if reported == "pending":
        # A cell that pytest reported as pending has a verdict only if it has been killed since.
        return judged if judged == Verdict.NOT_RUN else None
    if reported in ("failed", "error", "not run"):
        return reported
    if reported in ("xfailed", "xpassed"):
        # As expected by a mark.
        return Verdict.PASSED.value
    if reported in ("passed", None) or judged is None or judged in FAILURES:
        return judged
    return Verdict.NOT_RUN.value
