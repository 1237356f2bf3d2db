"""The reaper's work when it is needed: it cancels the jobs of a run, in whatever state the ledger is."""

from __future__ import annotations

import time
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Mapping
from contextlib import closing
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from ..backends.pool import BackendPool
from ..backends.protocol import Backend
from ..backends.registry import Site
from ..ledger.ledger import Ledger
from ..ledger.ledger import LedgerError
from ..ledger.ledger import Superseded
from ..ledger.run_folder import LEDGER
from .clock import Clock
from .clock import SystemClock
from .kill import Canceller
from .secrets import Secrets

CONFIRMATION_TIMEOUT_SECONDS = 900.0
"""Seconds for which a reaper keeps trying to end jobs."""

LEDGER_LOCK_TIMEOUT_SECONDS = 3.0
"""Seconds to wait for a process that has locked the ledger: ending jobs matters more than records."""

CANCEL_REASON = "pytest ended before the job did; the reaper cancelled it"


def reap(
    folder: Path,
    facts: Mapping[str, Any],
    names: Collection[str],
    *,
    died: bool,
    clock: Clock | None = None,
) -> None:
    """Cancel every live job of the run in ``folder``, unless jobs are kept or a later session has begun.

    Jobs that have ended by themselves are left for a later session to judge. ``facts`` and ``names`` (of
    backends) come from the owner. ``died``: the owner died and did not request this.
    """
    clock = clock or SystemClock()
    try:
        with closing(_open(folder / LEDGER, facts)) as ledger:
            if ledger.meta().get("session", 0) < facts.get("session", 0):
                raise LedgerError(f"{ledger.path}: truncated: it lacks what its last session wrote")
            if died:
                # A failure to record this, such as a full disk, does not stop the cancellation.
                with suppress(LedgerError):
                    ledger.set_meta(owner_died=time.time())
            known = {**ledger.meta(), **facts}
            if not died or known.get("on_crash") != "keep":
                _cancel_jobs(ledger, folder, known, names, clock, known.get("session"))
    except Superseded as error:
        print(error, flush=True)
    except LedgerError as error:
        print(error, flush=True)
        if facts and not (died and facts.get("on_crash") == "keep"):
            # Only the clusters' lists are left to find the jobs.
            with closing(Ledger(Path(":memory:"))) as empty:
                _cancel_jobs(empty, folder, facts, names, clock, None)


def _open(path: Path, facts: Mapping[str, Any]) -> Ledger:
    """The run's own ledger, and not another file in its place. Raises LedgerError."""
    if not path.exists():
        raise LedgerError(f"{path}: no such file")
    ledger = Ledger(path, LEDGER_LOCK_TIMEOUT_SECONDS)
    run_id = ledger.meta().get("run_id")
    if run_id != facts.get("run_id", run_id):
        ledger.close()
        raise LedgerError(f"{path}: not the ledger of run {facts['run_id']}")
    return ledger


def _cancel_jobs(
    ledger: Ledger,
    folder: Path,
    known: Mapping[str, Any],
    names: Collection[str],
    clock: Clock,
    session: int | None,
) -> None:
    run_id, rootdir = known["run_id"], Path(known["rootdir"])
    site = Site(backends=known["backends"], source="the ledger")
    open_backend = partial(site.open, run_id=run_id, run_dir=folder, rootdir=rootdir)
    with BackendPool(open_backend, path=[rootdir, *known.get("path", [])]) as backends:
        canceller = Canceller(
            ledger, Secrets(folder), run_id, backends, names, None, CANCEL_REASON, clock, session
        )
        wait_for_more = _unlisted(backends.opened, clock) if session is None else lambda: False
        try:
            canceller.run(CONFIRMATION_TIMEOUT_SECONDS, wait_for_more=wait_for_more)
        finally:
            canceller.close()
    for target in canceller.still_running:
        print(f"end not confirmed: {target.token}", flush=True)
    for name, error in canceller.errors.items():
        print(f"{name}: {error}", flush=True)


def _unlisted(opened: Mapping[str, Backend], clock: Clock) -> Callable[[], bool]:
    """Whether a job that is in no ledger may still be missing from the clusters' lists."""
    begin = clock.monotonic()
    return lambda: (
        clock.monotonic() - begin
        < max((backend.capabilities.find_settle for backend in opened.values()), default=0.0)
    )
