"""``clusterjobs logs``: a job's output, while the job runs or later."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import click

from ..backends.protocol import Backend
from ..backends.protocol import BackendError
from ..engine.hiding import Hiding
from ..engine.hiding import HidingStream
from ..engine.logs import is_cut
from ..model import LogChunk
from ..model.records import Attempt
from ..model.records import Registration
from ..model.text import harmless
from ..model.text import one_line
from ..model.text import split_lines_at_cr
from ..model.text import strip_ansi
from .errors import CommandError
from .errors import NOT_GREEN
from .errors import NotFound
from .external_jobs import foreign_job
from .external_jobs import JobLog
from .options import as_json
from .options import cell_argument
from .options import pass_project
from .options import run_option
from .output import emit_line
from .output import note
from .project import Backends
from .project import open_run
from .project import OpenRun
from .project import Project

PAUSE = 0.5
"""The shortest time, in seconds, between two reads of a log that is being written."""


@dataclass(frozen=True, slots=True)
class Which:
    """The requested log. ``None`` selects the default."""

    attempt: int | None
    node: int | None
    restart: int | None
    tail: int | None


@click.command()
@cell_argument
@run_option
@click.option("--follow", "-f", is_flag=True, help="Go on until the job has ended.")
@click.option(
    "--node", type=click.IntRange(0), help="The rank.  [default: the one that failed first, else 0]"
)
@click.option("--attempt", type=click.IntRange(1), help="The attempt.  [default: the last]")
@click.option("--restart", type=click.IntRange(0), help="The start, counted from 0.  [default: the last]")
@click.option("--tail", type=click.IntRange(1), metavar="BYTES", help="Begin so far from the end.")
@click.option("--raw", is_flag=True, help="As it was printed: colours, cursor movements and all.")
@as_json
@pass_project
def logs(
    project: Project,
    cell: str,
    run: str | None,
    follow: bool,
    node: int | None,
    attempt: int | None,
    restart: int | None,
    tail: int | None,
    raw: bool,
    as_json: bool,
) -> None:
    """Print the log of one node of CELL's job; with --json a line a piece.

    NAME:JOBID in place of CELL names a job of the backend NAME by the cluster's own id, whichever tool submitted it. No
    secrets are hidden in its log: their values are kept with a run. Exit code 1 if the log is not complete although
    its job has ended.
    """
    with foreign_job(project, cell) as job:
        if job is not None:
            log = JobLog(job, node=node or 0, restart=restart, tail=tail)
            complete = True
            for text, complete in log.pieces(follow=follow):
                _print(text, raw, as_json, complete)
            _complain(ended=log.ended and tail is None, complete=complete)
            return
    which = Which(attempt, node, restart, tail)
    # Once printing has begun, stay with the same run, whatever happens to its ledger.
    folder, key = project.read(run, lambda opened: (opened.folder, opened.cell(cell).key))
    with open_run(folder) as opened, Backends(opened, project) as backends:
        entry = opened.cell(key)
        reader = _Reader(opened, entry, backends(entry.cell.backend), which)
        complete = True
        for text, complete in reader.pieces(follow=follow):
            _print(text, raw, as_json, complete)
        _complain(ended=reader.attempt.outcome is not None and tail is None, complete=complete)


def _complain(*, ended: bool, complete: bool) -> None:
    if ended and not complete:
        note("clusterjobs: the cluster has no more of this log, but it is not complete")
        raise SystemExit(NOT_GREEN)


def _print(text: str, raw: bool, as_json: bool, complete: bool) -> None:
    if as_json:
        emit_line({"text": text, "complete": complete})
    elif raw:
        click.echo(text, nl=False, color=True)
    else:
        shown = split_lines_at_cr(strip_ansi(text))
        click.echo(harmless(shown), nl=False)


class _Reader:
    """Reads one log in pieces."""

    def __init__(self, run: OpenRun, entry: Registration, backend: Backend, which: Which) -> None:
        self._run = run
        self._entry = entry
        self._backend = backend
        self._which = which
        self._pause = max(PAUSE, backend.capabilities.min_poll_interval)
        self._told = False
        self._asked = 0
        """The bytes of the tail to read, with room for a secret value at its edge."""
        self.attempt = self._choose()
        if self._hiding().unknown:
            raise CommandError(self._hiding().unknown)

    def _choose(self) -> Attempt:
        """The attempt as it is in the ledger now. Raises NotFound."""
        attempts = self._run.attempts(self._entry.key)
        number = self._which.attempt
        found = [each for each in attempts if number in (None, each.number)]
        if not found:
            what = "was not submitted" if number is None else f"has no attempt {number}"
            raise NotFound(f"{self._entry.key} {what} in run {self._run.run_id}")
        return found[-1]

    def _hiding(self) -> Hiding:
        return self._run.secrets.of(self.attempt.spec or self._entry.cell.spec)

    @property
    def _node(self) -> int:
        nodes = self._entry.cell.spec.nodes
        if self._which.node is not None:
            if self._which.node >= nodes:
                raise NotFound(f"{self._entry.key} has no rank {self._which.node}, only 0 to {nodes - 1}")
            return self._which.node
        outcome = self.attempt.outcome
        return outcome.first_failing_node or 0 if outcome is not None else 0

    def pieces(self, *, follow: bool) -> Iterator[tuple[str, bool]]:
        """Pieces of text, each with whether it reaches the log's end. Raises CommandError, BackendError."""
        node = self._node
        cursor: Any = None
        stream = HidingStream(self._hiding)
        while True:
            over = self.attempt.outcome is not None
            chunk = self._ask(node, cursor, patient=follow and not over)
            if cursor is None and not over and not (chunk and chunk.text):
                self._tell_why_there_is_none()
            more = chunk is not None and bool(chunk.text) and chunk.cursor not in (None, cursor)
            if chunk is not None:
                last = chunk.complete or not (more or (follow and not over))
                yield self._shown(stream, chunk, first=cursor is None, last=last), chunk.complete
                cursor = chunk.cursor if chunk.cursor is not None else cursor
                if last:
                    return
            if not more:
                time.sleep(self._pause)
                self.attempt = self._choose()

    def _shown(self, stream: HidingStream, chunk: LogChunk, *, first: bool, last: bool) -> str:
        """The text of a piece that can be shown. A tail is cut to its size here, after values are hidden."""
        if not first or self._which.tail is None:
            return stream.feed(chunk.text, last=last, ends=chunk.complete)
        stream.begins = not is_cut(chunk.text, self._asked)
        shown = stream.feed(chunk.text, last=last, ends=chunk.complete)
        return shown.encode()[-self._which.tail :].decode(errors="ignore")

    def _tell_why_there_is_none(self) -> None:
        """Report once that there is no log yet."""
        if self._told:
            return
        self._told = True
        seen = self.attempt.observation
        why = "its job was just submitted" if seen is None else f"the job is {seen.phase}"
        words = one_line(seen.native_reason) if seen is not None else ""
        note(f"clusterjobs: no log yet: {why}{f' ({words})' if words else ''}")

    def _ask(self, node: int, cursor: Any, *, patient: bool) -> LogChunk | None:
        """The next piece; None if there is none yet and ``patient`` is set."""
        handle = self.attempt.handle
        if handle is None:
            if patient:
                return None
            raise CommandError(f"{self._entry.key}: the cluster has given no job for {self.attempt.token}")
        tail = None
        if cursor is None and self._which.tail is not None:
            tail = self._asked = self._which.tail + self._hiding().room
        try:
            return self._backend.logs(
                handle, node=node, restart=self._which.restart, cursor=cursor, tail=tail
            )
        except BackendError:
            if patient:
                return None
            raise
