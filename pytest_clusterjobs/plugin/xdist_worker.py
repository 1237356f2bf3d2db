"""Cells in a pytest-xdist worker, which waits for rows of the controller's ledger."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import pytest

from ..api.run_client import LedgerRun
from ..backends.protocol import Backend
from ..ledger.ledger import Ledger
from ..ledger.ledger import LedgerError
from ..ledger.ledger import LedgerGone
from ..ledger.run_folder import LEDGER
from ..model.records import Result
from ..model.text import printable
from .completion_order import is_over
from .completion_order import why_file_order
from .fixture import LINK_KEY
from .items import CellItem
from .reporting import CellSession
from .reporting import PolledResults
from .selection import left_out
from .selection import register
from .selection import select
from .selection import submits_jobs
from .settings import settings_of
from .xdist_controller import READY
from .xdist_controller import USAGE_ERROR
from .xdist_controller import WANTED

READY_TIMEOUT_SECONDS = 60.0
"""Seconds to wait until the controller has opened its ledger."""
MIN_READ_PAUSE_SECONDS, MAX_READ_PAUSE_SECONDS = 0.05, 0.5
"""Seconds between two reads of a cell's row."""


def want_run(config: pytest.Config, folder: Path) -> None:
    """Ask the controller for a run although there are no cells, because tests submit jobs from Python."""
    try:
        # Not the worker's own setting: a relative path may be another folder here.
        replace(settings_of(config).home, path=folder.parent.parent).make()
    except LedgerError as error:
        raise _usage_error(config, printable(str(error), 2000)) from error
    folder.mkdir(exist_ok=True)
    (folder / WANTED).touch()


def _usage_error(config: pytest.Config, why: str) -> pytest.UsageError:
    """An error that ends this worker; the controller passes it on."""
    config.workeroutput[USAGE_ERROR] = why  # type: ignore[attr-defined]
    return pytest.UsageError(why)


def python_tests_first(session: pytest.Session) -> None:
    """Move the items that wait for jobs behind the others, unless the session needs file order."""
    if why_file_order(session) is None:
        session.items.sort(key=lambda item: isinstance(item, CellItem))


class XdistWorker:
    """In a worker: registers the cells that it collected, and waits for their results."""

    def __init__(self, config: pytest.Config, folder: Path) -> None:
        self._config = config
        self._folder = folder

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Register this session's cells; the controller submits each of them once."""
        items = select(session)
        if not items and not submits_jobs(session):
            return (yield)
        self._wait_until_ready()
        ledger = Ledger(self._folder / LEDGER)
        rows = _Rows(ledger)
        self._config.pluginmanager.register(
            CellSession(
                self._config,
                PolledResults(rows.wait_a_moment, lambda key: rows.stopped(key) or is_over(session)),
            ),
            "clusterjobs-session",
        )
        self._config.stash[LINK_KEY] = LedgerRun(ledger, self._open_backend)
        ledger.set_meta(left_out=left_out(session))
        ledger.register(register(items))
        try:
            return (yield)
        finally:
            ledger.close()

    def _open_backend(self, name: str) -> Backend:
        settings = settings_of(self._config)
        run_id, root = self._folder.name, settings.run_config.rootdir
        return settings.run_config.site.open(name, run_id=run_id, run_dir=self._folder, rootdir=root)

    def _wait_until_ready(self) -> None:
        until = time.monotonic() + READY_TIMEOUT_SECONDS
        while not (self._folder / READY).exists():
            if time.monotonic() > until:
                raise _usage_error(
                    self._config,
                    f"the xdist controller did not open its ledger within {READY_TIMEOUT_SECONDS:g} s",
                )
            time.sleep(0.02)


class _Rows:
    """Reads rows of the ledger at increasing intervals."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._key = ""
        self._pause = MIN_READ_PAUSE_SECONDS

    def wait_a_moment(self, key: str) -> Result | None:
        """The row's result, or None after a pause."""
        if key != self._key:
            self._key, self._pause = key, MIN_READ_PAUSE_SECONDS
        result = self._ledger.result(key)
        if result is None:
            time.sleep(self._pause)
            self._pause = min(MAX_READ_PAUSE_SECONDS, self._pause * 1.3)
        return result

    def stopped(self, key: str) -> bool:
        """Whether the controller has given up or is gone."""
        try:
            self._ledger.check_place()
        except LedgerGone:
            return True
        return bool(self._ledger.meta().get("abort"))
