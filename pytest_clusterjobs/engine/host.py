"""One run with everything around the engine: its folder, its ledger and its reaper."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from ..backends.protocol import Backend
from ..ledger.ledger import Ledger
from ..ledger.ledger import LedgerError
from ..ledger.run_folder import LEDGER
from ..model.records import Attempt
from .config import RunConfig
from .process import is_alive
from .process import is_free
from .process import this_process
from .reaper import start_reaper
from .run import Earlier
from .run import Engine


class RunBusy(LedgerError):
    """Another process is working on this run."""


class Run:
    """A run that this process owns; its folder, ``runs/RUN`` in the project's home, is named by its id."""

    def __init__(self, config: RunConfig, folder: Path, about: dict[str, Any]) -> None:
        self.config = config
        self.folder = folder
        self.run_id = folder.name
        self.ledger = Ledger(folder / LEDGER)
        # The first session may have died before it wrote anything.
        if config.mode.is_new or "run_id" not in self.ledger.meta():
            self.ledger.set_meta(
                run_id=self.run_id,
                rootdir=str(config.rootdir),
                backends={name: dict(entry) for name, entry in config.site.backends.items()},
                started=time.time(),
                # The reaper and later commands find the project's own backends through this.
                path=[str(Path(entry or ".").absolute()) for entry in sys.path],
                **about,
            )
        self._take_over()
        # Before the first submission: from here on, the reaper cleans up if this process dies.
        try:
            self._reaper = start_reaper(folder, self.ledger.meta())
        except OSError as error:
            raise LedgerError(f"{folder}: cannot start the reaper: {error.strerror}") from error
        self._session = self.ledger.session()
        self.engine = Engine(config, self.run_id, self.ledger, self._open_for_engine, self._session)
        self._left: int | None = None

    def _take_over(self) -> None:
        config = self.config
        owner = self.ledger.take_over(
            partial(is_free, self.folder),
            owner=this_process(),
            on_crash="keep" if config.mode.leaves_jobs else config.on_crash,
            mode=config.mode,
            ended=None,
            stopped_by=None,
        )
        if owner is not None:
            self.ledger.close()
            where = "" if is_alive(owner) else f" on {owner['host']}"
            raise RunBusy(f"run {self.run_id} is still at work in process {owner['pid']}{where}")

    def open_backend(self, name: str) -> Backend:
        """Open a backend for this run. Raises SiteError, BackendError."""
        config = self.config
        return config.site.open(name, run_id=self.run_id, run_dir=self.folder, rootdir=config.rootdir)

    def _open_for_engine(self, name: str) -> Backend:
        self._reaper.uses(name)
        return self.open_backend(name)

    @property
    def stopped_by(self) -> str | None:
        """The command that asked this session to stop, as recorded by the command."""
        found: str | None = self.ledger.meta().get("stopped_by")
        return found

    def stop(self) -> int:
        """Cancel or leave the live jobs, by the session's mode.

        Returns how many cancelled jobs are left to the reaper.
        """
        if self._left is None and self.config.mode.leaves_jobs:
            self.engine.detach()
            self._left = 0
        elif self._left is None:
            self._left = self.engine.close(self.config.cancel_timeout)
        return self._left

    def close(self) -> None:
        """Stop, and leave to the reaper what takes longer."""
        left = self.stop()
        self.engine.close_backends()
        try:
            self.ledger.end_session(
                self._session, is_recorded=self.engine.is_recorded, ended=time.time(), left_to_reaper=left
            )
        finally:
            self._reaper.release(cancel=left > 0)
            self.ledger.close()

    def earlier(self, keys: Collection[str]) -> Earlier:
        """The ledger's records of these cells from earlier sessions."""
        attempts: dict[str, list[Attempt]] = {}
        for attempt in self.ledger.attempts():
            attempts.setdefault(attempt.key, []).append(attempt)
        known = [entry for _, entry in self.ledger.registrations() if entry.key in keys]
        meta = self.ledger.meta()
        replaced, incomplete = meta.get("replaced", {}), meta.get("incomplete", False)
        return Earlier(known, self.ledger.results(), attempts, replaced, incomplete)


@contextmanager
def start_run(config: RunConfig, folder: Path, **about: Any) -> Iterator[Run]:
    """Run jobs in the block. They are cancelled when the block ends. Raises LedgerError."""
    run = Run(config, folder, about)
    try:
        yield run
    finally:
        run.close()
