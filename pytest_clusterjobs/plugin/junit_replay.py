"""JUnit XML from a ledger: the stored reports are replayed to pytest's own writer."""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import contextmanager
from contextlib import redirect_stderr
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from ..judge import failure_text
from ..judge import summary
from ..ledger.ledger import Ledger
from ..model import Verdict
from ..model.records import Registration
from ..model.records import Result
from ..model.text import one_line
from ..reports.failure import failure_at
from ..reports.junit import properties_of
from ..reports.verdicts import outcomes_by_item
from ..reports.verdicts import verdict_of
from .compat import set_suite_time

StoredReport = tuple[str, str, str, dict[str, Any]]
"""Key, phase, outcome and the report."""

_OF_A_WORKER = ("node", "worker_id", "item_index")
"""Attributes that xdist adds to reports to identify workers. Passed reports are stored without them."""


class ReplayError(Exception):
    """pytest did not accept the reports. The message is one line with the reason."""


def render_junit(ledger: Ledger, *, family: str | None = None) -> bytes:
    """JUnit XML of the cells of a run, as its session would write it. Raises LedgerError, ReplayError.

    ``family`` overrides the project's ``junit_family``. For a cell without reports one is made from its
    result; a cell with neither is reported as skipped because it was not run.
    """
    meta = ledger.meta()
    junit = meta.get("junit") or {"prefix": None, "ini": {}}
    ini = {**junit["ini"], **({"junit_family": family} if family else {})}
    options = [f"--override-ini={name}={_text(value)}" for name, value in ini.items()]
    options += [f"--junit-prefix={junit['prefix']}"] if junit["prefix"] else []
    replay = _Replay(ledger, meta, with_properties=ini.get("junit_family") != "xunit2")
    with tempfile.TemporaryDirectory(prefix="clusterjobs-") as folder:
        draft = Path(folder, "report.xml")
        # The project's configuration is not used: the relevant settings were stored with the run.
        arguments = ["-c", os.devnull, f"--rootdir={meta['rootdir']}", f"--junitxml={draft}", *options]
        try:
            _show(replay, [*arguments, "-p", "no:cacheprovider", "--noconftest"])
            return draft.read_bytes()
        except OSError as error:
            raise ReplayError(f"cannot write {draft}: {error.strerror or error}") from error


def _show(replay: _Replay, arguments: list[str]) -> None:
    """Replay the reports in a pytest session of their own. Raises OSError, ReplayError."""
    recorded = StringIO()
    with _no_other_plugins(), redirect_stdout(recorded), redirect_stderr(recorded):
        code = pytest.main(arguments, plugins=[replay])
    if not replay.done or code == pytest.ExitCode.INTERNAL_ERROR:
        lines = [line for line in recorded.getvalue().splitlines() if line.strip()]
        raise ReplayError(
            f"pytest exited with {code}: {one_line(lines[-1]) if lines else 'it printed nothing'}"
        )


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@contextmanager
def _no_other_plugins() -> Iterator[None]:
    changes = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": None, "PYTEST_PLUGINS": None}
    before = {name: os.environ.get(name) for name in changes}
    _set_environment(changes)
    try:
        yield
    finally:
        _set_environment(before)


