"""SkyPilot's client, with plain data in and out, a timeout on every wait, and its errors classified.

Its calls block without a limit (the client waits for a server that accepts a request and never answers). So
each call runs in a thread of its own, which is abandoned at its timeout; ``late_launches`` handles a launch
that arrives after that. SkyPilot prints to the terminal at any time, which must not happen in a test session.
"""

from __future__ import annotations

import base64
import binascii
import contextvars
import io
import logging
import re
import threading
import time
import warnings
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from typing import TypeVar

from ...model import Phase
from ..protocol import BackendError
from ..protocol import SubmissionRejected
from .late_launches import LateLaunches
from .modes import Kind
from .project import settle
from .states import LIVE_REQUESTS
from .states import phase_of

T = TypeVar("T")

REFUSALS = frozenset(
    {
        "ValueError",
        "TypeError",
        "AssertionError",
        "NotSupportedError",
        "InvalidSkyPilotConfigError",
        "UserRequestRejectedByPolicy",
        "ResourcesMismatchError",
        "ResourcesUnavailableError",
        "InvalidCloudConfigs",
        "StorageError",
        "StorageSpecError",
        "StorageSourceError",
        "StorageUploadError",
        "NoCloudAccessError",
        "CloudUserIdentityError",
        "PermissionDeniedError",
        "UsageError",
        "SchemaValidationError",
        "ManagedJobUserCancelledError",
    }
)
"""Errors that a retry does not change: they concern the task itself, or the user's rights."""

LOST = frozenset({"OSError", "JSONDecodeError", "KubeAPIUnreachableError"})
"""Connection errors, whatever else they are: those of ``requests`` are OSErrors, some also ValueErrors."""

NOT_ASKED = ("Failed to get partitions for cluster",)
"""The text of a ValueError for a Slurm login node that did not answer (``sky.provision.slurm.utils``)."""

LATE_LOOKS = (0.0, 30.0)
"""Seconds before each check of an unclaimed launch: a request that is ended may just have made a job."""

HEAD = 20
"""Characters of a job's name that begin its cluster's name; SkyPilot keeps some more, and appends a hash."""

LONGEST = 500
"""Characters of an error message that are kept."""


class NoAnswer(BackendError):
    """The API server did not answer in time."""


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """One job as the queue shows it. Times are seconds since the epoch."""

    job_id: int
    name: str
    status: str
    schedule_state: str = ""
    recoveries: int = 0
    failure: str = ""
    details: str = ""
    submitted: float | None = None
    started: float | None = None
    ended: float | None = None
    nodes: int = 0
    """0 if unknown."""

    @property
    def bill(self) -> tuple[str, int]:
        """The key of this job in ``Sky.costs``."""
        return self.name[:HEAD], self.job_id

    @property
    def is_terminal(self) -> bool:
        """Whether its state is terminal; its cluster may still be going down."""
        return phase_of(self.status) is Phase.ENDED

    @property
    def is_ending(self) -> bool:
        """Whether it has ended, or a cancel has reached it."""
        return self.is_terminal or self.status == "CANCELLING"


@dataclass(frozen=True, slots=True)
class Request:
    """One request to the API server."""

    request_id: str
    status: str
    """A ``sky.server.requests.requests.RequestStatus``."""

    @property
    def is_live(self) -> bool:
        """Whether it has not ended."""
        return self.status in LIVE_REQUESTS


