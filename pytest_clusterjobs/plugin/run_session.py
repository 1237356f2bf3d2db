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
from ..api import UNWANTED
from ..backends.protocol import BackendError
from ..backends.registry import UnknownBackend
from ..engine.host import Mode
from ..engine.host import Run
from ..engine.host import RunPlan
from ..engine.host import start_run
from ..engine.poll import SESSION_ENDED
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
from ..reports.words import RED
from ..reports.words import word_of
from ..reports.writer import ReportWriter
from .compat import inapplicable
from .hints import go_on
from .settings import SessionSettings
from .status_line import Progress
from .user_hooks import HookCalls

BY_SIGTERM = "SIGTERM"
"""The reason of pytest's interruption until the sender of the signal is known."""

# Plugins add objects to reports, such as xdist its worker. These are not part of the report.
_encode = json.JSONEncoder(default=repr).encode


def plan_run(settings: SessionSettings, folder: Path | None = None) -> RunPlan:
    """The run of this session: the earlier one that it checks or resumes, or a new one (in ``folder``)."""
    folder = settings.run or folder or settings.home.runs / new_run_id()
    return RunPlan(
        run_id=folder.name,
        folder=folder,
        rootdir=settings.rootdir,
        site=settings.site,
        # A launch does not wait for jobs, so it does not limit how many are live.
        max_jobs=None if settings.mode is Mode.LAUNCH else settings.max_jobs,
        max_nodes=settings.max_nodes,
        on_crash=settings.on_crash,
        mode=settings.mode,
        waits=settings.wait,
    )


