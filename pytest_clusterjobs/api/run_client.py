"""How a job submitted from Python reaches its run: the engine in the owning process, else the ledger."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Protocol

from ..backends.protocol import Backend
from ..engine.host import Run
from ..ledger.ledger import Ledger
from ..model.records import Registration
from ..model.records import Result

MIN_POLL_SECONDS, MAX_POLL_SECONDS = 0.05, 0.5
"""Seconds between two reads of a row of the ledger."""


class RunClient(Protocol):
    """The part of a run that a job submitted from Python needs."""

    @property
    def ledger(self) -> Ledger:
        """The run's ledger, open in this process."""

    def submit(self, entry: Registration) -> None:
        """Have the run submit a job. Raises SiteError, BackendError, LedgerError."""

    def result(self, key: str, timeout: float) -> Result | None:
        """The job's result, waiting at most ``timeout`` seconds for it."""

    def cancel(self, key: str, why: str) -> None:
        """Have the run cancel the job; its result appears when it has ended."""

    def open_backend(self, name: str) -> Backend:
        """The backend NAME, opened again for this run. Raises SiteError, BackendError."""

    @property
    def stopped(self) -> bool:
        """Whether the run no longer submits jobs."""


class _SingleProcessClient:
    """Refuses to work in a forked process, which has no engine and in which locks may stay locked."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._process = os.getpid()

    @property
    def ledger(self) -> Ledger:
        """See :class:`RunClient`. Raises RuntimeError in a forked process."""
        if os.getpid() != self._process:
            raise RuntimeError(
                "jobs are submitted and awaited in the process that pytest started, not in one that was forked"
                " from it, as --forked and multiprocessing do"
            )
        return self._ledger


class InProcessRun(_SingleProcessClient):
    """In the process that owns the run."""

    def __init__(self, run: Run) -> None:
        super().__init__(run.ledger)
        self._run = run
        self.open_backend = run.open_backend

    def submit(self, entry: Registration) -> None:
        """See :class:`RunClient`."""
        self._run.engine.add([entry])

    def result(self, key: str, timeout: float) -> Result | None:
        """See :class:`RunClient`."""
        _ = self.ledger  # Raises in a forked process.
        return self._run.engine.wait_for(key, timeout)

    def cancel(self, key: str, why: str) -> None:
        """See :class:`RunClient`."""
        self._run.engine.cancel([key], why)

    @property
    def stopped(self) -> bool:
        """See :class:`RunClient`."""
        return self._run.engine.stopping


class LedgerRun(_SingleProcessClient):
    """In an xdist worker: the controller reads the registrations and cancel requests from the ledger."""

    def __init__(self, ledger: Ledger, open_backend: Callable[[str], Backend]) -> None:
        super().__init__(ledger)
        self.open_backend = open_backend

    def submit(self, entry: Registration) -> None:
        """See :class:`RunClient`."""
        self.ledger.register([entry])

    def result(self, key: str, timeout: float) -> Result | None:
        """See :class:`RunClient`."""
        until, pause = time.monotonic() + timeout, MIN_POLL_SECONDS
        while (result := self.ledger.result(key)) is None:
            left = until - time.monotonic()
            if left <= 0:
                return None
            time.sleep(min(pause, left))
            pause = min(MAX_POLL_SECONDS, pause * 1.3)
        return result

    def cancel(self, key: str, why: str) -> None:
        """See :class:`RunClient`."""
        self.ledger.request_cancel(key, why)

    @property
    def stopped(self) -> bool:
        """See :class:`RunClient`."""
        return bool(self.ledger.meta().get("abort"))
