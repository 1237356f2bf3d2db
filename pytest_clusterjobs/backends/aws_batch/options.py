"""``options.aws-batch``: fields of SubmitJob, by the API's own names, that a matrix may set."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

MAX_DEPENDENCIES = 20
"""Jobs that one job can depend on."""

_TEXT = frozenset({"jobQueue", "jobDefinition", "shareIdentifier"})
_MAPPINGS = frozenset({"parameters", "tags"})

OPTIONS = (
    _TEXT
    | _MAPPINGS
    | {
        "schedulingPriorityOverride",
        "dependsOn",
        "propagateTags",
        "containerOverrides",
        "instanceTypes",
        "consumableResourcePropertiesOverride",
    }
)
"""The fields that may be set. ``instanceTypes`` are those of a multi-node job, for all of its nodes."""

_NO_ARRAYS = "a cell is one job: use an axis"
_ONE_CONTAINER = "only jobs of one container on ECS are supported"

REFUSED: Mapping[str, str] = {
    "jobName": "it is the job's token, which identifies the job later",
    "arrayProperties": _NO_ARRAYS,
    "nodeOverrides": "use nodes, resources or instanceTypes",
    "retryStrategy": "use max_restarts",
    "timeout": "use max_runtime",
    "ecsPropertiesOverride": _ONE_CONTAINER,
    "eksPropertiesOverride": _ONE_CONTAINER,
}
"""Fields that the backend sets itself, and what to use instead."""

_OVERRIDES = frozenset({"instanceType", "resourceRequirements"})
_REFUSED_OVERRIDES: Mapping[str, str] = {
    "command": "use run",
    "environment": "use env",
    "vcpus": "use resources.cpus",
    "memory": "use resources.memory",
}


def problems(options: Mapping[str, Any], *, nodes: int) -> Iterator[str]:
    """What is wrong with the options of a job, one line each."""
    for name, value in options.items():
        if name in REFUSED:
            yield f"options.aws-batch: {name} is set by the backend: {REFUSED[name]}"
        elif fault := _fault(name, value):
            yield f"options.aws-batch: {name} must be {fault}, not {value!r:.60}"
    overrides = options.get("containerOverrides")
    if isinstance(overrides, Mapping):
        for name in overrides:
            if name not in _OVERRIDES:
                advice = _REFUSED_OVERRIDES.get(name, f"use {', '.join(sorted(_OVERRIDES))}")
                yield f"options.aws-batch: containerOverrides.{name} cannot be set: {advice}"
    if nodes == 1 and "instanceTypes" in options:
        yield "options.aws-batch: instanceTypes is for jobs of several nodes"
    if nodes > 1 and isinstance(overrides, Mapping) and "instanceType" in overrides:
        yield "options.aws-batch: containerOverrides.instanceType is for one node: use instanceTypes"


def _fault(name: str, value: Any) -> str:
    """What an option must be, if its value is wrong."""
    if name in _TEXT:
        return "" if isinstance(value, str) and value and value.isprintable() else "text"
    if name in _MAPPINGS:
        texts = isinstance(value, Mapping) and all(isinstance(each, str) for each in value.values())
        return "" if texts else "a mapping of text"
    if name == "schedulingPriorityOverride":
        whole = isinstance(value, int) and not isinstance(value, bool)
        return "" if whole and 0 <= value <= 9999 else "a whole number, 0 to 9999"
    if name == "propagateTags":
        return "" if isinstance(value, bool) else "true or false"
    if name == "instanceTypes":
        return "" if _is_list(value) and all(isinstance(each, str) for each in value) else "a list of text"
    if name == "dependsOn":
        return "" if _are_dependencies(value) else f"at most {MAX_DEPENDENCIES} of {{jobId: ...}}"
    return "" if isinstance(value, Mapping) else "a mapping, as in AWS's API"


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _are_dependencies(value: Any) -> bool:
    if not _is_list(value) or len(value) > MAX_DEPENDENCIES:
        return False
    return all(
        isinstance(each, Mapping)
        and isinstance(each.get("jobId"), str)
        and each.keys() <= {"jobId", "type"}
        and each.get("type", "SEQUENTIAL") in ("SEQUENTIAL", "N_TO_N")
        for each in value
    )
