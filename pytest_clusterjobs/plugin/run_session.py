"""The process that owns a run: it has the engine, the ledger and the reports, wherever the items run."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from ..api import CANCELLED
from ..api import NOT_AWAITED
from ..backends.protocol import BackendError
from ..backends.registry import SiteError
from ..engine.config import Mode
from ..engine.host import Run
from ..engine.host import start_run
from ..engine.tracking import SESSION_ENDED
from ..ledger.ledger import LedgerError
from ..ledger.run_folder import new_run_id
from ..model.paths import legible
from ..model.text import counted
from ..model.text import one_line
from ..model.text import printable
from ..model.text import unbroken
from ..reports.environment import describe_environment
from ..reports.environment import git_state
from ..reports.json_report import summarise
from ..reports.junit import PREFIX
from ..reports.terminal import EndRow
from ..reports.terminal import location_of
from ..reports.terminal import rows_of
from ..reports.terminal import tally
from ..reports.terminal import write_summary
from ..reports.verdicts import FAILURES
from ..reports.verdicts import outcome_of
from ..reports.writer import ReportWriter
from .compat import inapplicable
from .hints import resume_command
from .settings import SessionSettings
from .status_line import Progress
from .user_hooks import HookCalls

BY_SIGTERM = "SIGTERM"
"""The reason of pytest's interruption until the sender of the signal is known."""

# Plugins add objects to reports, such as xdist its worker. These are not part of the report.
_encode = json.JSONEncoder(default=repr).encode


