"""One run with everything around the engine: its folder, its ledger and its reaper."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any
from typing import Literal

from ..backends.protocol import Backend
from ..backends.registry import Site
from ..ledger.ledger import Ledger
from ..ledger.ledger import LedgerError
from ..ledger.run_folder import LEDGER as LEDGER
from ..model.records import Attempt
from .clock import Clock
from .extensions import Extensions
from .process import is_alive
from .process import is_free
from .process import this_process
from .reaper import start_reaper
from .run import Earlier
from .run import Engine


class Mode(StrEnum):
    """What a session does with a run."""

    RUN = "run"
    """Submit, wait, and cancel what still runs when the session ends."""
    LAUNCH = "launch"
    """Submit, and leave the jobs running."""
    CHECK = "check"
    """Judge what has ended of an earlier run, and leave the rest running."""
    RESUME = "resume"
    """Continue an earlier run as if it had never stopped."""

    @property
    def leaves_jobs(self) -> bool:
        """Whether jobs continue to run after the session."""
        return self in (Mode.LAUNCH, Mode.CHECK)

    @property
    def is_new(self) -> bool:
        """Whether the session begins the run."""
        return self in (Mode.RUN, Mode.LAUNCH)


@dataclass(frozen=True)
class RunPlan:
    """The parameters with which a run is started."""

    run_id: str
    folder: Path
    """``runs/RUN`` in the project's home, absolute."""
    rootdir: Path
    site: Site
    max_jobs: int | None = None
    max_nodes: int | None = None
    on_crash: Literal["cancel", "keep"] = "cancel"
    mode: Mode = Mode.RUN
    waits: bool = True
    """Whether the session waits for the ends of jobs, so that one attempt may follow another."""
    patience: float = 1.5
    """Seconds to wait at the end for cancelled jobs; the reaper handles what takes longer."""
    clock: Clock | None = None
    extensions: Extensions | None = None
    """The user's own code."""

    @property
    def ledger_path(self) -> Path:
        """The run's ledger."""
        return self.folder / LEDGER

    def open_backend(self, name: str) -> Backend:
        """Open a backend for this run. Raises UnknownBackend, BackendError."""
        return self.site.open(name, run_id=self.run_id, run_dir=self.folder, rootdir=self.rootdir)


class RunBusy(LedgerError):
    """Another process is working on this run."""


class Run:
    """A run that this process owns."""

    def __init__(self, plan: RunPlan, about: dict[str, Any]) -> None:
        self.plan = plan
        self.ledger = Ledger(plan.ledger_path)
        # The first session may have died before it wrote anything.
        if plan.mode.is_new or "run_id" not in self.ledger.meta():
            self.ledger.set_meta(
                run_id=plan.run_id,
                rootdir=str(plan.rootdir),
                backends={name: dict(entry) for name, entry in plan.site.backends.items()},
                started=time.time(),
                # The reaper and later commands find the project's own backends through this.
                path=[str(Path(entry or ".").absolute()) for entry in sys.path],
                **about,
            )
        self._take_over()
        # Before the first submission: from here on, the reaper cleans up if this process dies.
        try:
            self._reaper = start_reaper(plan.folder, self.ledger.meta())
        except OSError as error:
            raise LedgerError(f"{plan.folder}: cannot start the reaper: {error.strerror}") from error
        self.engine = Engine(
            plan.run_id,
            self.ledger,
            self._open_backend,
            max_jobs=plan.max_jobs,
            max_nodes=plan.max_nodes,
            clock=plan.clock,
            extensions=plan.extensions,
            retries=plan.waits,
        )
        self._left: int | None = None

    def _take_over(self) -> None:
        plan = self.plan
        owner = self.ledger.take_over(
            partial(is_free, plan.folder),
            owner=this_process(),
            on_crash="keep" if plan.mode.leaves_jobs else plan.on_crash,
            mode=plan.mode,
            ended=None,
            stopped_by=None,
        )
        if owner is not None:
            self.ledger.close()
            where = "" if is_alive(owner) else f" on {owner['host']}"
            raise RunBusy(f"run {plan.run_id} is still at work in process {owner['pid']}{where}")

    def _open_backend(self, name: str) -> Backend:
        self._reaper.uses(name)
        return self.plan.open_backend(name)

    @property
    def stopped_by(self) -> str | None:
        """The command that asked this session to stop, as recorded by the command."""
        found: str | None = self.ledger.meta().get("stopped_by")
        return found

    def stop(self) -> int:
        """Cancel or leave the live jobs, as the mode says.

        Returns how many cancelled jobs are left to the reaper.
        """
        if self._left is None and self.plan.mode.leaves_jobs:
            self.engine.detach()
            self._left = 0
        elif self._left is None:
            self._left = self.engine.close(self.plan.patience)
        return self._left

    def close(self) -> None:
        """Stop, and leave to the reaper what takes longer."""
        left = self.stop()
        self.engine.close_backends()
        try:
            self.ledger.set_meta(ended=time.time(), left_to_reaper=left, owner=None)
        finally:
            self._reaper.release(cancel=left > 0)
            self.ledger.close()

    def earlier(self, keys: Collection[str]) -> Earlier:
        """The ledger's records of these cells from earlier sessions."""
        attempts: dict[str, list[Attempt]] = {}
        for attempt in self.ledger.attempts():
            attempts.setdefault(attempt.key, []).append(attempt)
        known = [entry for _, entry in self.ledger.registrations() if entry.key in keys]
        return Earlier(known, self.ledger.results(), attempts)


@contextmanager
def start_run(plan: RunPlan, **about: Any) -> Iterator[Run]:
    """Run jobs in the block. They are cancelled when the block ends. Raises LedgerError."""
    run = Run(plan, about)
    try:
        yield run
    finally:
        run.close()
