"""Cells under pytest-xdist: the controller owns the engine, workers wait on rows of its ledger."""

from __future__ import annotations

import signal
import time
from _thread import interrupt_main
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from threading import Thread
from typing import Any

import pytest

from .engine.host import LEDGER
from .engine.host import Run
from .engine.ledger import Ledger
from .engine.records import Result
from .owner import Owner
from .owner import plan_run
from .session import CellSession
from .session import Waiting
from .settings import settings_of
from .single import register
from .single import select

READY = "ready"
"""A file in the run's folder that says that its ledger can be opened."""

PUMP_PAUSE = 0.1
"""Seconds between two looks for cells that workers registered."""

FASTEST, SLOWEST = 0.05, 0.5
"""Seconds between two looks at a cell's row."""


class Controller:
    """In the controller: starts the engine when the first worker has collected cells."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        settings = settings_of(config)
        self.plan = plan_run(settings)
        self._owner = Owner(config, settings, self.plan)
        self._stack = ExitStack()
        self._run: Run | None = None
        self._failures = 0
        self._over = Event()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self) -> Generator[None, object, object]:
        """Whatever ends xdist's loop ends the run."""
        with self._stack:
            try:
                return (yield)
            except KeyboardInterrupt:
                if self._run is not None and self._run.engine.core.broken is not None:
                    raise self._run.engine.core.broken from None
                raise
            finally:
                self._over.set()
                if self._run is not None:
                    self._abort(self._run)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        """Start with the first worker that has cells."""
        if self._run is None and any(".yaml::" in name or ".yml::" in name for name in ids):
            self._run = self._stack.enter_context(self._owner.running())
            self._config.pluginmanager.register(self._owner, "clusterjobs-owner")
            pump = Thread(target=self._pump, args=[self._run], name="clusterjobs-pump", daemon=True)
            self._stack.callback(pump.join)
            self._stack.callback(self._over.set)
            pump.start()
            (self.plan.folder / READY).touch()

    def _pump(self, run: Run) -> None:
        """Hand the cells that workers register to the engine."""
        seen = 0
        try:
            while not self._over.is_set():
                if run.engine.core.broken is not None:
                    raise run.engine.core.broken
                rows = run.ledger.registrations(after=seen)
                if rows:
                    seen = rows[-1][0]
                    run.engine.add([entry for _, entry in rows], registered=True)
                self._over.wait(PUMP_PAUSE)
        except Exception as error:
            run.engine.core.fail(error)
            if not self._over.is_set():
                # The main thread waits for workers, and those for rows that will never come.
                interrupt_main(signal.SIGTERM)

    def _abort(self, run: Run) -> None:
        run.engine.stop()
        run.ledger.set_meta(abort=True)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Stop at maxfail: workers that wait for jobs would keep xdist from stopping."""
        self._failures += report.failed
        limit = self._config.option.maxfail
        if self._run is not None and limit and self._failures >= limit:
            self._abort(self._run)


class Worker:
    """In a worker: registers the cells that it collected, and waits for their rows."""

    def __init__(self, config: pytest.Config, folder: Path) -> None:
        self._config = config
        self._folder = folder

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Say which cells this session has; the controller submits each of them once."""
        items = select(session)
        if not items:
            return (yield)
        self._wait_until_ready()
        ledger = Ledger(self._folder / LEDGER)
        rows = _Rows(ledger)
        self._config.pluginmanager.register(
            CellSession(self._config, Waiting(rows.wait_a_moment, rows.stopped)), "clusterjobs-session"
        )
        ledger.register(register(items))
        try:
            return (yield)
        finally:
            ledger.close()

    def _wait_until_ready(self) -> None:
        until = time.monotonic() + 60
        while not (self._folder / READY).exists():
            if time.monotonic() > until:
                raise pytest.UsageError("the xdist controller did not open its ledger within 60 s")
            time.sleep(0.02)


class _Rows:
    """Looking at rows, less and less often."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._key = ""
        self._pause = FASTEST

    def wait_a_moment(self, key: str) -> Result | None:
        """The row's result, or None after a pause."""
        if key != self._key:
            self._key, self._pause = key, FASTEST
        result = self._ledger.result(key)
        if result is None:
            time.sleep(self._pause)
            self._pause = min(SLOWEST, self._pause * 1.3)
        return result

    def stopped(self, key: str) -> bool:
        """Whether the controller has given up."""
        return bool(self._ledger.meta().get("abort"))
