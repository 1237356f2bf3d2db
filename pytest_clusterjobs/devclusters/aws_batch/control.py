"""Control requests, which the real service does not have: faults, rules of queues, images, lost machines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from dataclasses import replace
from typing import Any

from . import texts
from .client import DEFINITION
from .client import PARALLEL_DEFINITION
from .errors import BadRequest
from .faults import Fault
from .faults import Faults
from .faults import throttled
from .model import Json
from .model import Rules
from .pages import Pages
from .pages import Paging
from .queues import Queues
from .scheduler import EmulatedScheduler
from .service import Service

INSTANCE = "i-0123456789abcdef0"
CONTAINER: Json = {
    "image": "local",
    "command": ["true"],
    "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "2048"}],
}
NODES: Json = {"numNodes": 2, "mainNode": 0}


class Controls:
    """The control requests below ``/_local/``."""

    def __init__(
        self,
        scheduler: EmulatedScheduler,
        queues: Queues,
        faults: Faults,
        pages: Pages,
        services: Callable[[str, str], Service],
        home: tuple[str, str],
    ) -> None:
        """``home`` is the account and region in which queues are created."""
        self._scheduler = scheduler
        self._queues = queues
        self._faults = faults
        self._pages = pages
        self._services = services
        self._home = home

    def create_defaults(self, queue: str, environment: dict[str, str]) -> None:
        """Create a queue, and job definitions for one node and for several."""
        self.queue(name=queue)
        service = self._services(*self._home)
        given = [{"name": name, "value": value} for name, value in environment.items()]
        container = {**CONTAINER, "environment": given}
        nodes = {**NODES, "nodeRangeProperties": [{"targetNodes": "0:", "container": container}]}
        one = {"jobDefinitionName": DEFINITION, "type": "container", "containerProperties": container}
        several = {"jobDefinitionName": PARALLEL_DEFINITION, "type": "multinode", "nodeProperties": nodes}
        for each in (one, several):
            service.register(each, 0)

    def call(self, name: str, request: Json) -> Json:
        """Carry out a control request. Raises BadRequest for an unknown one."""
        controls: dict[str, Callable[..., Json]] = {
            "fault": self.fault,
            "limit": self.limit,
            "clear": self.clear,
            "calls": self.calls,
            "pages": self.pages,
            "queue": self.queue,
            "image": self.image,
            "reclaim": self.reclaim,
        }
        if name not in controls:
            raise BadRequest(f"unknown control request: {name}")
        try:
            return controls[name](**request)
        except TypeError as error:
            raise BadRequest(f"{name}: {error}") from error

    def fault(self, *, operation: str, status: int = 429, **options: Any) -> Json:
        """Make the next calls of an operation fail."""
        usual = throttled(operation) if status == 429 else _server_error(operation, status)
        self._faults.add(replace(usual, operation=operation.lower(), status=status, **options))
        return {}

    def limit(self, *, operation: str, per_second: float | None, key: str | None) -> Json:
        """Limit the rate of an operation."""
        self._faults.limit(operation.lower(), per_second, key)
        return {}

    def clear(self, *, key: str | None) -> Json:
        """Remove faults and limits."""
        self._faults.clear(key)
        return {}

    def calls(self, *, key: str | None) -> Json:
        """The number of calls of each operation."""
        return self._faults.counts(key)

    def pages(self, *, key: str, most: int, empty: bool) -> Json:
        """Set the limits of a page of logs."""
        self._pages.set(key, Paging(most, empty))
        return {}

    def queue(self, *, name: str, **rules: Any) -> Json:
        """Create a queue, unless it exists, and set its rules."""
        unknown = set(rules) - {each.name for each in fields(Rules)}
        if unknown:
            raise BadRequest(f"unknown rule of a queue: {', '.join(sorted(unknown))}")
        self._queues.ensure(*self._home, name)
        compute = self._scheduler.compute
        compute.queues[name] = replace(compute.queues.get(name, compute.defaults), **rules)
        self._scheduler.apply_rules()
        return {}

    def image(self, *, name: str, entrypoint: list[str], **options: Any) -> Json:
        """Define an image."""
        compute = self._scheduler.compute
        compute.images[name] = replace(compute.image, entrypoint=tuple(entrypoint), **options)
        return {}

    def reclaim(self, *, job_id: str, fargate: bool = False, code: int | None = None) -> Json:
        """Take the machine of a running job or node away."""
        found = self._services(*self._home).find(job_id)
        if found is None:
            raise BadRequest(f"unknown job: {job_id}")
        job, node = found
        reason = texts.SPOT_RECLAIMED if fargate else texts.HOST_LOST.format(instance=INSTANCE)
        index = job.main if node is None else node.index
        if job.is_array or not self._scheduler.lose(job, index, reason, code):
            raise BadRequest(f"{job_id} does not run")
        return {}


def _server_error(operation: str, status: int) -> Fault:
    code = "ServerException" if status >= 500 or status == 0 else "ClientException"
    message = "Internal server error" if status >= 500 else "Rejected on request"
    return Fault(operation=operation, status=status, code=code, message=message, times=1)
