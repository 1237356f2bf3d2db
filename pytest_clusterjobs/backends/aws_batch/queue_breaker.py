"""Finds an unusable account, queue or job definition with one submission, before all other jobs fail."""

from __future__ import annotations

import threading
from collections.abc import Callable
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from ...model import JobSpec
from ..protocol import BackendError
from ..protocol import SubmissionRejected
from .api import Api
from .definitions import Definition
from .definitions import Definitions
from .errors import AccessDenied
from .errors import AccountError
from .errors import Unreachable
from .errors import UnusableTarget
from .request import definition_of
from .request import queue_of
from .settings import AwsBatchSettings

ResultT = TypeVar("ResultT")

Target = tuple[str, str]
"""A queue and a definition."""

CheckKey = tuple[str, str, bool, str | None, tuple[str, ...]]
"""What a check depends on: queue, definition, whether there are several nodes, image and secrets."""


class QueueBreaker:
    """Submits the first job for each queue and definition alone.

    If AWS rejects it for a cause that all such jobs share, the others are rejected without a call.
    """

    def __init__(self, api: Api, settings: AwsBatchSettings, queues_file: Path) -> None:
        """``queues_file`` is where other processes of the run find the queues that it uses."""
        self._api = api
        self._settings = settings
        self._queues_file = queues_file
        self._definitions = Definitions(api, settings)
        self._checked_queues: set[str] = set()
        self._usable: set[Target] = set()
        self._errors: dict[Target | None, SubmissionRejected] = {}
        """Why all jobs for a target are rejected; ``None``: for every target."""
        self._lock = threading.Lock()

    def submit(self, spec: JobSpec, send: Callable[[Definition], ResultT]) -> ResultT:
        """The result of ``send``. Raises the errors of ``send``, SubmissionRejected, BackendError."""
        target = self._target(spec)
        if target in self._usable and None not in self._errors:
            return self._send(spec, send)
        with self._lock:
            self._raise_known_error(target)
            try:
                self._check_queue(target[0])
                result = self._send(spec, send)
            except UnusableTarget as error:
                self._errors[target] = error
                raise
            self._usable.add(target)
            return result

    def problems(self, specs: Sequence[JobSpec]) -> list[str]:
        """Why each of these jobs cannot be submitted; empty if no reason is known."""
        found: dict[CheckKey, str] = {}
        for spec in specs:
            if self._key(spec) not in found:
                found[self._key(spec)] = self._problem(spec)
        return [found[self._key(spec)] for spec in specs]

    def _key(self, spec: JobSpec) -> CheckKey:
        return (*self._target(spec), spec.nodes > 1, spec.image, tuple(sorted(spec.secrets)))

    def _problem(self, spec: JobSpec) -> str:
        with self._lock:
            try:
                self._raise_known_error(self._target(spec))
                self._check_queue(queue_of(spec, self._settings))
                self._definitions.of(spec)
            except AccountError as error:
                self._errors[None] = error
                return str(error)
            except SubmissionRejected as error:
                return str(error)
            except BackendError:
                # The first submission checks it again.
                return ""
        return ""

    def queues(self) -> list[str]:
        """The default queue, and all queues that the run has used."""
        try:
            used = self._queues_file.read_text("utf-8").splitlines()
        except FileNotFoundError:
            used = []
        return list(dict.fromkeys([self._settings.queue, *used]))

    def _target(self, spec: JobSpec) -> Target:
        return queue_of(spec, self._settings), definition_of(spec, self._settings)

    def _raise_known_error(self, target: Target) -> None:
        for key in (None, target):
            if key in self._errors:
                # A new exception each time: a traceback grows with every raise.
                raise type(self._errors[key])(str(self._errors[key]))

    def _send(self, spec: JobSpec, send: Callable[[Definition], ResultT]) -> ResultT:
        try:
            return send(self._definitions.of(spec))
        except AccountError as error:
            self._errors[None] = error
            raise

    def _check_queue(self, name: str) -> None:
        """Raises UnusableTarget, AccountError, BackendError."""
        if name in self._checked_queues:
            return
        self._record(name)
        try:
            found = self._api.batch("describe_job_queues", jobQueues=[name]).get("jobQueues", [])
        except AccessDenied:
            # Credentials without this right may still submit.
            return
        except AccountError as error:
            self._errors[None] = error
            raise
        except Unreachable as error:
            # Nothing was submitted yet: a wrong region or endpoint is more likely than a long outage.
            self._errors[None] = AccountError(str(error))
            raise self._errors[None] from error
        if not found:
            raise UnusableTarget(f"there is no job queue {name!r} in {self._api.region}")
        queue = found[0]
        if queue.get("state") == "DISABLED":
            raise UnusableTarget(f"job queue {name!r} is disabled")
        if queue.get("status") in ("INVALID", "DELETING", "DELETED"):
            raise UnusableTarget(f"job queue {name!r} is {queue['status']}: {queue.get('statusReason', '')}")
        self._checked_queues.add(name)

    def _record(self, name: str) -> None:
        if name in self.queues():
            return
        self._queues_file.parent.mkdir(parents=True, exist_ok=True)
        with self._queues_file.open("a", encoding="utf-8") as file:
            file.write(f"{name}\n")
