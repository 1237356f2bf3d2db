"""``options.aws-batch``: fields of SubmitJob, by the API's own names, that a matrix may set."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

MAX_DEPENDENCIES = 20
"""The most jobs that one job can depend on."""


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != "" and value.isprintable()


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_mapping_of_text(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(each, str) for each in value.values())


def _is_list_of_text(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(each, str) for each in value)


def _is_priority(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 9999


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _are_dependencies(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) <= MAX_DEPENDENCIES
        and all(
            isinstance(each, Mapping)
            and isinstance(each.get("jobId"), str)
            and each.keys() <= {"jobId", "type"}
            and each.get("type", "SEQUENTIAL") in ("SEQUENTIAL", "N_TO_N")
            for each in value
        )
    )


_RULES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "jobQueue": (_is_text, "text"),
    "jobDefinition": (_is_text, "text"),
    "shareIdentifier": (_is_text, "text"),
    "schedulingPriorityOverride": (_is_priority, "a whole number, 0 to 9999"),
    "dependsOn": (_are_dependencies, f"at most {MAX_DEPENDENCIES} of {{jobId: ...}}"),
    "parameters": (_is_mapping_of_text, "a mapping of text"),
    "tags": (_is_mapping_of_text, "a mapping of text"),
    "propagateTags": (_is_bool, "true or false"),
    "containerOverrides": (_is_mapping, "a mapping, as in AWS's API"),
    # Those of a multi-node job, for all of its nodes.
    "instanceTypes": (_is_list_of_text, "a list of text"),
    "consumableResourcePropertiesOverride": (_is_mapping, "a mapping, as in AWS's API"),
}

OPTIONS = frozenset(_RULES)
"""The fields that may be set."""

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
    """The mistakes in the options of a job, one line each."""
    for name, value in options.items():
        if name in REFUSED:
            yield f"options.aws-batch: {name} is set by the backend: {REFUSED[name]}"
        elif name not in _RULES:
            yield f"options.aws-batch: {name} is not an option: use one of {', '.join(sorted(OPTIONS))}"
        elif not _RULES[name][0](value):
            yield f"options.aws-batch: {name} must be {_RULES[name][1]}, not {value!r:.60}"
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
