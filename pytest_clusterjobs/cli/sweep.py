"""``clusterjobs sweep`` and ``gc``: find stray jobs, and remove old runs."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ..backends.protocol import BackendError
from ..backends.registry import SiteError
from ..engine.adoption import NOT_IN_LEDGER
from ..engine.kill import Canceller
from ..ledger.ledger import LedgerError
from ..ledger.run_folder import LEDGER
from ..model.notation import parse_duration
from ..model.text import counted
from ..model.text import one_line
from .errors import EXIT_NOT_PASSED
from .kill import CANCEL_TIMEOUT_SECONDS
from .options import as_json
from .options import pass_project
from .output import clock
from .output import command
from .output import emit
from .output import note
from .output import row
from .output import say
from .output import table
from .project import Backends
from .project import open_run
from .project import OpenRun
from .project import Project

DEFAULT_KEPT_RUNS = 20
"""The default number of runs that ``gc`` keeps."""


@dataclass(frozen=True, slots=True)
class Stray:
    """A job that runs although no session waits for it."""

    run: str
    token: str
    job_id: str | None
    backend: str
    why: str


@click.command()
@click.option("--kill", "cancel", is_flag=True, help="Cancel these jobs, and wait for their ends.")
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
def sweep(project: Project, cancel: bool, timeout: float, as_json: bool) -> None:
    """Find live jobs that no ledger counts as live, or that outlived their run.

    Only jobs of this project's runs are found. Exit code 1 if there are any (with --kill: if any
    survived), or if a cluster does not answer.
    """
    strays: list[Stray] = []
    errors: list[str] = []
    left = 0
    for folder in project.folders():
        try:
            with open_run(folder) as opened, Backends(opened, project) as backends:
                found = list(_strays(opened, backends, errors))
                strays += found
                left += _cancel(opened, backends, found, timeout) if cancel else len(found)
        except (LedgerError, SiteError) as error:
            errors.append(one_line(str(error), 2000))
    _print(strays, errors, cancel, left, as_json)
    if left or errors:
        raise SystemExit(EXIT_NOT_PASSED)


def _strays(run: OpenRun, backends: Backends, errors: list[str]) -> Iterator[Stray]:
    known = {attempt.token: attempt for attempt in run.ledger.attempts()}
    state = run.state
    for name in sorted({entry.cell.backend for entry in run.registrations()}):
        try:
            swept = backends(name).sweep(run.run_id)
        except (BackendError, SiteError) as error:
            errors.append(
                f"run {run.run_id}: {name} does not answer: {one_line(run.secrets.hide(str(error)), 2000)}"
            )
            continue
        for token, handle in swept.items():
            attempt = known.get(token)
            if attempt is None:
                why = NOT_IN_LEDGER
            elif attempt.outcome is not None:
                why = "its ledger recorded its end"
            elif state == "ended" or (state == "session died" and run.meta.get("on_crash") == "cancel"):
                why = "its run has ended"
            else:
                continue
            yield Stray(run.run_id, token, handle.job_id, name, why)


def _cancel(run: OpenRun, backends: Backends, strays: list[Stray], timeout: float) -> int:
    """Cancel the jobs. Returns how many survived."""
    if not strays:
        return 0
    tokens = {stray.token for stray in strays}
    keys = {attempt.key for attempt in run.ledger.attempts() if attempt.token in tokens}
    names = {stray.backend for stray in strays}
    # A job that the ledger does not know has no cell, so then cancel all jobs of the run.
    everything = any(stray.why == NOT_IN_LEDGER for stray in strays) and run.owner_alive is False
    canceller = Canceller(
        run.ledger,
        run.secrets,
        run.run_id,
        backends,
        names,
        None if everything else keys,
        "clusterjobs sweep",
    )
    canceller.run(timeout)
    if run.owner_alive is False:
        canceller.settle()
    canceller.close()
    return len({target.token for target in canceller.still_running} & tokens)


def _print(strays: list[Stray], errors: list[str], cancel: bool, left: int, as_json: bool) -> None:
    if as_json:
        jobs = [{name: getattr(stray, name) for name in Stray.__slots__} for stray in strays]
        emit({"jobs": jobs, "survived": left if cancel else None, "troubles": errors})
        return
    if strays:
        rows = [row(each.run, each.job_id, each.backend, each.why, each.token) for each in strays]
        table(["run", "job", "backend", "why", "token"], rows)
    for error in errors:
        note(f"clusterjobs: {error}")
    if cancel and strays:
        say(f"{len(strays) - left} ended, {left or 'none'} survived")
    else:
        kill = f"; cancel them with: {command(*sys.argv[1:], '--kill')}" if strays else ""
        say(f"{counted(len(strays), 'stray job') if strays else 'no stray jobs'}{kill}")


def _duration(context: click.Context, parameter: click.Parameter, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return parse_duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command()
@click.option(
    "--keep",
    type=click.IntRange(0),
    metavar="N",
    help=f"Keep the latest N runs.  [default: {DEFAULT_KEPT_RUNS}]",
)
@click.option(
    "--older-than",
    callback=_duration,
    metavar="DURATION",
    help="Remove only runs older than DURATION, for example 14d.",
)
@click.option("--yes", is_flag=True, help="Remove the runs; without it, only list them.")
@as_json
@pass_project
def gc(project: Project, keep: int | None, older_than: float | None, yes: bool, as_json: bool) -> None:
    """Remove old runs with their ledgers and logs; runs with live jobs or a live session are kept."""
    count = keep if keep is not None else (0 if older_than is not None else DEFAULT_KEPT_RUNS)
    entries = [_candidate(folder, project, older_than) for folder in project.folders()[count:]]
    about = [entry for entry in entries if entry is not None]
    for entry in about:
        if yes and entry["kept"] is None:
            entry["kept"] = _remove(Path(entry["folder"]))
            entry["removed"] = entry["kept"] is None
    if as_json:
        emit(about)
        return
    state = "removed" if yes else "would be removed"
    rows = [row(each["run"], clock(each["started"]), each["kept"] or state) for each in about]
    if rows:
        table(["run", "started", ""], rows)
    gone = sum(each["kept"] is None for each in about)
    remove = "" if yes or not gone else f"; remove them with: {command(*sys.argv[1:], '--yes')}"
    say(f"{counted(gone, 'run') if gone else 'no runs'} {state}{remove}")


def _candidate(folder: Path, project: Project, older_than: float | None) -> dict[str, Any] | None:
    """A run, and why it must be kept; None if it is too young to be considered."""
    about: dict[str, Any] = {"run": folder.name, "folder": str(folder), "started": None, "removed": False}
    try:
        with open_run(folder) as run:
            started = run.meta["started"]
            if older_than is not None and time.time() - started < older_than:
                return None
            return {**about, "started": started, "kept": _why_kept(run, project)}
    except (LedgerError, SiteError) as error:
        message = str(error).removeprefix(f"{folder / LEDGER}: ")
        return {**about, "kept": f"kept: {one_line(message, 2000)}"}


def _why_kept(run: OpenRun, project: Project) -> str | None:
    if run.owner_alive is not False:
        return f"kept: {run.state}"
    live = [attempt for attempt in run.ledger.attempts(live=True) if attempt.may_have_job]
    with Backends(run, project) as backends:
        for name in sorted({entry.cell.backend for entry in run.registrations()}):
            try:
                backend = backends(name)
                if jobs := backend.sweep(run.run_id):
                    return f"kept: {len(jobs)} live jobs on {name}"
                settle = backend.capabilities.find_settle
            except (BackendError, SiteError) as error:
                return f"kept: {name} does not report whether jobs are running: {one_line(str(error), 2000)}"
            if any(time.time() - attempt.intended < settle for attempt in live):
                return f"kept: jobs that were just submitted to {name} may be running"
    return None


def _remove(folder: Path) -> str | None:
    try:
        shutil.rmtree(folder)
    except OSError as error:
        return f"kept: {error.filename}: {error.strerror}"
    return None