class RunSession:
    """Hooks of the owning process: it stores pytest's reports and determines the final exit code."""

    def __init__(self, config: pytest.Config, settings: SessionSettings, folder: Path | None = None) -> None:
        """``folder``: of a new run, if it is known already."""
        self._config = config
        self._settings = settings
        self._hooks = HookCalls(config)
        self.folder = settings.run or folder or settings.home.runs / new_run_id()
        self.run_id = self.folder.name
        self.json_report = None if settings.json_path is None else self.folder / settings.json_path
        self._run: Run | None = None
        self._report_writer: ReportWriter | None = None
        self.notes: list[str] = []
        """Lines to print at the end of the session."""
        self._rows: list[EndRow] = []
        self._tally: dict[str, int] | None = None
        self._verdict_counts: dict[str, int] = {}
        """The number of cells per verdict, without the jobs that only their tests judge."""
        self._live = 0
        """Jobs that were live when the session stopped."""
        self._left_to_reaper = 0
        """Live jobs whose cancellation is left to the reaper."""
        self._retries = 0
        self._unanswered = 0
        """Submissions of a launch that may or may not have reached the cluster."""
        self._not_submitted = 0
        """Cells of a launch that were not submitted."""
        self._unknown = 0
        """Cells that were reported as not run and are not part of the run."""
        self._unmet = 0
        """Cells whose job failed, whatever the result of their items."""
        self._unreported = 0
        """Cells that pytest has not reported."""
        self._interruption = ""
        """pytest's message about why it ended before its last item, if it did so by itself."""
        self._failure_reasons: list[str] = []
        """Why this session's exit code is 1 although nothing failed."""

    @property
    def follows_completion(self) -> bool:
        """Whether cells are reported as their jobs end."""
        return self._settings.order == "completion" and self._settings.run_config.waits

    @contextmanager
    def running(self) -> Iterator[Run]:
        """Start the run; at the end its jobs are cancelled and its reports complete.

        Raises pytest.UsageError for errors that the user can fix.
        """
        try:
            if self._settings.require_clean_git and self._settings.run_config.mode is not Mode.CHECK:
                self._require_clean_git()
            self._settings.home.make()
            about = describe_environment(self._config)
            run_config = replace(self._settings.run_config, extensions=self._hooks)
            with _sigterm_as_ctrl_c(), start_run(run_config, self.folder, **about) as run:
                self._run = run
                self._hooks.hide = run.engine.secrets.hide
                self._report_writer = ReportWriter(
                    run.ledger, self.json_report, self._settings.run_config.rootdir, run.engine.fail
                )
                self.progress = Progress(self._config, run)
                try:
                    yield run
                except KeyboardInterrupt as stopped:
                    run.ledger.shorten_waits()
                    if stopped.args == (BY_SIGTERM,):
                        stopped.args = (f"stopped by {run.stopped_by or 'SIGTERM'}",)
                    raise
                finally:
                    self.progress.close()
                    self._stop(run)
        except (SiteError, BackendError, LedgerError) as error:
            message = str(error) if isinstance(error, SiteError) else one_line(str(error), 2000)
            if not self._config.invocation_params.dir.is_dir():
                # pytest changes back to that folder before it prints anything, and would end with a
                # traceback.
                print(f"ERROR: {message}", file=sys.stderr)
            raise pytest.UsageError(message) from error

    def _stop(self, run: Run) -> None:
        """Cancel, then write the reports while the ledger is still open."""
        assert self._report_writer is not None
        self._live = len(run.engine.in_flight())
        try:
            self._left_to_reaper = run.stop()
        finally:
            # Also after a second Ctrl-C, which skips the wait for jobs but not the reports.
            lines = self._report_writer.close(self._left_to_reaper)
            # The report covers the whole run. This session's output and exit code cover only what it
            # selected.
            lines = [line for line in lines if run.engine.knows(line.key)]
            self._rows = rows_of(lines)
            self._tally = tally(lines)
            self._verdict_counts = summarise(
                line for line in lines if not _is_judged_by_its_test(run, line.key)
            )
        if self._settings.run_config.mode is Mode.LAUNCH:
            self._unanswered = sum(job.handle is None for job in run.engine.in_flight())
            self._not_submitted = len(run.engine.unsubmitted()) - self._unanswered
            self._retries = sum(entry.cell.infra_retries > 0 for _, entry in run.ledger.registrations())
        cells = [line for line in lines if not run.engine.is_from_test(line.key)]
        self._unmet = sum(line.verdict in FAILURES and line.reported != "xfailed" for line in cells)
        self._unreported = sum(line.reported is None for line in cells)
        if cells:
            self.notes += inapplicable(self._config)

    def _require_clean_git(self) -> None:
        state = git_state(self._settings.run_config.rootdir)
        if state is None:
            raise pytest.UsageError(
                "cluster_require_clean_git: rootdir is not a git checkout: run pytest in one"
            )
        if state["dirty"]:
            raise pytest.UsageError("cluster_require_clean_git: uncommitted changes; commit or stash them")
        if not state["pushed"]:
            raise pytest.UsageError(
                f"cluster_require_clean_git: commit {state['commit'][:12]} is not pushed: push it first"
            )

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Store the reports of cells as pytest serialises them."""
        if self._report_writer is None or self._run is None:
            return
        engine = self._run.engine
        for job in engine.jobs_of_test(legible(report.nodeid)):
            # The test has its own entry in JUnit XML; here its outcome is stored for each of its jobs.
            self._report_writer.add_report(job, str(report.when), outcome_of(report), "{}")
        if ".y" not in report.nodeid:
            return
        # xdist's loadgroup appends its group to the item's node id.
        names = (report.nodeid, report.nodeid.rpartition("@")[0])
        key = next((name for name in names if engine.knows(name)), None)
        if key is not None:
            self._report_writer.add_report(
                key, str(report.when), outcome_of(report), self._serialised(report)
            )
        else:
            self._unknown += outcome_of(report) == "not run"

    def _serialised(self, report: pytest.TestReport) -> str:
        """The report as JSON text, in the form that ``junit_replay`` reads."""
        if not report.passed or hasattr(report, "wasxfail"):
            hook = self._config.hook
            return _encode(hook.pytest_report_to_serializable(config=self._config, report=report))
        # Most reports passed and have no details: they can be rebuilt from the cell and its result.
        times = f'"start": {report.start!r}, "stop": {report.stop!r}, "duration": {report.duration!r}'
        own = [pair for pair in report.user_properties if not pair[0].startswith(PREFIX)]
        if not own and not report.sections:
            return f"{{{times}}}"
        return f'{{{times}, "sections": {_encode(report.sections)}, "user_properties": {_encode(own)}}}'

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Exit non-zero if a selected cell has no verdict, except in a launch."""
        self._interruption = str(session.shouldfail or session.shouldstop or "")
        reasons = list(self._why_exit_code_1())
        if exitstatus == pytest.ExitCode.OK and reasons:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            self._failure_reasons = reasons
        if exitstatus == pytest.ExitCode.INTERNAL_ERROR and self._run is not None:
            self._report_jobs_after_internal_error()

    def _report_jobs_after_internal_error(self) -> None:
        """Print what happened to the jobs after an internal error, for which pytest prints no summary."""
        reporter: pytest.TerminalReporter | None = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is None:
            return
        if self._settings.run_config.mode.leaves_jobs:
            jobs = f"{counted(self._live, 'job')} left running (pytest --cluster-check={self.run_id})"
        else:
            cancelled, left = self._live - self._left_to_reaper, self._left_to_reaper
            parts = [f"{counted(cancelled, 'job')} cancelled"] if cancelled or not left else []
            parts += [f"{counted(left, 'job')} left to the reaper, which cancels them"] if left else []
            jobs = ", ".join(parts)
        where = ""
        if self.json_report is not None:
            where = f"; report: {location_of(self.json_report, self._config.invocation_params.dir)}"
        reporter.ensure_newline()
        reporter.write_line(
            unbroken(f"run {self.run_id} ended by an internal error: {jobs}{where}"), red=True
        )

    def _why_exit_code_1(self) -> Iterator[str]:
        """Why the exit code is not 0 although nothing failed."""
        not_run = self._verdict_counts.get("not_run", 0)
        if not_run:
            yield f"{counted(not_run, 'cell')} not run"
        if self._unknown:
            are = "is" if self._unknown == 1 else "are"
            yield f"{counted(self._unknown, 'selected cell')} {are} not in this run (select cells of the launch, or leave out paths, -k and -m)"
        if self._unmet:
            yield f"{counted(self._unmet, 'job')} failed"
        if self._unreported and not not_run:
            yield f"pytest did not report {counted(self._unreported, 'cell')}"
        if self._settings.run_config.mode is not Mode.LAUNCH and (
            pending := self._verdict_counts.get("pending", 0)
        ):
            yield f"{counted(pending, 'cell')} pending"
        if refused := self._unanswered + self._not_submitted:
            yield f"{counted(refused, 'submission')} not accepted"
        # The file at the report's path may be from an earlier session.
        if self._report_writer is not None and self._report_writer.error is not None:
            yield "the report could not be written"

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
        """Print the table of what ran, and where the full report is."""
        if self._run is None or self._report_writer is None:
            return
        notes = []
        if self.json_report is not None:
            notes.append(f"report: {location_of(self.json_report, self._config.invocation_params.dir)}")
        if self._settings.run_config.mode is Mode.LAUNCH:
            notes += self._launch_notes()
        elif self._interruption or exitstatus == pytest.ExitCode.INTERRUPTED:
            notes += self._interruption_notes()
        for why, number in self._run.engine.refused.items():
            if number > 1:
                notes.append(f"{number} cells are refused: {printable(why, 200)}")
        if strays := self._run.engine.strays:
            notes.append(f"{counted(len(strays), 'job')} not in the ledger, cancelled: {', '.join(strays)}")
        if self._left_to_reaper:
            notes.append(
                f"{counted(self._left_to_reaper, 'job')} not cancelled yet: left to the reaper, a process that outlives pytest"
            )
        if self._report_writer.error is not None:
            notes.append(self._report_writer.error)
        notes += [*self.notes, *self._hooks.errors]
        write_summary(terminalreporter, self._rows, self._tally, self.run_id, notes)
        if self._failure_reasons:
            terminalreporter.write_line(f"exit code 1: {', '.join(self._failure_reasons)}", red=True)

    def _launch_notes(self) -> Iterator[str]:
        yield f"the jobs keep running; judge them with: {self._command(Mode.CHECK)}"
        if self._unanswered:
            yield f"{counted(self._unanswered, 'submission')} not answered; a later check looks for the jobs"
        if self._not_submitted:
            yield f"{counted(self._not_submitted, 'cell')} not submitted; submit with: {self._command(Mode.RESUME)}"
        if self._retries:
            yield f"{counted(self._retries, 'cell')} with infra_retries, which need a session that waits"

    def _interruption_notes(self) -> Iterator[str]:
        """What the session has not done, and how to continue."""
        left = self._verdict_counts.get("not_run", 0) + self._verdict_counts.get("pending", 0)
        if not left:
            return
        why = f" ({self._interruption})" if self._interruption else ""
        if self._settings.run_config.mode is Mode.CHECK:
            yield f"{counted(left, 'cell')} not judged{why}; the jobs keep running; judge them with: {self._command(Mode.CHECK)}"
        else:
            yield f"{counted(left, 'cell')} not run{why}; continue with: {self._command(Mode.RESUME)}"

    def _command(self, mode: Mode) -> str:
        return resume_command(self._config, f"--cluster-{mode}={self.run_id}")


def _is_judged_by_its_test(run: Run, key: str) -> bool:
    """Whether only the submitting test judges this job: a job that it cancelled does not count as missing."""
    if not run.engine.is_from_test(key):
        return False
    result = run.engine.result(key)
    action = result.outcome.action if result is not None else None
    return action is None or action.why in (CANCELLED, NOT_AWAITED, SESSION_ENDED)


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """Treat SIGTERM like Ctrl-C: CI systems end a job with it, and pytest has no handler for it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> Any:
        raise pytest.Session.Interrupted(BY_SIGTERM)

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
