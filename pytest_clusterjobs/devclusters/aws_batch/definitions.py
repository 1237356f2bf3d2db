"""Job definitions, and the containers of a job: a definition with a submission's overrides."""

from __future__ import annotations

import re
from typing import Any

from . import checks
from . import texts
from .errors import BadRequest
from .model import EmulatedNode
from .model import Json
from .model import RegisteredDefinition

DEFINITION_KEYS = (
    "type",
    "parameters",
    "containerProperties",
    "nodeProperties",
    "ecsProperties",
    "eksProperties",
    "retryStrategy",
    "timeout",
    "propagateTags",
    "platformCapabilities",
    "schedulingPriority",
)


class DefinitionStore:
    """The definitions of one account and region."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        """The beginning of their ARNs."""
        self._known: dict[str, list[RegisteredDefinition]] = {}

    def register(self, request: Json, size: int) -> RegisteredDefinition:
        """Register a new revision. Raises BadRequest."""
        name = checks.name(request.get("jobDefinitionName"), "Job definition name")
        if size > checks.MAX_DEFINITION_BYTES:
            raise BadRequest(f"Job definition must be at most {checks.MAX_DEFINITION_BYTES} bytes: {size}")
        body = _normal({key: request[key] for key in DEFINITION_KEYS if key in request})
        _check(body)
        revisions = self._known.setdefault(name, [])
        revision = len(revisions) + 1
        arn = f"{self._prefix}{name}:{revision}"
        made = RegisteredDefinition(
            arn=arn, name=name, revision=revision, body=body, tags=request.get("tags", {})
        )
        revisions.append(made)
        return made

    def find(self, name: str) -> RegisteredDefinition | None:
        """Find a definition by its ARN, ``name:revision``, or name (the latest active revision)."""
        name = name.rsplit("job-definition/", 1)[-1]
        name, _, revision = name.partition(":")
        found = self._known.get(name, [])
        if revision:
            return next((each for each in found if str(each.revision) == revision), None)
        return next((each for each in reversed(found) if each.status == "ACTIVE"), None)

    def active(self, name: str) -> RegisteredDefinition:
        """Find an active definition. Raises BadRequest."""
        found = self.find(name)
        if found is None:
            raise BadRequest(f"JobDefinition {name} not found.")
        if found.status != "ACTIVE":
            raise BadRequest(f"JobDefinition {name} is not active.")
        return found

    def all(self) -> list[RegisteredDefinition]:
        """All revisions of all definitions."""
        return [each for revisions in self._known.values() for each in revisions]


def nodes(definition: RegisteredDefinition, request: Json) -> tuple[list[EmulatedNode], int]:
    """The nodes of a job with their containers, and the index of the main node. Raises BadRequest."""
    body = definition.body
    parameters = {**body.get("parameters", {}), **request.get("parameters", {})}
    if "nodeProperties" in body:
        return _parallel(body["nodeProperties"], request, parameters)
    if "nodeOverrides" in request:
        raise BadRequest("nodeOverrides can only be used with multi-node parallel job definitions")
    given = request.get("containerOverrides", {})
    return [EmulatedNode(index=0, spec=_container(body["containerProperties"], given, parameters))], 0


def overrides_size(request: Json) -> int:
    """The length of a submission's longest override, as passed to the container service."""
    given = [request.get("containerOverrides", {})]
    per_node = request.get("nodeOverrides", {}).get("nodePropertyOverrides", ())
    given += [each.get("containerOverrides", {}) for each in per_node]
    return max(map(_size, given))


def _size(overrides: Json) -> int:
    import json

    # Only the limit of 8192 is documented; that these characters are counted is a guess.
    counted = {key: overrides[key] for key in ("command", "environment") if key in overrides}
    return len(json.dumps({"containerOverrides": [{"name": "default", **counted}]}, separators=(",", ":")))


def _parallel(properties: Json, request: Json, parameters: dict[str, str]) -> tuple[list[EmulatedNode], int]:
    if "containerOverrides" in request:
        raise BadRequest(
            "containerOverrides can not be used with multi-node parallel jobs; use nodeOverrides"
        )
    ranges = properties["nodeRangeProperties"]
    count = request.get("nodeOverrides", {}).get("numNodes", properties["numNodes"])
    main = properties["mainNode"]
    if count != properties["numNodes"] and not any(_is_open(each["targetNodes"]) for each in ranges):
        raise BadRequest("numNodes can only be overridden where a node range of the definition is open")
    if any(_bounds(each["targetNodes"], count)[0] >= count for each in ranges) or main >= count:
        raise BadRequest(f"numNodes must be larger than the main node and the start of every range: {count}")
    overrides = _matched(request, ranges, count)
    specs = []
    for index in range(count):
        chosen = [each for each in ranges if _covers(each["targetNodes"], index, count)]
        if not chosen:
            raise BadRequest(f"No node range of the definition covers node {index}")
        given = [each for each in overrides if _covers(each["targetNodes"], index, count)]
        override = given[-1].get("containerOverrides", {}) if given else {}
        specs.append(_container(chosen[-1]["container"], override, parameters))
    return [EmulatedNode(index=index, spec=spec) for index, spec in enumerate(specs)], main


