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
from typing import runtime_checkable
from typing import TYPE_CHECKING

from ..model import Handle
from ..model import JobSpec
from ..model import LogChunk
from ..model import Observation

if TYPE_CHECKING:
    # It imports pydantic.
    from .settings import SiteSettings


class BackendError(Exception):
    """The cluster's API gave no usable answer; try again later. It never means that a job has ended."""


BUGS = (Exception, SystemExit)
"""Exceptions of a bug in a backend, or in an SDK that exits. The engine handles them as API errors."""


class SubmissionRejected(BackendError):
    """The cluster rejected this submission permanently; the message is the cluster's own."""


class Throttled(BackendError):
    """The cluster asks for fewer calls, and has not carried out this one.

    A ``submit`` that raises it is repeated until the cluster accepts the job: without limit as long as the
    run has other jobs on the cluster, and then for ``queue_timeout`` seconds. A limit on a user's jobs is
    therefore not a rejection.
    """


class UnreadableLog(BackendError):
    """A log cannot be read, and another try will not help. Any other error of ``logs`` is retried."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend can do, and how fast it may be called.

    A job that asks for more than ``max_nodes``, ``restarts`` and ``max_restarts`` allow is rejected: at
    collection if the type states them, otherwise before anything is submitted. A backend's ``submit`` calls
    ``limits.refuse`` for this.
    """

    ids_per_poll: int = 1000
    submissions_per_second: float | None = None
    """``None``: no known limit."""
    submit_threads: int = 4
    """How many ``submit`` calls may run at once."""
    min_poll_interval: float = 1.0
    """Seconds."""
    find_settle: float = 0.0
    """Seconds after a submission before ``find`` may return ``NotSubmitted``."""
    log_settle: float = 0.0
    """Seconds after an end before a log that is still incomplete is reported as incomplete."""
    restarts: bool = True
    """Whether ``max_restarts`` works."""
    stops_rest: bool = True
    """Whether a rank that fails ends its job. If not, ``poll`` reports the failed ranks of a running job,
    with the times of their ends, and the engine ends the other ranks."""
    knows_secrets: bool = False
    """Whether it gets the values of secrets elsewhere, so that this process's environment may lack them."""
    max_nodes: int | None = None
    """Nodes that one job may have; 1 for a backend without multi-node jobs, ``None`` for no known limit."""
    max_restarts: int | None = None
    """How often one job can be restarted, if ``restarts`` is true; ``None`` for no known limit."""
    remedies: Mapping[str, str] = field(default_factory=dict)
    """How to lift a limit, by its name, for messages: ``{"max_nodes": "set slots in the site settings"}``."""


@dataclass(frozen=True, slots=True)
class Found:
    """The token's job, which exists or existed."""

    handle: Handle


@dataclass(frozen=True, slots=True)
class NotSubmitted:
    """No job has this token, and none will appear."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """The cluster cannot tell now. The engine never submits such a token again."""

    why: str


FindAnswer = Found | NotSubmitted | Unknown


class Backend(Protocol):
    """One cluster. ``submit`` is called from several threads, the other methods from one."""

    @property
    def capabilities(self) -> Capabilities:
        """What this backend can do; constant over its life. What its type states applies as well."""

    def submit(self, spec: JobSpec, token: str) -> Handle:
        """Submit one job that carries ``token`` in its name or tags.

        A job that asks for more than the capabilities allow is rejected, even if earlier checks let it
        through. Secrets are read from this process's environment, by the names in ``spec.secrets``. Raises
        SubmissionRejected if a retry is pointless; Throttled if the cluster accepts no job for now and has
        certainly not accepted this one; BackendError if the answer was lost or the cluster is out of order.
        After a BackendError the job may or may not exist, and ``find`` decides.
        """

    def poll(self, handles: Mapping[str, Handle]) -> Mapping[str, Observation]:
        """Return the present state of each token's job, in as few calls as the cluster allows.

        A token missing from the answer was not seen this time and keeps its last state; a job that the
        scheduler definitely does not know is ``absent``. A ``reason_hint`` on a pending job means that the
        scheduler reports that it can never start (``dependency_failed``, or ``rejected`` for any other
        cause): if that report lasts, the engine ends the job. Raises BackendError, Throttled.
        """

    def cancel(self, handles: Mapping[str, Handle]) -> None:
        """Ask the cluster to end these jobs; later polls confirm. An ended job is not an error."""

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

        ``node`` is a rank. A rank that the job does not have has printed nothing: its log is empty, and
        complete once the job has ended. The output of one rank never appears in the log of another. Raises
        BackendError, for which the engine tries again, or UnreadableLog.
        """

    def find(self, token: str) -> FindAnswer:
        """Return, after a crash, whether a token was submitted."""

    def sweep(self, run_id: str) -> Mapping[str, Handle]:
        """All live jobs of a run by token, whether or not a ledger knows them."""

    def close(self) -> None:
        """Close connections. Jobs keep running."""


