"""The contract of a backend: the adapter of one cluster system.

A backend never imports pytest. It is registered as an entry point of the group
``pytest_clusterjobs.backends`` whose object is a :class:`BackendType`, and it proves itself with the
conformance suite in ``pytest_clusterjobs.testing``.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any
from typing import Protocol

from ..model import Handle
from ..model import JobSpec
from ..model import LogChunk
from ..model import Observation


class BackendError(Exception):
    """The cluster's API did not answer as it should; try again later. Never a job's death."""


BUGS = (Exception, SystemExit)
"""What a backend may raise besides, by a bug of its own or of an SDK that exits: an API error like any other."""


class SubmissionRejected(BackendError):
    """The cluster refused this submission for good; its words are the message."""


class Throttled(BackendError):
    """The cluster asks for fewer calls, and has not done what this one asked for.

    A ``submit`` that raises it is made again until it is taken, as long as jobs of the same run are there, and then for
    ``queue_timeout`` seconds: so a limit on a user's jobs is no refusal.
    """


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend can do, and how fast it wants to be asked.

    A job that asks for more than ``max_nodes``, ``restarts`` and ``max_restarts`` allow is refused: at collection
    where the type states them, else before anything is submitted. ``limits.refuse`` does so in a backend's ``submit``.
    """

    ids_per_poll: int = 1000
    submissions_per_second: float | None = None
    """``None``: no limit known."""
    submit_threads: int = 4
    """How many ``submit`` calls may run at once."""
    min_poll_interval: float = 1.0
    """Seconds."""
    find_settle: float = 0.0
    """Seconds after a submission before ``find`` may say ``NotSubmitted``."""
    log_settle: float = 0.0
    """Seconds after an end before a log that is still incomplete is called so."""
    restarts: bool = True
    """Whether ``max_restarts`` works."""
    stops_rest: bool = True
    """Whether a rank that fails ends its job. If not, ``poll`` tells of a running job's failed ranks, with the time
    of their end, and the engine ends the rest."""
    knows_secrets: bool = False
    """Whether it has the values of secrets from elsewhere, so that this process's environment need not have them."""
    max_nodes: int | None = None
    """Nodes that one job may have; 1 for a backend without multi-node jobs, ``None`` for no known limit."""
    max_restarts: int | None = None
    """How often one job can be started again, where ``restarts`` is true; ``None`` for no known limit."""
    remedies: Mapping[str, str] = field(default_factory=dict)
    """What lifts a limit, by its name, for messages: ``{"max_nodes": "set slots in the site settings"}``."""


@dataclass(frozen=True, slots=True)
class Found:
    """The token's job exists (or existed) and this is it."""

    handle: Handle


@dataclass(frozen=True, slots=True)
class NotSubmitted:
    """No job has this token and none will turn up."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """The cluster cannot tell now; such a token is never submitted again."""

    why: str


FindAnswer = Found | NotSubmitted | Unknown


class Backend(Protocol):
    """One cluster. ``submit`` is called from several threads, the rest from one."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do; constant over its life. What its type states holds of it as well."""

    def submit(self, spec: JobSpec, token: str) -> Handle:
        """Submit one job that carries ``token`` in its name or tags.

        A job that asks for more than the capabilities allow is rejected, whoever has let it through.
        Secrets are read from this process's environment, by the names in ``spec.secrets``.
        Raises SubmissionRejected when asking again is pointless, Throttled when the cluster takes no job for now
        and surely has not taken this one, BackendError when the answer was lost or the cluster is out of order:
        the job may or may not exist then, and ``find`` decides.
        """

    def poll(self, handles: Mapping[str, Handle]) -> Mapping[str, Observation]:
        """Say of each token how its job is now, in as few calls as the cluster allows.

        A token missing from the answer was not seen this time and keeps its last state; a job that
        the scheduler definitely does not know is ``absent``. A pending job with a ``reason_hint`` can
        never start (``dependency_failed``, or ``rejected`` for all else), by the scheduler's own word: if
        that word lasts, the engine ends the job. Raises BackendError, Throttled.
        """

    def cancel(self, handles: Mapping[str, Handle]) -> None:
        """Ask the cluster to end these jobs; later polls confirm. Jobs that have ended are no error."""

    def logs(
        self,
        handle: Handle,
        *,
        node: int = 0,
        restart: int | None = None,
        cursor: Any = None,
        tail: int | None = None,
    ) -> LogChunk:
        """Read one node's log of one start (``None``: the last), from ``cursor``, or its last ``tail`` bytes.

        ``node`` is a rank. A rank that the job does not have has printed nothing: its log is empty, and complete
        once the job has ended. What one rank has printed is never another's.
        """

    def find(self, token: str) -> FindAnswer:
        """Say after a crash whether a token was submitted."""

    def sweep(self, run_id: str) -> Mapping[str, Handle]:
        """All live jobs of a run by token, whether or not a ledger knows them."""

    def close(self) -> None:
        """Let go of connections. Jobs live on."""


