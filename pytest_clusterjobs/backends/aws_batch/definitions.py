"""Job definitions: the site's, looked up once, and those for ``image`` and ``secrets``, registered once.

The name of a registered definition is a hash of its whole content. All processes and runs therefore find the
same one, and a definition in use never changes.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from ...model import JobSpec
from .api import Api
from .errors import AccessDenied
from .errors import UnusableTarget
from .request import definition_of
from .settings import AwsBatchSettings

NAME_PREFIX = "clusterjobs-"
"""Begins the names of the registered definitions."""

READABLE_LOG_DRIVER = "awslogs"
"""The only log driver whose logs can be read."""


@dataclass(frozen=True, slots=True)
class Definition:
    """The job definition for a submission."""

    name: str
    targets: tuple[str, ...] = ("0:",)
    """The node ranges of a multi-node definition; overrides must use the same ones."""


class Definitions:
    """Finds or registers the job definition of each job. Thread-safe."""

    def __init__(self, api: Api, settings: AwsBatchSettings) -> None:
        self._api = api
        self._settings = settings
        self._known: dict[str, Definition] = {}
        self._lock = threading.Lock()

    def of(self, spec: JobSpec) -> Definition:
        """The definition for a job's submission. Raises UnusableTarget, SubmissionRejected, BackendError."""
        base = definition_of(spec, self._settings)
        key = json.dumps([base, spec.nodes > 1, spec.image, sorted(spec.secrets)])
        with self._lock:
            if key not in self._known:
                self._known[key] = self._find(spec, base)
            return self._known[key]

    def _find(self, spec: JobSpec, base: str) -> Definition:
        derived = spec.image is not None or bool(spec.secrets)
        try:
            found = self._look_up(base) if base else {"type": "container", "containerProperties": {}}
        except AccessDenied:
            if derived:
                raise
            # Credentials without this right may still submit; the service then reports any error.
            return Definition(base)
        _check(found, base, spec.nodes)
        if not derived:
            return Definition(base, _targets(found))
        return Definition(self._register(self._derived(found, spec)), _targets(found))

    def _look_up(self, name: str) -> Mapping[str, Any]:
        """The newest active revision of a name, or the revision in ``name``. Raises UnusableTarget."""
        exact = ":" in name.rpartition("/")[2]
        which: dict[str, Any] = {"jobDefinitions": [name]} if exact else {"jobDefinitionName": name}
        pages = self._api.pages("describe_job_definitions", "jobDefinitions", status="ACTIVE", **which)
        newest = max(pages, key=lambda each: int(each.get("revision", 0)), default=None)
        if newest is None:
            raise UnusableTarget(f"there is no active job definition {name!r} in {self._api.region}")
        return newest

    def _derived(self, base: Mapping[str, Any], spec: JobSpec) -> dict[str, Any]:
        """The base with the job's image and secrets, without its name."""
        kept = self._api.parameters_of("RegisterJobDefinition") - {"jobDefinitionName"}
        body = {name: deepcopy(value) for name, value in base.items() if name in kept}
        for container in _containers(body):
            container.update(deepcopy(dict(self._settings.container)))
            if spec.image is not None:
                container["image"] = spec.image
            if spec.secrets:
                container["secrets"] = self._secrets(container.get("secrets", ()), spec)
        return body

    def _secrets(self, given: Any, spec: JobSpec) -> list[dict[str, str]]:
        arns = {name: self._settings.secrets[name] for name in sorted(spec.secrets)}
        others = [each for each in given if each.get("name") not in arns]
        return [*others, *({"name": name, "valueFrom": arn} for name, arn in arns.items())]

    def _register(self, body: Mapping[str, Any]) -> str:
        """The ``name:revision`` of a definition with this content, registered if there is none."""
        content = json.dumps(body, sort_keys=True, default=str).encode()
        name = NAME_PREFIX + hashlib.sha256(content).hexdigest()[:20]
        found = self._api.batch("describe_job_definitions", jobDefinitionName=name, status="ACTIVE")
        newest = max((int(each["revision"]) for each in found.get("jobDefinitions", ())), default=None)
        if newest is None:
            response = self._api.batch("register_job_definition", jobDefinitionName=name, **body)
            newest = int(response["revision"])
        return f"{name}:{newest}"


def _containers(body: dict[str, Any]) -> list[dict[str, Any]]:
    if "nodeProperties" in body:
        ranges: list[dict[str, Any]] = body["nodeProperties"]["nodeRangeProperties"]
        return [each.setdefault("container", {}) for each in ranges]
    return [body.setdefault("containerProperties", {})]


def _targets(found: Mapping[str, Any]) -> tuple[str, ...]:
    ranges = (found.get("nodeProperties") or {}).get("nodeRangeProperties") or ()
    return tuple(str(each["targetNodes"]) for each in ranges) or ("0:",)


def _check(found: Mapping[str, Any], name: str, nodes: int) -> None:
    """Raise UnusableTarget for a definition whose jobs cannot be judged."""
    kind = found.get("type", "container")
    wanted = "multinode" if nodes > 1 else "container"
    if kind != wanted:
        raise UnusableTarget(
            f"job definition {name!r} has type {kind}: jobs of {nodes} node(s) need {wanted}"
        )
    if found.get("eksProperties") or found.get("ecsProperties"):
        raise UnusableTarget(f"job definition {name!r}: only definitions of one container on ECS can be used")
    main = (found.get("nodeProperties") or {}).get("mainNode", 0)
    if main != 0:
        raise UnusableTarget(f"job definition {name!r}: the main node must be 0, not {main}")
    for container in _containers(deepcopy(dict(found))):
        driver = (container.get("logConfiguration") or {}).get("logDriver", READABLE_LOG_DRIVER)
        if driver != READABLE_LOG_DRIVER:
            raise UnusableTarget(
                f"job definition {name!r} has the log driver {driver!r}: use {READABLE_LOG_DRIVER},"
                " because verdicts need the logs"
            )
