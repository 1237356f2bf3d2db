"""Jobs by their cluster's own ids, whatever submitted them: ``clusterjobs show aws-batch:JOBID``."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import closing
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from typing import cast

import click

from ..backends.protocol import Backend
from ..backends.protocol import BackendError
from ..backends.protocol import Inspecting
from ..backends.protocol import Inspection
from ..backends.registry import Site
from ..ledger.codec import dump
from ..model import LogChunk
from ..model import NodeState
from ..model import Observation
from ..model import Phase
from ..model.text import one_line
from .errors import CommandError
from .errors import NotFound
from .output import emit
from .output import facts
from .output import say
from .project import Project
from .project import SETTINGS

_REFERENCE = re.compile(r"(?P<name>[^:/\s]+):(?P<job_id>(?!:)\S*)")

COLOURS = {Phase.PENDING: "yellow", Phase.RUNNING: "cyan", Phase.ABSENT: "yellow"}

PAUSE = 0.5
"""The shortest time, in seconds, between two polls."""

LONGEST_VALUE = 4000


@dataclass(frozen=True)
class ForeignJob:
    """One job of a cluster, with its backend."""

    name: str
    """The backend's NAME."""
    job_id: str
    backend: Backend

    @property
    def pause(self) -> float:
        """Seconds between two polls."""
        return max(PAUSE, self.backend.capabilities.min_poll_interval)

    def look(self) -> Inspection:
        """The cluster's current answer about the job. Raises NotFound, BackendError."""
        found = cast(Inspecting, self.backend).inspect(self.job_id)
        if found is None:
            raise NotFound(f"{self.name} knows no job {self.job_id}")
        return found

    def looks(self) -> Iterator[Inspection]:
        """Repeated answers until the job has ended. Once seen, a job may be missing for a while."""
        seen = self.look()
        yield seen
        while seen.observation.phase is not Phase.ENDED:
            time.sleep(self.pause)
            try:
                seen = self.look()
            except NotFound:
                continue
            except BackendError as error:
                click.echo(f"clusterjobs: {one_line(str(error))}; asking again", err=True)
                continue
            yield seen


@contextmanager
def foreign_job(project: Project, text: str) -> Iterator[ForeignJob | None]:
    """The job that ``NAME:JOBID`` names; ``None`` if ``text`` does not have this form.

    Raises CommandError, UnknownBackend, BackendError.
    """
    match = _REFERENCE.fullmatch(text)
    if match is None:
        yield None
        return
    name, site = match["name"], project.site()
    if name not in site.names and "::" in text:
        # A node id, whose path may also contain a colon.
        yield None
        return
    _demand(project, site, name)
    if not match["job_id"]:
        raise NotFound(f"{text} names no job: write {name}:JOBID")
    backend = site.open(name, run_id="inspect", run_dir=project.home.runs, rootdir=project.rootdir)
    with closing(backend):
        if not hasattr(backend, "inspect"):
            raise CommandError(f"{name} shows no jobs by their ids: name a cell of a run")
        yield ForeignJob(name, match["job_id"], backend)


def _demand(project: Project, site: Site, name: str) -> None:
    if name not in site.names:
        raise NotFound(
            f"no backend {name!r}; there are {', '.join(site.names)}: write one of them before the colon, or add "
            f"[tool.clusterjobs.backends.{name}] to {project.rootdir / SETTINGS}"
        )


def refuse_job(project: Project, text: str, instead: str) -> None:
    """Raise click.UsageError for ``NAME:JOBID`` where only runs are allowed, NotFound for an unknown NAME."""
    if (match := _REFERENCE.fullmatch(text)) is not None:
        _demand(project, project.site(), match["name"])
        raise click.UsageError(f"{text} is a job of {match['name']}, and not a run: {instead}")


def show_job(job: ForeignJob, *, follow: bool, as_json: bool) -> None:
    """Print the cluster's answer; with ``follow`` again on every change until the job has ended."""
    told: Inspection | None = None
    for seen in job.looks() if follow else [job.look()]:
        if told is None or seen.observation != told.observation:
            if told is not None and not as_json:
                say()
            _tell(job, seen, as_json)
            told = seen


def _tell(job: ForeignJob, seen: Inspection, as_json: bool) -> None:
    if as_json:
        emit(as_dict(job, seen))
        return
    say(f"{job.name}:{job.job_id}  {seen.observation.phase}", colour_of(seen.observation))
    facts((name, one_line(value, LONGEST_VALUE)) for name, value in seen.facts)


def as_dict(job: ForeignJob, seen: Inspection) -> dict[str, Any]:
    """The answer for programs: its interpretation, and the cluster's own text."""
    observation: dict[str, Any] = json.loads(dump(seen.observation))
    return {
        "backend": job.name,
        "job_id": job.job_id,
        "url": seen.handle.url,
        "observation": observation,
        "raw": dict(seen.raw),
    }


def colour_of(seen: Observation) -> str:
    """The colour for a job's phase."""
    if seen.phase is not Phase.ENDED:
        return COLOURS[seen.phase]
    return "green" if completed(seen) else "red"


def completed(seen: Observation) -> bool:
    """Whether a job has ended successfully, according to everything that the cluster reports."""
    well = seen.reason_hint is None and seen.exit_code in (0, None)
    return seen.phase is Phase.ENDED and well and not any(map(_failed, seen.nodes))


def _failed(node: NodeState) -> bool:
    return node.exit_code not in (0, None) and not node.stopped_by_cluster


class JobLog:
    """One log of a job, read in pieces."""

    def __init__(self, job: ForeignJob, *, node: int, restart: int | None, tail: int | None) -> None:
        self._job = job
        self._node = node
        self._restart = restart
        self._tail = tail
        self.ended = False

    def pieces(self, *, follow: bool) -> Iterator[tuple[str, bool]]:
        """Pieces of text, each with whether it reaches the log's end. Raises NotFound, BackendError."""
        cursor: Any = None
        while True:
            seen = self._job.look()
            # Checked before reading, so that the end of the log is not missed.
            self.ended = seen.observation.phase is Phase.ENDED
            for chunk in self._read(seen, cursor):
                yield chunk.text, chunk.complete
                cursor = chunk.cursor
            if chunk.complete or chunk.gap or not follow:
                return
            time.sleep(self._job.pause)

    def _read(self, seen: Inspection, cursor: Any) -> Iterator[LogChunk]:
        """All pieces that are available now."""
        while True:
            tail = self._tail if cursor is None else None
            chunk = self._job.backend.logs(
                seen.handle, node=self._node, restart=self._restart, cursor=cursor, tail=tail
            )
            yield chunk
            if chunk.complete or not chunk.text or chunk.cursor in (None, cursor) or tail is not None:
                return
            cursor = chunk.cursor
