"""``clusterjobs watch``: show a run while it continues."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import click

from ..backends.protocol import BackendError
from ..engine.answers import poll_all
from ..engine.hiding import hidden
from ..model import Handle
from ..model import Observation
from ..model import Phase
from ..model import Reason
from ..model import Verdict
from ..model.records import Attempt
from ..model.text import one_line
from ..reports.json_report import cell_lines
from ..reports.json_report import CellLine
from ..reports.terminal import format_tally
from ..reports.terminal import tally
from ..reports.verdicts import colour_of
from .errors import EXIT_NOT_PASSED
from .external_jobs import external_job
from .external_jobs import ExternalJob
from .external_jobs import is_completed
from .external_jobs import MIN_PAUSE_SECONDS
from .options import as_json
from .options import pass_project
from .options import run_argument
from .output import clock
from .output import command
from .output import emit_line
from .output import lay_out
from .output import rewrite
from .output import row
from .output import say
from .output import TableRow
from .project import Backends
from .project import open_run
from .project import OpenRun
from .project import Project

PAUSE_PER_UPDATE_TIME = 10.0
"""The pause between two updates takes at least this many times as long as an update."""

HEADER = ["cell", "job", "state", "reason", "since", "the cluster reports"]


@dataclass(frozen=True, slots=True)
class WatchedCell:
    """A cell at one moment."""

    key: str
    job: str | None
    state: str
    """The cell's verdict, or else the phase of its job."""
    reason: str | None
    since: float | None
    native_text: str
    """The scheduler's own state and reason."""
    is_over: bool
    """Whether nothing of it is still running."""

    @property
    def shown(self) -> TableRow:
        """The cell as a row of the table."""
        name = self.key.rpartition("::")[2]
        texts = (name, self.job, self.state, self.reason, clock(self.since), self.native_text or None)
        return row(*texts, colour=colour_of(self.state))


@click.command()
@run_argument
@as_json
@pass_project
def watch(project: Project, run: str | None, as_json: bool) -> None:
    """Show the cells of a run until all jobs have ended.

    On a terminal the table is updated in place; otherwise each change is printed as a line. NAME:JOBID in
    place of RUN selects the job with this id on the backend NAME, even if no run submitted it. Exit code 1
    unless every cell passed, or the job ended successfully.
    """
    with external_job(project, run or "") as job:
        if job is not None:
            _watch_job(job, as_json)
            return
    with open_run(project.pick(run)) as opened, Backends(opened, project) as backends:
        screen = _Screen(live=sys.stdout.isatty() and not as_json, as_json=as_json)
        state = _RunState(opened, backends)
        while True:
            begin = time.monotonic()
            is_over = state.update()
            screen.show(state.lines)
            if is_over:
                break
            time.sleep(max(MIN_PAUSE_SECONDS, PAUSE_PER_UPDATE_TIME * (time.monotonic() - begin)))
        lines = list(cell_lines(opened.ledger))
    if not as_json:
        _print_end(project, opened.run_id, lines, state)
    if any(line.verdict != Verdict.PASSED for line in lines):
        raise SystemExit(EXIT_NOT_PASSED)


def _print_end(project: Project, run_id: str, lines: list[CellLine], state: _RunState) -> None:
    """Print the tally, and the next command for a run that has not been judged yet."""
    counts = tally(lines)
    if pending := counts.pop("pending", 0):
        counts["not judged"] = pending
    say(f"run {run_id}: {format_tally(counts) or 'no cells'}")
    ended = sum(line.state == Phase.ENDED for line in state.lines.values())
    if ended:
        are = "is" if ended == 1 else "are"
        check = command(*project.arguments("check", "--run", run_id))
        say(f"all jobs have ended, {ended} {are} not judged yet; judge with: {check}")
    if missing := counts.get("not judged", 0) - ended:
        resume = command(*project.arguments("resume", "--run", run_id))
        are = "was" if missing == 1 else "were"
        say(f"{missing} {are} cancelled or never submitted; submit with: {resume}")


def _watch_job(job: ExternalJob, as_json: bool) -> None:
    screen = _Screen(live=sys.stdout.isatty() and not as_json, as_json=as_json)
    for seen in job.follow():
        screen.show({line.key: line for line in _lines(job, seen.observation)})
    if not is_completed(seen.observation):
        raise SystemExit(EXIT_NOT_PASSED)


def _lines(job: ExternalJob, seen: Observation) -> Iterator[WatchedCell]:
    times, over = seen.times, seen.phase is Phase.ENDED
    since = times.ended or times.started or times.submitted
    key = f"{job.name}:{job.job_id}"
    yield WatchedCell(key, job.job_id, str(seen.phase), _reason(seen), since, _native_text(seen), over)
    for node in seen.nodes if len(seen.nodes) > 1 or not over else ():
        code = "" if node.exit_code is None else f"exit code {node.exit_code}"
        ended = "running" if node.ended is None else "ended"
        yield WatchedCell(
            f"rank {node.rank}", job.job_id, ended, None, node.ended, code, is_over=node.ended is not None
        )


