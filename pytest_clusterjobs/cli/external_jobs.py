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

import click

from ..backends.logs import read_log
from ..backends.protocol import Backend
from ..backends.protocol import BackendError
from ..backends.protocol import Inspecting
from ..backends.protocol import Inspection
from ..backends.registry import Site
from ..ledger.codec import dump
from ..model import NodeState
from ..model import Observation
from ..model import Phase
from ..model.text import one_line
from ..reports.verdicts import colour_of
from .errors import CommandError
from .errors import NotFound
from .output import emit
from .output import facts
from .output import say
from .project import Project
from .project import SETTINGS

_REFERENCE = re.compile(r"(?P<name>[^:/\s]+):(?P<job_id>(?!:)\S*)")

MIN_PAUSE_SECONDS = 0.5
"""The shortest time between two polls, or between two reads of a log."""

MAX_VALUE_CHARACTERS = 4000


@dataclass(frozen=True)
class ExternalJob:
    """One job of a cluster, with its backend."""

    name: str
    """The backend's NAME."""
    job_id: str
    backend: Backend

    @property
    def pause(self) -> float:
        """Seconds between two polls."""
        return max(MIN_PAUSE_SECONDS, self.backend.capabilities.min_poll_interval)

    def inspect(self) -> Inspection:
        """The cluster's current answer about the job. Raises NotFound, BackendError."""
        # ``external_job`` opens no other backends.
        assert isinstance(self.backend, Inspecting)
        found = self.backend.inspect(self.job_id)
        if found is None:
            raise NotFound(f"{self.name} has no job {self.job_id}")
        return found

    def follow(self) -> Iterator[Inspection]:
        """Repeated answers until the job has ended. Once seen, a job may be missing for a while."""
        seen = self.inspect()
        yield seen
        while seen.observation.phase is not Phase.ENDED:
            time.sleep(self.pause)
            try:
                seen = self.inspect()
            except NotFound:
                continue
            except BackendError as error:
                click.echo(f"clusterjobs: {one_line(str(error))}; retrying", err=True)
                continue
            yield seen


@contextmanager
def external_job(project: Project, text: str) -> Iterator[ExternalJob | None]:
    """The job that ``NAME:JOBID`` names; ``None`` if ``text`` does not have this form.

    Raises CommandError, SiteError, BackendError.
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
    _check_backend(project, site, name)
    if not match["job_id"]:
        raise NotFound(f"{text} does not name a job: write {name}:JOBID")
    backend = site.open(name, run_id="inspect", run_dir=project.home.runs, rootdir=project.rootdir)
    with closing(backend):
        if not isinstance(backend, Inspecting):
            raise CommandError(f"backend {name} cannot look up jobs by id: write a cell of a run")
        yield ExternalJob(name, match["job_id"], backend)


def _check_backend(project: Project, site: Site, name: str) -> None:
    if name not in site.names:
        raise NotFound(
            f"there is no backend {name!r}: write one of {', '.join(site.names)} before the colon, or add "
            f"[tool.clusterjobs.backends.{name}] to {project.rootdir / SETTINGS}"
        )


def reject_external_job(project: Project, text: str, instead: str) -> None:
    """Raise click.UsageError for ``NAME:JOBID`` where only runs are allowed, NotFound for an unknown NAME."""
    if (match := _REFERENCE.fullmatch(text)) is not None:
        _check_backend(project, project.site(), match["name"])
        raise click.UsageError(f"{text} is a job of {match['name']}, not a run: {instead}")


def show_job(job: ExternalJob, *, follow: bool, as_json: bool) -> None:
    """Print the cluster's answer; with ``follow`` again on every change until the job has ended."""
    shown: Inspection | None = None
    for seen in job.follow() if follow else [job.inspect()]:
        if shown is None or seen.observation != shown.observation:
            if shown is not None and not as_json:
                say()
            _print(job, seen, as_json)
            shown = seen


def _print(job: ExternalJob, seen: Inspection, as_json: bool) -> None:
    if as_json:
        emit(as_dict(job, seen))
        return
    say(f"{job.name}:{job.job_id}  {seen.observation.phase}", colour_of(_status(seen.observation)))
    facts((name, one_line(value, MAX_VALUE_CHARACTERS)) for name, value in seen.facts)


def as_dict(job: ExternalJob, seen: Inspection) -> dict[str, Any]:
    """The answer for programs: its interpretation, and the cluster's own text."""
    observation: dict[str, Any] = json.loads(dump(seen.observation))
    return {
        "backend": job.name,
        "job_id": job.job_id,
        "url": seen.handle.url,
        "observation": observation,
        "raw": dict(seen.raw),
    }


def _status(seen: Observation) -> str:
    """The status whose colour fits the job."""
    if seen.phase is not Phase.ENDED:
        return seen.phase
    return "passed" if is_completed(seen) else "failed"


def is_completed(seen: Observation) -> bool:
    """Whether a job has ended successfully, according to everything that the cluster reports."""
    if seen.phase is not Phase.ENDED or seen.reason_hint is not None or seen.exit_code not in (0, None):
        return False
    return not any(map(_failed, seen.nodes))


def _failed(node: NodeState) -> bool:
    return node.exit_code not in (0, None) and not node.stopped_by_cluster


class ExternalLog:
    """One log of a job, read in pieces."""

    def __init__(self, job: ExternalJob, *, node: int, restart: int | None, tail: int | None) -> None:
        """``tail``: bytes."""
        self._job = job
        self._node = node
        self._restart = restart
        self._tail = tail
        self.has_ended = False

    def pieces(self, *, follow: bool) -> Iterator[tuple[str, bool]]:
        """Pieces of text, each with whether it reaches the log's end. Raises NotFound, BackendError."""
        cursor: Any = None
        while True:
            seen = self._job.inspect()
            # Checked before reading, so that the end of the log is not missed.
            self.has_ended = seen.observation.phase is Phase.ENDED
            for chunk in read_log(
                self._job.backend.logs,
                seen.handle,
                node=self._node,
                restart=self._restart,
                cursor=cursor,
                tail=self._tail,
            ):
                yield chunk.text, chunk.complete
                cursor = chunk.cursor
            if chunk.complete or chunk.gap or not follow:
                return
            time.sleep(self._job.pause)