def _set_environment(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


class _Replay:
    """Replaces collection and the test loop."""

    def __init__(self, ledger: Ledger, meta: Mapping[str, Any], *, with_properties: bool) -> None:
        self._ledger = ledger
        self._meta = meta
        self._with_properties = with_properties
        self._outcomes: Mapping[str, str | None] = {}
        self.done = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> bool:
        """Collect nothing."""
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Pass every report to pytest's hooks, in the order in which pytest made them."""
        config = session.config
        # A job submitted from Python is reported by its test, which is not in the ledger.
        every = [entry for _, entry in self._ledger.registrations()]
        registrations = {entry.key: entry for entry in every if entry.test is None}
        results = self._ledger.results()
        stored = [row for row in _last_of_each(self._ledger.reports()) if row[0] in registrations]
        self._outcomes = outcomes_by_item((key, phase, outcome) for key, phase, outcome, _ in stored)
        for key, phase, _, data in stored:
            report = self._report(config, registrations[key], phase, data, results.get(key))
            config.hook.pytest_runtest_logreport(report=report)
        told = {key for key, *_ in stored}
        for key, entry in registrations.items():
            if key not in told:
                for report in self._missing(entry, results.get(key)):
                    config.hook.pytest_runtest_logreport(report=report)
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Set the times of the run just before the file is written."""
        set_suite_time(session.config, self._meta["started"], self._meta.get("ended"))

    def pytest_unconfigure(self) -> None:
        """Record that the file has been written."""
        self.done = True

    def _report(
        self,
        config: pytest.Config,
        entry: Registration,
        phase: str,
        data: dict[str, Any],
        result: Result | None,
    ) -> pytest.TestReport:
        if "$report_type" in data:
            kept = {name: value for name, value in data.items() if name not in _OF_A_WORKER}
            if not self._with_properties:
                kept["user_properties"] = []
            if isinstance(kept["longrepr"], list):
                # For a skip pytest's writer requires a tuple, which JSON does not have.
                kept["longrepr"] = tuple(kept["longrepr"])
            report = config.hook.pytest_report_from_serializable(config=config, data=kept)
            assert isinstance(report, pytest.TestReport)
            return report
        return self._built(entry, phase, result, **data)

    def _built(
        self,
        entry: Registration,
        phase: str,
        result: Result | None,
        outcome: Any = "passed",
        longrepr: Any = None,
        sections: Iterable[tuple[str, str]] = (),
        user_properties: Iterable[Iterable[Any]] = (),
        **times: float,
    ) -> pytest.TestReport:
        """The report of a phase for which only the times, or nothing, are stored."""
        ours: list[tuple[str, object]] = []
        if result is not None and self._with_properties:
            verdict = verdict_of(result.judgement.verdict, self._outcomes.get(entry.key))
            ours = properties_of(entry.cell, result, verdict)
        return pytest.TestReport(
            nodeid=entry.key,
            location=(entry.path, entry.cell.line - 1, f"{Path(entry.path).stem}: {entry.cell.id}"),
            keywords={},
            outcome=outcome,
            longrepr=longrepr,
            when=phase,  # type: ignore[arg-type]
            sections=[(name, text) for name, text in sections],
            user_properties=[*((name, value) for name, value in user_properties), *ours],
            **times,
        )

    def _missing(self, entry: Registration, result: Result | None) -> Iterator[pytest.TestReport]:
        """The reports that a session that died would have made for a cell."""
        if result is None:
            why = "not run: the session ended before its job did"
        elif result.judgement.verdict is Verdict.NOT_RUN:
            why = f"not run: {result.outcome.detail}"
        else:
            yield from self._judged(entry, result)
            return
        skipped = (entry.path, entry.cell.line, f"Skipped: {why}")
        yield self._built(entry, "setup", result, outcome="skipped", longrepr=skipped)
        yield self._built(entry, "teardown", result)

    def _judged(self, entry: Registration, result: Result) -> Iterator[pytest.TestReport]:
        verdict, outcome = result.judgement.verdict, result.outcome
        text = failure_text(
            result.judgement,
            outcome,
            entry.cell.expect,
            entry.cell.spec,
            location=f"{entry.path}:{entry.cell.line}",
            rerun=f"pytest {shlex.quote(entry.key)}",
            log_tails=result.logs,
            job_id=result.job_id,
            url=result.url,
        )
        gist = summary(result.judgement, outcome, entry.cell.expect)
        path = Path(self._meta["rootdir"], entry.path)
        refused = {"outcome": "failed", "longrepr": failure_at(path, entry.cell.line, text, gist)}
        queue, run = outcome.queue_seconds or 0.0, outcome.run_seconds or 0.0
        error = verdict is Verdict.ERROR
        yield self._built(entry, "setup", result, duration=queue, **(refused if error else {}))
        if not error:
            failed = verdict is Verdict.FAILED
            yield self._built(entry, "call", result, duration=run, **(refused if failed else {}))
        yield self._built(entry, "teardown", result)


def _last_of_each(reports: Sequence[StoredReport]) -> Iterator[StoredReport]:
    """The reports without those of earlier sessions or tries of an item that was reported again."""
    last = {key: place for place, (key, phase, *_) in enumerate(reports) if phase == "setup"}
    for place, report in enumerate(reports):
        if place >= last.get(report[0], 0):
            yield report
