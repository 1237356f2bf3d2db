"""``clusterjobs logs``: a job's output, while the job runs or later."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import click

from ..backends.logs import read_log
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
from .errors import EXIT_NOT_PASSED
from .errors import NotFound
from .external_jobs import external_job
from .external_jobs import ExternalLog
from .external_jobs import MIN_PAUSE_SECONDS
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


@dataclass(frozen=True, slots=True)
class LogSelection:
    """The requested log. ``None`` selects the default."""

    attempt: int | None
    node: int | None
    restart: int | None
    tail: int | None
    """Bytes."""


@click.command()
@cell_argument
@run_option
@click.option("--follow", "-f", is_flag=True, help="Print new output until the job has ended.")
@click.option(
    "--node",
    type=click.IntRange(0),
    help="The node, by its rank.  [default: the one that failed first, otherwise 0]",
)
@click.option(
    "--attempt", type=click.IntRange(1), help="The attempt, counted from 1.  [default: the last one]"
)
@click.option(
    "--restart",
    type=click.IntRange(0),
    help="The start within the attempt, counted from 0.  [default: the last one]",
)
@click.option("--tail", type=click.IntRange(1), metavar="BYTES", help="Print only the last BYTES bytes.")
@click.option("--raw", is_flag=True, help="Keep terminal sequences, such as colours and cursor movements.")
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
    """Print the log of one node of a cell's job.

    With --json, each line of output is a JSON object with a piece of the log.

    NAME:JOBID in place of CELL selects the job with this id on the backend NAME, even if no run submitted
    it. Secrets in its log are not masked, because their values are stored with a run. Exit code 1 if the job
    has ended and its log is not complete.
    """
    with external_job(project, cell) as job:
        if job is not None:
            log = ExternalLog(job, node=node or 0, restart=restart, tail=tail)
            complete = True
            for text, complete in log.pieces(follow=follow):
                _print(text, raw, as_json, complete)
            _check_complete(ended=log.has_ended and tail is None, complete=complete)
            return
    selection = LogSelection(attempt, node, restart, tail)
    # Once printing has begun, stay with the same run, whatever happens to its ledger.
    folder, key = project.read(run, lambda opened: (opened.folder, opened.cell(cell).key))
    with open_run(folder) as opened, Backends(opened, project) as backends:
        entry = opened.cell(key)
        cell_log = _CellLog(opened, entry, backends(entry.cell.backend), selection)
        complete = True
        for text, complete in cell_log.pieces(follow=follow):
            _print(text, raw, as_json, complete)
        _check_complete(ended=cell_log.attempt.outcome is not None and tail is None, complete=complete)


def _check_complete(*, ended: bool, complete: bool) -> None:
    if ended and not complete:
        note("clusterjobs: the log is not complete, and the cluster has no more of it")
        raise SystemExit(EXIT_NOT_PASSED)


def _print(text: str, raw: bool, as_json: bool, complete: bool) -> None:
    if as_json:
        emit_line({"text": text, "complete": complete})
    elif raw:
        click.echo(text, nl=False, color=True)
    else:
        shown = split_lines_at_cr(strip_ansi(text))
        click.echo(harmless(shown), nl=False)


class _CellLog:
    """One log of a cell's job, read in pieces."""

    def __init__(self, run: OpenRun, entry: Registration, backend: Backend, selection: LogSelection) -> None:
        self._run = run
        self._entry = entry
        self._backend = backend
        self._selection = selection
        self._pause = max(MIN_PAUSE_SECONDS, backend.capabilities.min_poll_interval)
        self._has_explained = False
        self._tail_bytes: int | None = None
        """The bytes of the tail to read, with room for a secret value at its edge."""
        self.attempt = self._choose()
        if self._hiding().unknown:
            raise CommandError(self._hiding().unknown)

    def _choose(self) -> Attempt:
        """The attempt as it is in the ledger now. Raises NotFound."""
        attempts = self._run.attempts(self._entry.key)
        number = self._selection.attempt
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
        if self._selection.node is not None:
            if self._selection.node >= nodes:
                ranks = "rank 0" if nodes == 1 else f"ranks 0 to {nodes - 1}"
                raise NotFound(f"{self._entry.key} has no rank {self._selection.node}: it has {ranks}")
            return self._selection.node
        outcome = self.attempt.outcome
        return outcome.first_failing_node or 0 if outcome is not None else 0

    def pieces(self, *, follow: bool) -> Iterator[tuple[str, bool]]:
        """Pieces of text, each with whether it reaches the log's end. Raises CommandError, BackendError."""
        node = self._node
        cursor: Any = None
        stream = HidingStream(self._hiding)
        has_text = False
        while True:
            # Checked before reading, so that the end of the log is not missed.
            has_ended = self.attempt.outcome is not None
            chunk = LogChunk("")
            for chunk in self._available(node, cursor, wait=follow and not has_ended):
                yield self._shown(stream, chunk, is_first=cursor is None), chunk.complete
                cursor = chunk.cursor if chunk.cursor is not None else cursor
                has_text = has_text or bool(chunk.text)
            if chunk.complete:
                return
            if not has_text and not has_ended:
                self._explain_absence()
            if has_ended or not follow:
                if rest := stream.feed("", last=True, ends=False):
                    yield rest, False
                return
            time.sleep(self._pause)
            self.attempt = self._choose()

    def _available(self, node: int, cursor: Any, *, wait: bool) -> Iterator[LogChunk]:
        """The chunks from the cursor to the present end. With ``wait``, an error ends them like the end."""
        handle = self.attempt.handle
        if handle is None:
            if not wait:
                raise CommandError(
                    f"{self._entry.key}: the cluster has not reported a job for {self.attempt.token}"
                )
            return
        if cursor is None and self._selection.tail is not None:
            self._tail_bytes = self._selection.tail + self._hiding().room
        try:
            yield from read_log(
                self._backend.logs,
                handle,
                node=node,
                restart=self._selection.restart,
                cursor=cursor,
                tail=self._tail_bytes,
            )
        except BackendError:
            if not wait:
                raise

    def _shown(self, stream: HidingStream, chunk: LogChunk, *, is_first: bool) -> str:
        """The text of a piece that can be shown. A tail is cut to its size here, after values are hidden."""
        if not is_first or self._selection.tail is None or self._tail_bytes is None:
            return stream.feed(chunk.text, last=chunk.complete, ends=chunk.complete)
        stream.begins = not is_cut(chunk.text, self._tail_bytes)
        shown = stream.feed(chunk.text, last=chunk.complete, ends=chunk.complete)
        return shown.encode()[-self._selection.tail :].decode(errors="ignore")

    def _explain_absence(self) -> None:
        """Report once that there is no log yet."""
        if self._has_explained:
            return
        self._has_explained = True
        seen = self.attempt.observation
        state = "its job was just submitted" if seen is None else f"the job is {seen.phase}"
        reason = one_line(seen.native_reason) if seen is not None else ""
        note(f"clusterjobs: no log yet: {state}{f' ({reason})' if reason else ''}")
