"""``clusterjobs kill``: cancel a run's jobs, and report which survived."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from collections.abc import Collection
from contextlib import suppress
from typing import Any

import click

from ..engine.kill import Canceller
from ..engine.kill import CancelTarget
from ..ledger.ledger import LedgerError
from ..model.text import one_line
from .errors import EXIT_NOT_PASSED
from .external_jobs import reject_external_job
from .options import as_json
from .options import pass_project
from .options import run_argument
from .output import emit
from .output import note
from .output import row
from .output import say
from .output import table
from .project import Backends
from .project import open_run
from .project import OpenRun
from .project import Project

CANCEL_REASON = "clusterjobs kill"

CANCEL_TIMEOUT_SECONDS = 120.0
"""The default time to wait for confirmed ends."""


@click.command()
@run_argument
@click.option("--cell", metavar="PATTERN", help="Cancel only the jobs of the cells that match PATTERN.")
@click.option(
    "--timeout",
    type=click.FloatRange(0),
    default=CANCEL_TIMEOUT_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the cluster to confirm the ends.",
)
@as_json
@pass_project
def kill(project: Project, run: str | None, cell: str | None, timeout: float, as_json: bool) -> None:
    """Cancel a run's jobs, and wait until the cluster confirms their ends.

    A session that works on the run is interrupted first. Exit code 1 if a job survived or could not be
    checked.
    """
    reject_external_job(
        project,
        run or "",
        "cancel jobs of a run with clusterjobs kill RUN --cell CELL, and others with the cluster's own command",
    )
    with open_run(project.pick(run)) as opened, Backends(opened, project) as backends:
        keys = None if cell is None else {entry.key for entry in opened.cells(cell)}
        canceller = kill_jobs(opened, backends, keys, timeout)
    _print(opened, canceller, as_json)
    if not _is_complete(canceller):
        raise SystemExit(EXIT_NOT_PASSED)


def _is_complete(canceller: Canceller) -> bool:
    return not canceller.still_running and not canceller.errors


def kill_jobs(
    run: OpenRun, backends: Backends, keys: Collection[str] | None, timeout: float, why: str = CANCEL_REASON
) -> Canceller:
    """Cancel all jobs of a run (``keys``: None) and end its session, or cancel the jobs of some cells."""
    names = {entry.cell.backend for entry in run.registrations()}
    canceller = Canceller(run.ledger, run.secrets, run.run_id, backends, names, keys, why)
    interrupted = keys is None and _interrupt(run, why)
    if run.owner_alive is None:
        note(f"clusterjobs: the {run.state} may still submit jobs")
    canceller.run(timeout, wait_for_more=_has_live_session(run) if interrupted else lambda: False)
    if run.is_copy and canceller.targets:
        canceller.unwritten = (
            canceller.unwritten
            or f"{run.folder}: no permission to write, so the run's session records that another program cancelled these jobs"
        )
    if run.read_again().owner_alive is False:
        canceller.settle()
    canceller.close()
    return canceller


def _interrupt(run: OpenRun, why: str) -> bool:
    """Ask the run's session, if any, to stop, and record this command. Returns whether it was signalled."""
    if run.owner is None or not run.owner_alive:
        return False
    try:
        descriptor = os.pidfd_open(run.owner["pid"])
    except OSError:
        return False
    try:
        # The descriptor refers to one process, so after this second check it can only be the owner's.
        if run.owner_alive:
            with suppress(LedgerError):
                run.ledger.set_meta(stopped_by=f"`{why}` (process {os.getpid()})")
            signal.pidfd_send_signal(descriptor, signal.SIGTERM)
    except PermissionError:
        note(f"clusterjobs: process {run.owner['pid']} continues the run, since it belongs to another user")
        return False
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _has_live_session(run: OpenRun) -> Callable[[], bool]:
    return lambda: bool(run.read_again().owner_alive)


def _print(run: OpenRun, canceller: Canceller, as_json: bool) -> None:
    targets = list(canceller.targets.values())
    if as_json:
        emit(
            {
                "run": run.run_id,
                "jobs": [_as_dict(target) for target in targets],
                "survived": len(canceller.still_running),
                "troubles": canceller.errors,
                "unwritten": canceller.unwritten or None,
            }
        )
        return
    if targets:
        table(["cell", "job", "state", "the cluster reports"], [row(*_texts(target)) for target in targets])
    for name, error in canceller.errors.items():
        say(f"{name} does not answer: {one_line(error, 2000)}", "red")
    if canceller.unwritten:
        say(f"the cancellation could not be recorded: {one_line(canceller.unwritten)}", "red")
    survived = len(canceller.still_running)
    ended = len(targets) - survived
    message = f"{ended} ended, {survived} survived" if survived else f"{ended} ended, none survived"
    say(f"run {run.run_id}: {message if targets else 'no live jobs'}", "red" if survived else "")


def state_of(target: CancelTarget) -> str:
    """The state of a job as it is shown."""
    if target.never_submitted:
        return "never submitted"
    if not target.ended:
        return "survived"
    return "ended" if target.is_recorded else "had ended"


def _as_dict(target: CancelTarget) -> dict[str, Any]:
    return {
        "token": target.token,
        "key": target.attempt.key if target.attempt is not None else None,
        "job_id": target.handle.job_id if target.handle is not None else None,
        "backend": target.backend,
        "state": state_of(target),
        "cluster": _native_text(target),
    }


def _texts(target: CancelTarget) -> tuple[object, ...]:
    name = target.attempt.key.rpartition("::")[2] if target.attempt is not None else f"({target.token})"
    job = target.handle.job_id if target.handle is not None else None
    return name, job, state_of(target), _native_text(target) or None


def _native_text(target: CancelTarget) -> str:
    if target.seen is None:
        return target.error
    return " ".join(text for text in (target.seen.native_state, target.seen.native_reason) if text)