def _matched(request: Json, ranges: list[Json], count: int) -> list[Json]:
    """The overrides of nodes. Raises BadRequest for one whose range is not in the definition."""
    given: list[Json] = request.get("nodeOverrides", {}).get("nodePropertyOverrides", [])
    known = {_bounds(each["targetNodes"], count) for each in ranges}
    for each in given:
        first, last = _bounds(each["targetNodes"], count)
        if (first, last) not in known:
            raise BadRequest(texts.NO_TARGET.format(target=f"{first}:{last}"), is_verbatim=True)
    return given


def _is_open(target: str) -> bool:
    return target.strip().endswith(":")


def _bounds(target: str, count: int) -> tuple[int, int]:
    match = re.fullmatch(r"\s*(\d*)\s*(:?)\s*(\d*)\s*", target)
    if match is None or not (match[1] or match[2]):
        raise BadRequest(f"targetNodes is not a range: {target!r}")
    first = int(match[1] or 0)
    if not match[2]:
        return first, first
    return first, int(match[3]) if match[3] else count - 1


def _covers(target: str, index: int, count: int) -> bool:
    first, last = _bounds(target, count)
    return first <= index <= last


def _container(properties: Json, given: Json, parameters: dict[str, str]) -> Json:
    given = _normal_container(given)
    replaced: Json = {key: given[key] for key in ("command", "instanceType") if key in given}
    spec: Json = {**properties, **replaced}
    spec["environment"] = _by(
        "name", [*properties.get("environment", ()), *_with_values(given.get("environment", ()))]
    )
    wanted = [*properties.get("resourceRequirements", ()), *given.get("resourceRequirements", ())]
    spec["resourceRequirements"] = _by("type", wanted)
    spec["command"] = [_substituted(word, parameters) for word in spec.get("command", ())]
    return spec


def _with_values(environment: Any) -> list[Json]:
    return [{"value": "", **each} for each in environment]


def _by(key: str, listed: list[Json]) -> list[Json]:
    """The last entry for each value of ``key``."""
    return list({each[key]: each for each in listed}.values())


def _substituted(word: str, parameters: dict[str, str]) -> str:
    return parameters.get(word[5:], word) if word.startswith("Ref::") else word


def _normal(body: Json) -> Json:
    found = dict(body)
    if "containerProperties" in found:
        found["containerProperties"] = _normal_container(found["containerProperties"])
    if "nodeProperties" in found:
        ranges = found["nodeProperties"].get("nodeRangeProperties", [])
        normal = [{**each, "container": _normal_container(each.get("container", {}))} for each in ranges]
        found["nodeProperties"] = {**found["nodeProperties"], "nodeRangeProperties": normal}
    return found


def _normal_container(properties: Json) -> Json:
    """The container properties, with ``vcpus`` and ``memory`` as ``resourceRequirements``."""
    found = dict(properties)
    old = [(kind, found.pop(key, None)) for kind, key in (("VCPU", "vcpus"), ("MEMORY", "memory"))]
    converted = [{"type": kind, "value": str(value)} for kind, value in old if value is not None]
    if converted:
        found["resourceRequirements"] = _by("type", [*converted, *found.get("resourceRequirements", ())])
    return found


def _check(body: Json) -> None:
    checks.limits(body)
    if body.get("type") == "multinode":
        _check_parallel(body.get("nodeProperties"))
    elif "containerProperties" not in body:
        raise BadRequest(
            "containerProperties must be provided; ecsProperties and eksProperties are not supported here"
        )
    else:
        _check_container(body["containerProperties"])


def _check_parallel(properties: Json | None) -> None:
    if not properties or not properties.get("nodeRangeProperties"):
        raise BadRequest(
            "nodeProperties with nodeRangeProperties must be provided for multinode job definitions"
        )
    for each in properties["nodeRangeProperties"]:
        _bounds(each["targetNodes"], properties["numNodes"])
        _check_container(each["container"])


def _check_container(properties: Json) -> None:
    if not properties.get("image"):
        raise BadRequest("Container image can not be empty")
    checks.overrides(properties)
    kinds = {each["type"] for each in properties.get("resourceRequirements", ())}
    if missing := {"VCPU", "MEMORY"} - kinds:
        raise BadRequest(f"Container resource requirements must include {' and '.join(sorted(missing))}")