def _native_text(seen: Observation) -> str:
    return one_line(" ".join(filter(None, [seen.native_state, seen.native_reason])))


def _reason(seen: Observation) -> str | None:
    if is_completed(seen):
        return Reason.JOB_COMPLETED
    return seen.reason_hint or (f"exit code {seen.exit_code}" if seen.exit_code else None)


class _RunState:
    """The state of a run from the ledger and, if no session polls the cluster, from the cluster."""

    def __init__(self, run: OpenRun, backends: Backends) -> None:
        self._run = run
        self._backends = backends
        self._seen: dict[str, Observation] = {}
        self.lines: dict[str, WatchedCell] = {}

    def update(self) -> bool:
        """Update the state. Returns whether the run is over."""
        run = self._run.read_again()
        attempts = run.ledger.attempts()
        if run.owner_alive is False:
            self._poll(attempts)
        last = {attempt.key: attempt for attempt in attempts}
        lines = [self._line(line, last.get(line.key)) for line in cell_lines(run.ledger)]
        self.lines = {line.key: line for line in lines}
        # A live session may submit more jobs, and still has to write the verdicts.
        return run.owner_alive is False and all(line.is_over for line in lines)

    def _poll(self, attempts: list[Attempt]) -> None:
        """Poll jobs that no session polls. Failed polls are repeated at the next update."""
        cells = {entry.key: entry.cell for entry in self._run.registrations()}
        secrets, hiding = self._run.secrets, {}
        by_name: dict[str, dict[str, Handle]] = {}
        for attempt in attempts:
            known = self._seen.get(attempt.token)
            is_over = known is not None and known.phase is Phase.ENDED
            if attempt.may_have_job and attempt.handle is not None and not is_over:
                cell = cells[attempt.key]
                by_name.setdefault(cell.backend, {})[attempt.token] = attempt.handle
                hiding[attempt.token] = secrets.of(attempt.spec or cell.spec)
        for name, handles in by_name.items():
            seen: dict[str, Observation] = {}
            with suppress(BackendError):
                poll_all(self._backends(name), handles, seen)
            self._seen.update((token, hidden(each, hiding[token])) for token, each in seen.items())

    def _line(self, line: CellLine, attempt: Attempt | None) -> WatchedCell:
        job = attempt.handle.job_id if attempt is not None and attempt.handle is not None else None
        if line.result is not None or attempt is None:
            outcome = json.loads(line.result)["outcome"] if line.result else {}
            state = line.verdict or ("ended" if line.result else "not submitted")
            ended = (outcome.get("times") or {}).get("ended")
            return WatchedCell(line.key, job, state, outcome.get("reason"), ended, "", is_over=True)
        seen = self._seen.get(attempt.token) or attempt.observation
        if seen is None:
            # Without a handle the job cannot be polled.
            over = attempt.handle is None
            return WatchedCell(line.key, job, "submitted", None, attempt.submitted, "", is_over=over)
        times = seen.times
        since = times.ended or times.started or times.submitted
        over = seen.phase is Phase.ENDED
        return WatchedCell(line.key, job, str(seen.phase), None, since, _native_text(seen), over)


class _Screen:
    """A table that is rewritten in place, or a line for each change."""

    def __init__(self, *, live: bool, as_json: bool) -> None:
        self._live = live
        self._as_json = as_json
        self._before: Mapping[str, WatchedCell] = {}
        self._height = 0

    def show(self, lines: Mapping[str, WatchedCell]) -> None:
        """Show the current state."""
        if self._live:
            self._rewrite(lines)
            return
        for key, line in lines.items():
            if self._before.get(key) != line:
                self._print_change(line)
        self._before = dict(lines)

    def _print_change(self, line: WatchedCell) -> None:
        if self._as_json:
            emit_line(
                {
                    "at": time.time(),
                    "key": line.key,
                    "job_id": line.job,
                    "state": line.state,
                    "reason": line.reason,
                    "cluster": line.native_text,
                }
            )
            return
        details = filter(None, [line.reason, line.native_text])
        text = "  ".join([clock(time.time()), one_line(line.key), line.state, *details])
        say(text, colour_of(line.state))

    def _rewrite(self, lines: Mapping[str, WatchedCell]) -> None:
        """Redraw the table; if the screen is too small, running cells come first."""
        size = shutil.get_terminal_size()
        order = sorted(lines.values(), key=lambda line: line.is_over)
        room = max(1, size.lines - 3)
        shown = list(lay_out(HEADER, [line.shown for line in order[:room]]))
        if len(order) > room:
            shown.append((f"... and {len(order) - room} more", ""))
        rewrite(self._height, [(text[: size.columns - 1], colour) for text, colour in shown])
        self._height = len(shown)
