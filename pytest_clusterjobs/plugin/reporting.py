"""Runs and reports cell items, in a single process and in xdist workers: each item waits for its job."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from collections.abc import Generator
from typing import Protocol

import pytest

from ..api.errors import CellEnd
from ..api.errors import InfrastructureError
from ..api.errors import UnmetExpectation
from ..judge import failure_text
from ..judge import summary
from ..model import Verdict
from ..model.paths import legible
from ..model.records import Result
from ..model.records import Ruling
from ..model.text import one_line
from ..reports.failure import shown_at
from ..reports.junit import properties_of
from ..reports.junit import with_verdict
from ..reports.verdicts import NOT_RUN
from ..reports.verdicts import outcome_of
from ..reports.verdicts import PENDING
from ..reports.verdicts import ReportedPhases
from ..reports.verdicts import verdict_of
from .compat import keep_from_rerunning
from .hints import RERUN
from .hints import run_again
from .items import CellItem
from .items import SESSION_KEY

SESSION_STOPPED = "the session stopped before its job ended"


class Results(Protocol):
    """Where items get their results: this process's engine, or the ledger of the controller's engine."""

    def wait(self, key: str) -> Result | None:
        """Wait for the result of a cell. Returns None if the session stops first."""

    def why_none(self, key: str) -> str:
        """Why ``wait`` returned None: a sentence that starts with NOT_RUN or PENDING."""

    def give_up(self, key: str, why: str) -> None:
        """Cancel the cell's job: its result is no longer needed."""


class CellSession:
    """The hooks of one process that runs cell items."""

    def __init__(self, config: pytest.Config, results: Results) -> None:
        self._config = config
        self._results = results
        # A worker does not know how its controller was started.
        self._command = getattr(config, "workerinput", {}).get(RERUN) or run_again(config)
        self._with_properties = _takes_properties(config)
        self._current: CellItem | None = None
        self._reported_phases = ReportedPhases()
        config.stash[SESSION_KEY] = self

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Wait for the job before any timer, capture or debugger starts for this item."""
        self._current = None
        if isinstance(item, CellItem) and item.will_run:
            keep_from_rerunning(item)
            item.result = self._results.wait(item.key)
            if item.result is not None and self._with_properties:
                self._current, self._reported_phases = item, ReportedPhases()
                item.user_properties.extend(properties_of(item.cell, item.result))
        return (yield)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Raise if the job ended with an infrastructure failure.

        This runs before the rest of the setup. xfail marks, and the marks, hooks and fixtures of other
        plugins, are about the product, so they do not see a cell whose end says nothing about it.
        """
        if not isinstance(item, CellItem) or not item.will_run:
            return
        result = item.result
        if result is None:
            pytest.skip(one_line(self._results.why_none(item.key), 1000))
        if result.judgement.verdict is Verdict.NOT_RUN:
            if result.ruling is not None and result.ruling.kind != "exit":
                _follow(result.ruling)
            why = result.ruling.reason if result.ruling else result.outcome.detail
            pytest.skip(one_line(f"{NOT_RUN}{why}", 1000))
        if result.judgement.verdict is Verdict.ERROR:
            raise InfrastructureError(self._explain(item, result), self._summary(item, result))

    def check_expectation(self, item: CellItem) -> None:
        """Raise if the expectation is unmet, or as the user's hooks decided. Called in the call phase."""
        assert item.result is not None
        ruling = item.result.ruling
        if ruling is not None and ruling.kind == "xfail":
            _follow(ruling)
        if item.result.judgement.verdict is Verdict.FAILED:
            raise UnmetExpectation(self._explain(item, item.result), self._summary(item, item.result))
        if ruling is not None:
            _follow(ruling)

    @staticmethod
    def _summary(item: CellItem, result: Result) -> str:
        return summary(result.judgement, result.outcome, item.cell.expect)

    def _explain(self, item: CellItem, result: Result) -> str:
        return failure_text(
            result.judgement,
            result.outcome,
            item.cell.expect,
            item.cell.spec,
            location=item.location_text,
            rerun=f"{self._command} {shlex.quote(f'{self._path_of(item)}::{item.cell.id}')}",
            log_tails=result.logs,
            job_id=result.job_id,
            url=result.url,
        )

    def _path_of(self, item: CellItem) -> str:
        """The path of the matrix, relative to the folder in which pytest was started."""
        return os.path.relpath(item.path, self._config.invocation_params.dir)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Set the job's own times in the report, and the explanation without a traceback.

        This wraps only pytest's own implementation, so that all other plugins see the final report.
        """
        report = yield
        if isinstance(item, CellItem) and item.will_run:
            if item.result is not None:
                _set_job_times(report, item.result)
            if call.excinfo is not None:
                self._set_explanation(report, item, call.excinfo)
        return report

    def _set_explanation(
        self, report: pytest.TestReport, item: CellItem, excinfo: pytest.ExceptionInfo[BaseException]
    ) -> None:
        if isinstance(excinfo.value, pytest.skip.Exception) and _is_about_job(item, str(excinfo.value)):
            report.longrepr = (legible(item.path), item.cell.line, f"Skipped: {excinfo.value}")
            return
        if not isinstance(excinfo.value, CellEnd):
            if report.when == "setup" and item.result is None:
                self._results.give_up(item.key, f"its test item ended in setup: {excinfo.typename}")
            return
        report.longrepr = shown_at(item.path, item.cell.line, excinfo, excinfo.value.summary)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Set the verdict in the properties to that of the table, which fixtures and hooks can change."""
        item = self._current
        if item is None or item.result is None or report.nodeid != item.nodeid:
            return
        self._reported_phases.add(str(report.when), outcome_of(report))
        judged = item.result.judgement.verdict.value
        verdict = verdict_of(judged, self._reported_phases.outcome) or judged
        report.user_properties = list(with_verdict(report.user_properties, judged, verdict))

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_timeout_set_timer(self, item: pytest.Item) -> bool | None:
        """Disable pytest-timeout's timers for cells: its limit applies to the job, from the job's start."""
        return True if isinstance(item, CellItem) else None


