"""The request that submits a job, as a pure function; the dry run shows the same request."""

from __future__ import annotations

import json
import math
import posixpath
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...model import JobSpec
from ...model.token import Token
from .. import sentinel
from ..environment import job_variables
from ..environment import master_port
from ..shell import section
from ..shell import strip_comments
from .settings import AwsBatchSettings

TIMEOUT_MARGIN_SECONDS = 60.0
"""By how much the service's own time limit for a start exceeds the sentinel's."""

MIN_TIMEOUT_SECONDS = 60
"""The shortest time limit that the service accepts."""

MAX_OVERRIDES_BYTES = 8192
"""The service's limit for the overrides of one node: command, environment and resources, as JSON."""

RESERVED_OVERRIDES_BYTES = 768
"""Kept free for AWS Batch's own variables (``AWS_BATCH_*``, with the longest possible queue names)."""

MAX_REQUEST_BYTES = 30 * 1024

BYTES_PER_MIB = 1 << 20

MAX_TAG_LENGTH = 256
"""Characters of a tag's value."""

NO_RESTART_EXIT_CODES = (124,)
"""The exit code of a sentinel after a limit: the job is not restarted."""

NO_RESTART_REASONS = ("Cannot*", "ResourceInitializationError*")
"""Container reasons of a start that failed before the command began."""

TAG_RUN, TAG_TOKEN, TAG_CELL = "clusterjobs-run", "clusterjobs-token", "clusterjobs-cell"


def request(
    spec: JobSpec,
    token: str,
    *,
    settings: AwsBatchSettings,
    definition: str = "",
    targets: Sequence[str] = ("0:",),
) -> dict[str, Any]:
    """The arguments of ``submit_job``; nothing is read, written or queried.

    ``definition`` is the one to use (empty: the site's), ``targets`` the node ranges of a multi-node
    definition.
    """
    given = {name: value for name, value in spec.options.items() if name not in _MERGED_OPTIONS}
    limit = spec.max_runtime + spec.grace_period + TIMEOUT_MARGIN_SECONDS + _linger(spec, settings)
    return {
        "jobName": token,
        "jobQueue": settings.queue,
        "jobDefinition": definition or definition_of(spec, settings),
        **_share(settings),
        **given,
        **_overrides(spec, token, settings, targets),
        "retryStrategy": _retries(spec),
        "timeout": {"attemptDurationSeconds": max(MIN_TIMEOUT_SECONDS, math.ceil(limit))},
        "tags": {**settings.tags, **spec.options.get("tags", {}), **_tags(spec, token)},
        "propagateTags": spec.options.get("propagateTags", settings.propagate_tags),
    }


def definition_of(spec: JobSpec, settings: AwsBatchSettings) -> str:
    """The job definition for a spec; empty if there is none."""
    if "jobDefinition" in spec.options:
        return str(spec.options["jobDefinition"])
    return settings.multinode_job_definition if spec.nodes > 1 else settings.job_definition


def queue_of(spec: JobSpec, settings: AwsBatchSettings) -> str:
    """The queue for a spec."""
    return str(spec.options.get("jobQueue", settings.queue))


def size(value: Any) -> int:
    """Bytes of a value as JSON."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def overrides(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """The container overrides of a request, which are the same for all nodes."""
    if "containerOverrides" in arguments:
        found: Mapping[str, Any] = arguments["containerOverrides"]
    else:
        found = arguments["nodeOverrides"]["nodePropertyOverrides"][0]["containerOverrides"]
    return found


_MERGED_OPTIONS = frozenset(
    {
        "jobDefinition",
        "containerOverrides",
        "instanceTypes",
        "consumableResourcePropertiesOverride",
        "tags",
        "propagateTags",
    }
)
"""Options that have another place in the request, or are merged."""


def _share(settings: AwsBatchSettings) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if settings.share_identifier:
        found["shareIdentifier"] = settings.share_identifier
    if settings.scheduling_priority is not None:
        found["schedulingPriorityOverride"] = settings.scheduling_priority
    return found


def _overrides(
    spec: JobSpec, token: str, settings: AwsBatchSettings, targets: Sequence[str]
) -> dict[str, Any]:
    consumable = {
        name: value for name, value in spec.options.items() if name == "consumableResourcePropertiesOverride"
    }
    container = _container(spec, token, settings)
    if spec.nodes == 1:
        return {"containerOverrides": container, **consumable}
    types = {name: value for name, value in spec.options.items() if name == "instanceTypes"}
    each = {"containerOverrides": container, **types, **consumable}
    return {
        "nodeOverrides": {
            "numNodes": spec.nodes,
            "nodePropertyOverrides": [{"targetNodes": target, **each} for target in targets],
        }
    }


def _container(spec: JobSpec, token: str, settings: AwsBatchSettings) -> dict[str, Any]:
    given = dict(spec.options.get("containerOverrides", {}))
    resources = [*given.pop("resourceRequirements", []), *_resources(spec)]
    if resources:
        given["resourceRequirements"] = resources
    command = sentinel.argv(spec, token, workdir=_workdir(spec, settings), prelude=_prelude(spec, settings))
    variables = _environment(spec, token)
    return {
        "command": command,
        "environment": [{"name": name, "value": value} for name, value in variables.items()],
        **given,
    }


def _workdir(spec: JobSpec, settings: AwsBatchSettings) -> str:
    return posixpath.join(settings.workdir, spec.workdir or "").rstrip("/")


def _environment(spec: JobSpec, token: str) -> dict[str, str]:
    fixed = {**job_variables(spec, token), "CLUSTERJOBS_MASTER_PORT": str(master_port(token))}
    alone = {"CLUSTERJOBS_NODE_RANK": "0", "CLUSTERJOBS_MASTER_ADDR": "127.0.0.1"}
    return {**fixed, **alone} if spec.nodes == 1 else fixed


def _resources(spec: JobSpec) -> list[dict[str, str]]:
    wanted = spec.resources
    memory = None if wanted.memory is None else -(-wanted.memory // BYTES_PER_MIB)
    values = {"VCPU": wanted.cpus, "MEMORY": memory, "GPU": wanted.gpus}
    # Without an entry there is no GPU.
    return [{"type": name, "value": str(value)} for name, value in values.items() if value]


def _retries(spec: JobSpec) -> dict[str, Any]:
    """How often the service restarts it; an end that no rule matches leads to a restart."""
    if not spec.max_restarts:
        # Stated explicitly: the job definition may have a retry strategy of its own.
        return {"attempts": 1}
    rules = [{"onExitCode": str(code), "action": "EXIT"} for code in NO_RESTART_EXIT_CODES]
    rules += [{"onReason": pattern, "action": "EXIT"} for pattern in NO_RESTART_REASONS]
    return {"attempts": spec.max_restarts + 1, "evaluateOnExit": rules}


def _tags(spec: JobSpec, token: str) -> dict[str, str]:
    return {
        TAG_RUN: Token.parse(token).run_id,
        TAG_TOKEN: token,
        TAG_CELL: spec.name[:MAX_TAG_LENGTH],
    }


def _linger(spec: JobSpec, settings: AwsBatchSettings) -> float:
    return settings.linger if spec.nodes > 1 else 0.0


def _prelude(spec: JobSpec, settings: AwsBatchSettings) -> str:
    if spec.nodes == 1:
        return f"{_part('start')}\n{_part('one')}"
    several = _part("several").replace("LINGER", sentinel.seconds(settings.linger))
    return f"{_part('start')}\n{several}"


def _part(name: str) -> str:
    """A part of ``node.sh``, as it is delivered."""
    return strip_comments(section(Path(__file__).with_name("node.sh"), name))