@runtime_checkable
class Notifying(Protocol):
    """A backend that reports changes at once, so that the engine need not wait for the next poll."""

    def subscribe(self, changed: Callable[[Collection[str]], None]) -> None:
        """Call ``changed(tokens)`` from any thread when these jobs should be polled now."""


@runtime_checkable
class Checking(Protocol):
    """A backend that can check, before any job is submitted, which jobs its cluster would reject."""

    def check_selection(self, specs: Sequence[JobSpec]) -> Sequence[str]:
        """Why the cluster would reject each of these, in the same order; empty where no reason is known.

        Called once with all specs that a session selects, so that one call covers what many specs have in
        common. Raises BackendError if the check is not possible: then each job is checked when it is
        submitted.
        """


@runtime_checkable
class Previewing(Protocol):
    """A backend that can show what it would send to the cluster."""

    def preview(self, spec: JobSpec, token: str) -> str:
        """The exact text that ``submit`` would submit, without secrets.

        Reads nothing from the cluster and writes nothing.
        """


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a cluster reports of one of its jobs, whether or not a run submitted it."""

    handle: Handle
    """For ``logs``."""
    observation: Observation
    facts: tuple[tuple[str, str], ...] = ()
    """Names and values for people, in order; untrusted text."""
    raw: Mapping[str, Any] = field(default_factory=dict)
    """The cluster's own answer, JSON-serialisable, without the values of environment variables."""


@runtime_checkable
class Inspecting(Protocol):
    """A backend that can show jobs that no run has submitted."""

    def inspect(self, job_id: str) -> Inspection | None:
        """The cluster's job ``job_id``; ``None`` if the cluster does not know it. Raises BackendError."""


@dataclass(frozen=True, slots=True)
class BackendContext:
    """What a backend is opened with."""

    name: str
    """NAME, as written under ``backend:``."""
    run_id: str
    run_dir: Path
    """The run's own folder, absolute; the backend may keep files under ``run_dir / name``."""
    rootdir: Path
    settings: Any = None
    """The validated site settings: an instance of the type's ``settings``."""


@dataclass(frozen=True, slots=True)
class Unset:
    """A site setting that a job needs and the site has not set, as ``check`` reports it."""

    name: str
    note: str = ""
    """When it is needed, or what can be used instead."""

    def __str__(self) -> str:
        return f"{self.name} ({self.note})" if self.note else self.name


@dataclass(frozen=True, slots=True)
class BackendType:
    """A kind of backend. Cheap to import; heavy imports wait until ``open``."""

    name: str
    open: Callable[[BackendContext], Backend]
    settings: type[SiteSettings] | None = None
    """The model of its site settings, a subclass of ``pytest_clusterjobs.backends.SiteSettings``.

    ``None`` for a backend without settings.
    """
    options: frozenset[str] = frozenset()
    """The keys of ``options.NAME`` in a matrix."""
    check: Callable[[JobSpec, Any], Iterable[str | Unset]] = lambda spec, settings: ()
    """The features of the spec that this backend does not support, one line each, and the missing site
    settings.

    Called at collection, with an instance of ``settings``.
    """
    capabilities: Callable[[Any], Capabilities] | None = None
    """The capabilities of a backend with these site settings (an instance of ``settings``), without opening
    it, so that unsupported jobs are rejected at collection. ``None``: only an opened backend has
    capabilities."""

    def validate(self, table: Mapping[str, Any]) -> SiteSettings:
        """The site settings in a table, as ``open`` and ``check`` get them. Raises FaultySettings."""
        # pydantic is imported by the first backend that is used.
        from .settings import validate

        return validate(self.settings, table)