def _follow(ruling: Ruling) -> None:
    """Apply a hook's skip or xfail here, where pytest handles it."""
    if ruling.kind == "xfail":
        pytest.xfail(ruling.reason)
    pytest.skip(ruling.reason)


def _is_about_job(item: CellItem, reason: str) -> bool:
    """Whether a skip is about the job, and not from a fixture or a mark."""
    ruling = item.result.ruling if item.result is not None else None
    return reason.startswith((NOT_RUN, PENDING)) or (ruling is not None and reason == ruling.reason)


def _set_job_times(report: pytest.TestReport, result: Result) -> None:
    """Count queue time as setup and run time as call, so that --durations and JUnit show the job's times."""
    outcome = result.outcome
    if report.when == "setup":
        begin, seconds = outcome.times.submitted, outcome.queue_seconds
    elif report.when == "call":
        begin, seconds = outcome.times.started, outcome.run_seconds
    else:
        return
    if begin is None or seconds is None:
        return
    report.duration += seconds
    report.start, report.stop = begin, begin + report.duration


def _takes_properties(config: pytest.Config) -> bool:
    """Whether reports may have properties: the xunit2 schema does not allow them in a test case."""
    return not getattr(config.option, "xmlpath", None) or config.getini("junit_family") != "xunit2"


class PolledResults:
    """Results from this process's engine or from a ledger, which a function looks up again and again."""

    def __init__(
        self,
        wait_a_moment: Callable[[str], Result | None],
        stopped: Callable[[str], bool],
        tick: Callable[[], None] = lambda: None,
        give_up: Callable[[str, str], None] = lambda key, why: None,
        why_none: Callable[[str], str] = lambda key: f"{NOT_RUN}{SESSION_STOPPED}",
        clear: Callable[[], None] = lambda: None,
    ) -> None:
        self._wait_a_moment = wait_a_moment
        self._stopped = stopped
        self._tick = tick
        self._give_up = give_up
        self._why_none = why_none
        self._clear = clear

    def wait(self, key: str) -> Result | None:
        """Wait in short turns, so that Ctrl-C, the status line and the end of the session are handled."""
        try:
            while (result := self._wait_a_moment(key)) is None and not self._stopped(key):
                self._tick()
            return result
        finally:
            self._clear()

    def why_none(self, key: str) -> str:
        """See :class:`Results`."""
        return self._why_none(key)

    def give_up(self, key: str, why: str) -> None:
        """See :class:`Results`."""
        self._give_up(key, why)