class RunSession:
    """Hooks of the owning process: it stores pytest's reports and determines the final exit code."""

    def __init__(self, config: pytest.Config, settings: SessionSettings, plan: RunPlan) -> None:
        self._config = config
        self._settings = settings
        self._hooks = HookCalls(config)
        self.plan = replace(plan, extensions=self._hooks)
        self.sidecar = None if settings.json_path is None else plan.folder / settings.json_path
        self._run: Run | None = None
        self._clerk: ReportWriter | None = None
        self.notes: list[str] = []
        """Lines to print at the end of the session."""
        self._rows: list[EndRow] = []
        self._tally: dict[str, int] | None = None
        self._of_cells: dict[str, int] = {}
        """The number of cells per verdict, without the jobs that only their tests judge."""
        self._live = 0
        """Jobs that were live when the session stopped."""
        self._left = 0
        """Live jobs whose cancellation is left to the reaper."""
        self._retries = 0
        self._unheard = 0
        """Submissions of a launch that may or may not have reached the cluster."""
        self._untaken = 0
        """Cells of a launch that were not submitted."""
        self._unknown = 0
        """Cells that were reported as not run and are not part of the run."""
        self._unmet = 0
        """Cells whose job failed, whatever the result of their items."""
        self._unreported = 0
        """Cells that pytest has not reported."""
        self._cut_short = ""
        """pytest's message about why it ended before its last item, if it did so by itself."""
        self._red: list[str] = []
        """Why this session's exit code is 1 although nothing failed."""

    @property
    def follows_completion(self) -> bool:
        """Whether cells are reported as their jobs end."""
        return self._settings.order == "completion" and self._settings.wait

    @contextmanager
    def running(self) -> Iterator[Run]:
        """Start the run; at the end its jobs are cancelled and its reports complete.

        Raises pytest.UsageError for errors that the user can fix.
        """
        try:
            if self._settings.require_clean_git and self._settings.mode is not Mode.CHECK:
                self._refuse_unclean()
            self._settings.home.make()
            about = describe_environment(self._config)
            with _sigterm_as_ctrl_c(), start_run(self.plan, **about) as run:
                self._run = run
                self._hooks.hide = run.engine.core.secrets.hide
                self._clerk = ReportWriter(run.ledger, self.sidecar, self.plan.rootdir, run.engine.core.fail)
                self.progress = Progress(self._config, run)
                try:
                    yield run
                except KeyboardInterrupt as stopped:
                    run.ledger.hurry()
                    if stopped.args == (BY_SIGTERM,):
                        stopped.args = (f"stopped by {run.stopped_by or 'SIGTERM'}",)
                    raise
                finally:
                    self.progress.close()
                    self._stop(run)
        except (UnknownBackend, BackendError, LedgerError) as error:
            words = one_line(str(error), 2000)
            if not self._config.invocation_params.dir.is_dir():
                # pytest changes back to that folder before it prints anything, and would end with a
                # traceback.
                print(f"ERROR: {words}", file=sys.stderr)
            raise pytest.UsageError(words) from error

    def _stop(self, run: Run) -> None:
        """Cancel, then write the reports while the ledger is still open."""
        assert self._clerk is not None
        self._live = len(run.engine.core.in_flight)
        try:
            self._left = run.stop()
        finally:
            # Also after a second Ctrl-C, which skips the wait for jobs but not the reports.
            lines = self._clerk.close(self._left)
            # The report covers the whole run. This session's output and exit code cover only what it
            # selected.
            lines = [line for line in lines if run.engine.knows(line.key)]
            self._rows = rows_of(lines)
            self._tally = tally(lines)
            self._of_cells = summarise(line for line in lines if not _is_its_test_s(run, line.key))
        if self._settings.mode is Mode.LAUNCH:
            self._unheard = sum(job.handle is None for job in run.engine.core.in_flight)
            self._untaken = len(run.engine.unsubmitted()) - self._unheard
            self._retries = sum(entry.cell.infra_retries > 0 for _, entry in run.ledger.registrations())
        cells = [line for line in lines if not run.engine.is_by_hand(line.key)]
        self._unmet = sum(line.verdict in RED and line.reported != "xfailed" for line in cells)
        self._unreported = sum(line.reported is None for line in cells)
        if cells:
            self.notes += inapplicable(self._config)

    def _refuse_unclean(self) -> None:
        state = git_state(self.plan.rootdir)
        if state is None:
            raise pytest.UsageError("cluster_require_clean_git: this is no git checkout")
        if state["dirty"]:
            raise pytest.UsageError("cluster_require_clean_git: uncommitted changes; commit or stash them")
        if not state["pushed"]:
            raise pytest.UsageError(f"cluster_require_clean_git: commit {state['commit'][:12]} is not pushed")

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Store the reports of cells as pytest serialises them."""
        if self._clerk is None or self._run is None:
            return
        engine = self._run.engine
        for job in engine.of_test(legible(report.nodeid)):
            # The test has its own entry in JUnit XML; here its outcome is stored for each of its jobs.
            self._clerk.add_report(job, str(report.when), word_of(report), "{}")
        if ".y" not in report.nodeid:
            return
        # xdist's loadgroup appends its group to the item's node id.
        names = (report.nodeid, report.nodeid.rpartition("@")[0])
        key = next((name for name in names if engine.knows(name)), None)
        if key is not None:
            self._clerk.add_report(key, str(report.when), word_of(report), self._serialised(report))
        else:
            self._unknown += word_of(report) == "not run"

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
        self._cut_short = str(session.shouldfail or session.shouldstop or "")
        reasons = list(self._reasons())
        if exitstatus == pytest.ExitCode.OK and reasons:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            self._red = reasons
        if exitstatus == pytest.ExitCode.INTERNAL_ERROR and self._run is not None:
            self._tell_what_became_of_jobs()

    def _tell_what_became_of_jobs(self) -> None:
        """Print what happened to the jobs after an internal error, for which pytest prints no summary."""
        reporter: pytest.TerminalReporter | None = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is None:
            return
        if self._settings.mode.leaves_jobs:
            became = f"{counted(self._live, 'job')} left running (pytest --cluster-check={self.plan.run_id})"
        else:
            cancelled, left = self._live - self._left, self._left
            parts = [f"{counted(cancelled, 'job')} cancelled"] if cancelled or not left else []
            parts += [f"{counted(left, 'job')} left to the reaper, which cancels them"] if left else []
            became = ", ".join(parts)
        where = ""
        if self.sidecar is not None:
            where = f"; report: {location_of(self.sidecar, self._config.invocation_params.dir)}"
        reporter.ensure_newline()
        reporter.write_line(
            unbroken(f"run {self.plan.run_id} ended by an internal error: {became}{where}"), red=True
        )

    def _reasons(self) -> Iterator[str]:
        """Why the exit code is not 0 although nothing failed."""
        not_run = self._of_cells.get("not_run", 0)
        if not_run:
            yield f"{counted(not_run, 'cell')} without a verdict"
        if self._unknown:
            are = "is" if self._unknown == 1 else "are"
            yield f"{counted(self._unknown, 'selected cell')} {are} not in this run (select as at the launch, or nothing)"
        if self._unmet:
            yield f"{counted(self._unmet, 'job')} failed"
        if self._unreported and not not_run:
            yield f"pytest reported nothing of {counted(self._unreported, 'cell')}"
        if self._settings.mode is not Mode.LAUNCH and (pending := self._of_cells.get("pending", 0)):
            yield f"{counted(pending, 'cell')} pending"
        if refused := self._unheard + self._untaken:
            yield f"{counted(refused, 'submission')} not accepted"
        # The file at the report's path may be from an earlier session.
        if self._clerk is not None and self._clerk.trouble is not None:
            yield "the report could not be written"

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
        """Print the table of what ran, and where the full report is."""
        if self._run is None or self._clerk is None:
            return
        notes = []
        if self.sidecar is not None:
            notes.append(f"report: {location_of(self.sidecar, self._config.invocation_params.dir)}")
        if self._settings.mode is Mode.LAUNCH:
            notes += self._launch_notes()
        elif self._cut_short or exitstatus == pytest.ExitCode.INTERRUPTED:
            notes += self._cut_short_notes()
        for why, number in self._run.engine.refused.items():
            if number > 1:
                notes.append(f"{number} cells are refused: {printable(why, 200)}")
        if self._left:
            notes.append(
                f"{counted(self._left, 'job')} not cancelled yet: left to the reaper, a process that outlives pytest"
            )
        if self._clerk.trouble is not None:
            notes.append(self._clerk.trouble)
        notes += [*self.notes, *self._hooks.troubles]
        write_summary(terminalreporter, self._rows, self._tally, self.plan.run_id, notes)
        if self._red:
            terminalreporter.write_line(f"exit code 1: {', '.join(self._red)}", red=True)

    def _launch_notes(self) -> Iterator[str]:
        yield f"the jobs live on; judge them with: {self._go_on(Mode.CHECK)}"
        if self._unheard:
            yield f"{counted(self._unheard, 'submission')} not answered; a later check looks for the jobs"
        if self._untaken:
            yield f"{counted(self._untaken, 'cell')} not taken; submit with: {self._go_on(Mode.RESUME)}"
        if self._retries:
            yield f"{counted(self._retries, 'cell')} with infra_retries, which need a session that waits"

    def _cut_short_notes(self) -> Iterator[str]:
        """What the session has not done, and how to continue."""
        left = self._of_cells.get("not_run", 0) + self._of_cells.get("pending", 0)
        if not left:
            return
        why = f" ({self._cut_short})" if self._cut_short else ""
        if self._settings.mode is Mode.CHECK:
            yield f"{counted(left, 'cell')} not judged{why}; the jobs live on; judge them with: {self._go_on(Mode.CHECK)}"
        else:
            yield f"{counted(left, 'cell')} not run{why}; go on with: {self._go_on(Mode.RESUME)}"

    def _go_on(self, mode: Mode) -> str:
        return go_on(self._config, f"--cluster-{mode}={self.plan.run_id}")


def _is_its_test_s(run: Run, key: str) -> bool:
    """Whether only the submitting test judges this job: a job that it cancelled does not count as missing."""
    if not run.engine.is_by_hand(key):
        return False
    result = run.engine.result(key)
    action = result.outcome.action if result is not None else None
    return action is None or action.why in (CANCELLED, UNWANTED, SESSION_ENDED)


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