class Sky:
    """The client of the API server that the environment and SkyPilot's own configuration name.

    ``kind`` is the part that differs between managed jobs and those of one cluster. ``late_patience`` is the
    number of seconds in which a caller may claim a launch that has arrived late.
    """

    def __init__(self, kind: Kind, answer_timeout: float, late_patience: float = 0.0) -> None:
        self._kind = kind
        self._patience = answer_timeout
        self._sky = _imported()
        self.late = LateLaunches(self._end_late, late_patience)

    def check(self, config: Mapping[str, Any]) -> None:
        """Have SkyPilot parse a task, without the server. Raises SubmissionRejected."""
        self._call(lambda: self._sky.Task.from_yaml_config(dict(config)))

    def launch(self, config: Mapping[str, Any], secrets: Mapping[str, str]) -> str:
        """Launch a job; returns the id of the request, which is still running then.

        Raises SubmissionRejected, Throttled if there is no capacity for it yet, BackendError if the answer is
        lost.
        """

        def launch() -> str:
            task = self._sky.Task.from_yaml_config(dict(config), secrets_overrides=list(secrets.items()))
            return str(self._kind.launch(self._sky, task, config["name"]))

        return self._call(launch, late=config["name"])

    def _end_late(self, name: str, request: str) -> None:
        """End a launch that arrived unclaimed, and the job that it may have become."""
        for pause in LATE_LOOKS:
            time.sleep(pause)
            with suppress(BackendError):
                self.cancel_requests([request])
                self.cancel([row.job_id for row in self.queue(name, live=True) if row.name == name])

    def requests(self, request_ids: Sequence[str]) -> dict[str, Request]:
        """The state of these requests, without those that the server has forgotten. Raises BackendError."""
        if not request_ids:
            return {}
        fields = ["request_id", "status"]
        found = self._call(
            lambda: self._sky.api_status(request_ids=list(request_ids), all_status=True, fields=fields)
        )
        return {each.request_id: Request(each.request_id, str(each.status)) for each in found}

    def launches(self, name: str) -> dict[str, str]:
        """The live requests to launch a job whose token begins with ``name``, by token. Raises BackendError."""
        fields = ["request_id", "name", "status", "request_body"]
        pattern = re.compile(rb"\b" + re.escape(name.encode()) + rb"[a-z0-9-]*")
        found = {}
        for each in self._call(lambda: self._sky.api_status(fields=fields)):
            if each.name in self._kind.requests and str(each.status) in LIVE_REQUESTS:
                match = pattern.search(_decoded(each.request_body))
                if match is not None:
                    found[match[0].decode()] = str(each.request_id)
        return found

    def error_of(self, request_id: str) -> str:
        """The error message of a request that has failed; empty if it has not. Raises BackendError."""
        try:
            self._call(lambda: self._sky.get(request_id) and None)
        except NoAnswer:
            raise
        except BackendError as error:
            return str(error) or "it failed without a word"
        return ""

    def queue(self, name: str, *, live: bool = False) -> list[QueuedJob]:
        """All jobs of this user, or the live ones, whose names contain ``name``, by id.

        Raises NotUp, BackendError.
        """
        rows = self._call(lambda: [_row(each) for each in self._kind.queue(self._sky, name, live)])
        return sorted((row for row in rows if name in row.name), key=lambda row: row.job_id)

    def cancel(self, job_ids: Sequence[int]) -> None:
        """Request the end of jobs; ignores those that have ended. Raises BackendError."""
        if job_ids:
            self._call(lambda: self._sky.get(self._kind.cancel(self._sky, list(job_ids))))

    def cancel_requests(self, request_ids: Sequence[str]) -> None:
        """Request the end of requests. Raises BackendError."""
        if request_ids:
            self._call(lambda: self._sky.get(self._sky.api_cancel(list(request_ids))))

    def log(self, job_id: int, *, controller: bool = False, only: str = "") -> str:
        """What a job, or its controller, has printed: the lines that contain ``only``.

        Raises BackendError.
        """
        stream = _Sieve(only)
        self._call(lambda: self._kind.tail(self._sky, job_id, controller, stream))
        return stream.getvalue()

    def costs(self, days: int) -> dict[tuple[str, int], float]:
        """The costs of jobs that ran in the last days, in US dollars, by the head of their name and their id.

        Omits jobs for which SkyPilot knows no price. Raises BackendError.
        """
        bills = self._call(
            lambda: [(str(x["name"]), x["total_cost"]) for x in self._kind.bills(self._sky, days)]
        )
        found: dict[tuple[str, int], float] = {}
        for name, cost in bills:
            job, _, number = name.rpartition("-")
            if number.isdecimal() and cost:
                key = (job[:HEAD], int(number))
                found[key] = found.get(key, 0.0) + float(cost)
        return found

    def _call(self, ask: Callable[[], T], late: str = "") -> T:
        """The answer; errors become one of this package's classes.

        ``late`` is the name of a launch, which may arrive later.
        """
        answers: list[T] = []
        errors: list[BaseException] = []
        deciding = threading.Lock()
        given_up = threading.Event()

        def run() -> None:
            try:
                answer = ask()
            except BaseException as error:
                with deciding:
                    errors.append(error)
                    if late and given_up.is_set():
                        self.late.failed(late)
                return
            with deciding:
                answers.append(answer)
            if late and given_up.is_set():
                self.late.arrived(late, str(answer))

        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(run,), name="clusterjobs-skypilot", daemon=True)
        thread.start()
        thread.join(self._patience)
        with deciding:
            if late and not answers and not errors:
                self.late.expect(late)
                given_up.set()
        if answers:
            return answers[0]
        if not errors:
            raise NoAnswer(f"SkyPilot's API server gave no answer in {self._patience:.0f} s")
        if isinstance(errors[0], BackendError):
            raise errors[0]
        raise _classed(errors[0]) from errors[0]


class _Sieve(io.StringIO):
    """Keeps only the lines that contain a text: a log may be larger than memory."""

    def __init__(self, only: str) -> None:
        super().__init__()
        self._only = only

    def write(self, text: str) -> int:
        if self._only in text:
            super().write(text)
        return len(text)


def _imported() -> Any:
    """SkyPilot, configured not to print. Raises BackendError."""
    settle()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import sky
            import sky.jobs
    except Exception as error:
        # For example a configuration file that it cannot read.
        raise BackendError(f"SkyPilot cannot be imported: {_words(error)}") from error
    logger = logging.getLogger("sky")
    logger.handlers = [logging.NullHandler()]
    logger.propagate = False
    return sky


def _row(record: Any) -> QueuedJob:
    """A job of either kind: a job of a cluster has no schedule, no recoveries and no text."""
    status = record.status
    return QueuedJob(
        job_id=int(record.job_id),
        name=str(record.job_name),
        status=getattr(status, "value", None) or str(status),
        schedule_state=getattr(record, "schedule_state", None) or "",
        recoveries=getattr(record, "recovery_count", None) or 0,
        failure=getattr(record, "failure_reason", None) or "",
        details=getattr(record, "details", None) or "",
        submitted=record.submitted_at,
        started=record.start_at,
        ended=record.end_at,
        nodes=_nodes(record.resources or ""),
    )


def _nodes(resources: str) -> int:
    """The number of nodes in ``2x[CPU:4+]``; 0 if there is none."""
    count, times, _ = resources.partition("x")
    return int(count) if times and count.isdecimal() else 0


def _classed(error: BaseException) -> BackendError:
    names = {each.__name__ for each in type(error).__mro__}
    words = _words(error)
    refused = names & REFUSALS and not names & LOST and not words.startswith(NOT_ASKED)
    return SubmissionRejected(words) if refused else BackendError(words)


def _words(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return (text or type(error).__name__)[:LONGEST]


def _decoded(body: str) -> bytes:
    """A request's body: base64 of a pickle, which need not be unpickled to find a name in it."""
    try:
        return base64.b64decode(body)
    except (binascii.Error, ValueError):
        return body.encode()
