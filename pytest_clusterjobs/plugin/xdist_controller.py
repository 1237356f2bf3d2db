"""Cells under pytest-xdist, in the controller, which owns the engine; workers wait for rows of its ledger."""

from __future__ import annotations

import signal
from _thread import interrupt_main
from collections.abc import Generator
from contextlib import ExitStack
from contextlib import nullcontext
from threading import Event
from threading import Thread
from typing import Any
from typing import TYPE_CHECKING

import pytest

from ..api.project import home_of
from ..ledger.run_folder import new_run_id
from .options import SUFFIXES

if TYPE_CHECKING:
    from ..engine.host import Run
    from .status_line import Progress

READY = "ready"
"""The file in the run's folder whose presence means that its ledger can be opened."""

WANTED = "wanted"
"""The file in the run's folder with which a worker reports that its tests submit jobs from Python."""

USAGE_ERROR = "clusterjobs_usage_error"
"""The key in ``workeroutput`` of the usage error with which a worker ended."""

PUMP_PAUSE_SECONDS = 0.1
"""Seconds between two checks for cells that workers have registered."""


class XdistController:
    """In the controller: starts the engine when the first worker has collected cells."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self.folder = home_of(config).runs / new_run_id()
        """Where the run will be, if there is one."""
        self._stack = ExitStack()
        self._run: Run | None = None
        self._progress: Progress
        self._failures = 0
        self._over = Event()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self) -> Generator[None, object, object]:
        """End the run when xdist's loop ends, for whatever reason."""
        with self._stack:
            try:
                done = yield
                if self._run is not None:
                    # Workers may have finished before the pump has checked.
                    self._run.engine.raise_if_ending()
                return done
            except KeyboardInterrupt:
                if self._run is not None:
                    self._run.ledger.shorten_waits()
                if self._run is not None and self._run.engine.ending is not None:
                    raise self._run.engine.ending from None
                raise
            finally:
                self._over.set()
                if self._run is not None:
                    self._abort(self._run)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        """Start with the first worker that has cells."""
        # The ids of Python tests may contain anything, but only after the path of their file.
        files = {name.partition("::")[0] for name in ids}
        wanted = any(name.lower().endswith(SUFFIXES) for name in files) or (self.folder / WANTED).exists()
        if self._run is None and wanted:
            self._run = self._start()
            pump = Thread(target=self._pump, args=[self._run], name="clusterjobs-pump", daemon=True)
            self._stack.callback(pump.join)
            self._stack.callback(self._over.set)
            pump.start()
            (self.folder / READY).touch()

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Raise a worker's usage error for the session; xdist would only report that no worker is left."""
        if usage_error := getattr(node, "workeroutput", {}).get(USAGE_ERROR):
            raise pytest.UsageError(usage_error)

    def _start(self) -> Run:
        # Imported here, so that a session without matrices has no cost under xdist either.
        from .run_session import RunSession
        from .settings import settings_of

        settings = settings_of(self._config)
        run_session = RunSession(self._config, settings, self.folder)
        run = self._stack.enter_context(run_session.running())
        self._config.pluginmanager.register(run_session, "clusterjobs-run-session")
        self._progress = run_session.progress
        return run

    def _pump(self, run: Run) -> None:
        """Pass the cells that workers register to the engine."""
        last_registration = last_request = 0
        try:
            while not self._over.is_set():
                run.engine.raise_if_ending()
                rows = run.ledger.registrations(after=last_registration)
                if rows:
                    last_registration = rows[-1][0]
                    run.engine.add([entry for _, entry in rows], registered=True)
                for number, key, why in run.ledger.cancel_requests(after=last_request):
                    last_request = number
                    run.engine.cancel([key], why)
                self._progress.tick()
                self._over.wait(PUMP_PAUSE_SECONDS)
        except BaseException as error:
            if error is not run.engine.ending:
                run.engine.fail(error)
            if not self._over.is_set():
                # The main thread waits for workers, and they wait for rows that will never be written.
                interrupt_main(signal.SIGTERM)

    def _abort(self, run: Run) -> None:
        run.engine.stop()
        run.ledger.set_meta(abort=True)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Generator[None, object, object]:
        """Stop at maxfail: workers that wait for jobs would prevent xdist from stopping."""
        with nullcontext() if self._run is None else self._progress.suspended():
            done = yield
        self._failures += report.failed
        limit = self._config.option.maxfail
        if self._run is not None and limit and self._failures >= limit:
            self._abort(self._run)
        return done
