"""Whether a job can be submitted at all: a mistake in the site is found with one job, not with each."""

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
from .errors import Denied
from .errors import SiteTrouble
from .errors import Unreachable
from .errors import Unusable
from .request import definition_of
from .request import queue_of
from .settings import AwsBatchSettings

R = TypeVar("R")

Place = tuple[str, str]
"""A queue and a definition."""

Kind = tuple[str, str, bool, str | None, tuple[str, ...]]
"""What the cluster is checked for: the place, several nodes or not, the image and the secrets."""


class QueueBreaker:
    """Lets the first submission to each queue and definition go alone; none follows if that fails for all."""

    def __init__(self, api: Api, settings: AwsBatchSettings, notes: Path) -> None:
        """``notes`` is where other processes of the run find the queues that it uses."""
        self._api = api
        self._settings = settings
        self._notes = notes
        self._definitions = Definitions(api, settings)
        self._checked: set[str] = set()
        """Queues that exist."""
        self._cleared: set[Place] = set()
        self._refused: dict[Place | None, SubmissionRejected] = {}
        """``None``: everywhere."""
        self._lock = threading.Lock()

    def submit(self, spec: JobSpec, how: Callable[[Definition], R]) -> R:
        """The result of ``how``. Raises the errors of ``how``, SubmissionRejected, BackendError."""
        place = self._place(spec)
        if place in self._cleared and None not in self._refused:
            return self._pass(spec, how)
        with self._lock:
            self._raise_if_refused(place)
            try:
                self._check_queue(place[0])
                answer = self._pass(spec, how)
            except Unusable as error:
                self._refused[place] = error
                raise
            self._cleared.add(place)
            return answer

    def faults(self, specs: Sequence[JobSpec]) -> list[str]:
        """Why no job like each of these can be submitted; empty if no reason is known."""
        told: dict[Kind, str] = {}
        for spec in specs:
            if self._kind(spec) not in told:
                told[self._kind(spec)] = self._fault(spec)
        return [told[self._kind(spec)] for spec in specs]

    def _kind(self, spec: JobSpec) -> Kind:
        return (*self._place(spec), spec.nodes > 1, spec.image, tuple(sorted(spec.secrets)))

    def _fault(self, spec: JobSpec) -> str:
        with self._lock:
            try:
                self._raise_if_refused(self._place(spec))
                self._check_queue(queue_of(spec, self._settings))
                self._definitions.of(spec)
            except SiteTrouble as error:
                self._refused[None] = error
                return str(error)
            except SubmissionRejected as error:
                return str(error)
            except BackendError:
                # The first submission of them tries again.
                return ""
        return ""

    def queues(self) -> list[str]:
        """All queues that the run has used, and the default one."""
        try:
            noted = self._notes.read_text("utf-8").splitlines()
        except FileNotFoundError:
            noted = []
        return list(dict.fromkeys([self._settings.queue, *noted]))

    def _place(self, spec: JobSpec) -> Place:
        return queue_of(spec, self._settings), definition_of(spec, self._settings)

    def _raise_if_refused(self, place: Place) -> None:
        for key in (None, place):
            if key in self._refused:
                # A new exception each time: a traceback grows with every raise.
                raise type(self._refused[key])(str(self._refused[key]))

    def _pass(self, spec: JobSpec, how: Callable[[Definition], R]) -> R:
        try:
            return how(self._definitions.of(spec))
        except SiteTrouble as error:
            self._refused[None] = error
            raise

    def _check_queue(self, name: str) -> None:
        """Raises Unusable, SiteTrouble, BackendError."""
        if name in self._checked:
            return
        self._note(name)
        try:
            found = self._api.batch("describe_job_queues", jobQueues=[name]).get("jobQueues", [])
        except Denied:
            # Credentials that may not look may still submit.
            return
        except SiteTrouble as error:
            self._refused[None] = error
            raise
        except Unreachable as error:
            # Nothing was submitted yet: a wrong region or endpoint is more likely than an outage of hours.
            self._refused[None] = SiteTrouble(str(error))
            raise self._refused[None] from error
        if not found:
            raise Unusable(f"there is no job queue {name!r} in {self._api.region}")
        queue = found[0]
        if queue.get("state") == "DISABLED":
            raise Unusable(f"job queue {name!r} is disabled")
        if queue.get("status") in ("INVALID", "DELETING", "DELETED"):
            raise Unusable(f"job queue {name!r} is {queue['status']}: {queue.get('statusReason', '')}")
        self._checked.add(name)

    def _note(self, name: str) -> None:
        if name in self.queues():
            return
        self._notes.parent.mkdir(parents=True, exist_ok=True)
        with self._notes.open("a", encoding="utf-8") as file:
            file.write(f"{name}\n")