class Notifying(Protocol):
    """A backend that can say at once that something changed, so that nobody waits for a poll."""

    def subscribe(self, changed: Callable[[Collection[str]], None]) -> None:
        """Call ``changed(tokens)`` from any thread when these jobs are worth a poll now."""


class Checking(Protocol):
    """A backend that can tell of jobs what its cluster will not take, before any of them is submitted."""

    def check_selection(self, specs: Sequence[JobSpec]) -> Sequence[str]:
        """Why the cluster would refuse each of these, in their order; empty where nothing is known against it.

        Asked once for all that a session selects, so it makes one call for what many have in common. Raises
        BackendError where nothing can be told: then each is told when it is submitted.
        """


class Previewing(Protocol):
    """A backend that can show what it would give to the cluster."""

    def preview(self, spec: JobSpec, token: str) -> str:
        """The exact text that ``submit`` would submit, secrets left out; nothing is read from the cluster or written."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a cluster tells of one of its jobs, whoever submitted it."""

    handle: Handle
    """For ``logs``."""
    observation: Observation
    facts: tuple[tuple[str, str], ...] = ()
    """Names and values for people, in order; untrusted text."""
    raw: Mapping[str, Any] = field(default_factory=dict)
    """The cluster's own answer, JSON-serialisable, without the values of environment variables."""


class Inspecting(Protocol):
    """A backend that can tell of jobs that no run of ours has submitted."""

    def inspect(self, job_id: str) -> Inspection | None:
        """What the cluster tells of the job that it calls ``job_id``; ``None`` if it does not know it. Raises BackendError."""


@dataclass(frozen=True, slots=True)
class BackendContext:
    """What a backend is opened with."""

    name: str
    """NAME, as ``backend:`` says it."""
    run_id: str
    run_dir: Path
    """The run's own folder, absolute; the backend may keep files under ``run_dir / name``."""
    rootdir: Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    """``[tool.clusterjobs.backends.NAME]`` without ``type``; keys were checked against the type's."""


@dataclass(frozen=True, slots=True)
class Unset:
    """A site setting that a job needs and the site has not made: what ``check`` says of it."""

    name: str
    note: str = ""
    """When it is needed, or what else will do."""

    def __str__(self) -> str:
        return f"{self.name} ({self.note})" if self.note else self.name


@dataclass(frozen=True, slots=True)
class BackendType:
    """A kind of backend; light to import, it opens what is heavy."""

    name: str
    open: Callable[[BackendContext], Backend]
    settings: frozenset[str] = frozenset()
    """Keys of its site settings."""
    options: frozenset[str] = frozenset()
    """Keys of ``options.NAME`` in a matrix."""
    check: Callable[[JobSpec, Mapping[str, Any]], Iterable[str | Unset]] = lambda spec, settings: ()
    """What of this spec cannot be had here, one line each, and the site settings that it lacks; asked at collection."""
    capabilities: Callable[[Mapping[str, Any]], Capabilities] | None = None
    """What a backend with these site settings can do, told without opening it, so that what it cannot do is refused at
    collection. Raises BackendError in one line for settings that cannot be. ``None``: only an opened one tells."""
