"""What the service refuses. Where its words are not known, they are ours."""

from __future__ import annotations

import re

from . import texts
from .errors import Refused
from .errors import TooManyIds
from .errors import Verbatim
from .model import Json

MOST_IDS = 100
MOST_IN_BULK = 50
SHORTEST_TIMEOUT = 60
LONGEST_REASON = 1024
LARGEST_REQUEST = 30 * 1024
LARGEST_DEFINITION = 24 * 1024
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
CONDITIONS = {
    "onStatusReason": re.compile(r"[A-Za-z0-9.:\s]*\*?"),
    "onReason": re.compile(r"[A-Za-z0-9.:\s]*\*?"),
    "onExitCode": re.compile(r"[0-9]*\*?"),
}
LARGEST_OVERRIDES = 8192


def name(value: object, what: str) -> str:
    """A job's or definition's name."""
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise Refused(
            f"{what} should match valid pattern {NAME.pattern}, and be at most 128 characters: {value!r}"
        )
    return value


def ids(value: object) -> list[str]:
    """The ids of DescribeJobs."""
    if not isinstance(value, list) or not value:
        raise Refused("jobs can not be empty")
    if len(value) > MOST_IDS:
        raise TooManyIds
    return [str(each) for each in value]


def bulk(value: object) -> list[str]:
    """The ids of CancelJobs and TerminateJobs."""
    if not isinstance(value, list) or not 0 < len(value) <= MOST_IN_BULK:
        raise Refused(f"jobs must have 1 to {MOST_IN_BULK} elements")
    return [str(each) for each in value]


def reason(value: object) -> str:
    """Why a job is ended."""
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_REASON:
        raise Refused(f"reason must have 1 to {LONGEST_REASON} characters")
    return value


def submission(request: Json, size: int) -> None:
    """What can be said of a submission without knowing what it names."""
    name(request.get("jobName"), "Job name")
    _at_most(size, LARGEST_REQUEST, "The size of the job payload in bytes")
    _at_most(len(request.get("dependsOn", ())), 20, "The number of dependencies")
    _at_most(len(request.get("tags", {})), 50, "The number of tags")
    array = request.get("arrayProperties", {}).get("size", 2)
    if not 2 <= array <= 10_000:
        raise Refused(f"Array size must be between 2 and 10000: {array}")
    priority = request.get("schedulingPriorityOverride", 0)
    if not 0 <= priority <= 9999:
        raise Refused(f"schedulingPriorityOverride must be between 0 and 9999: {priority}")
    overrides(request.get("containerOverrides", {}))
    for each in request.get("nodeOverrides", {}).get("nodePropertyOverrides", ()):
        overrides(each.get("containerOverrides", {}))
    limits(request)


def limits(request: Json) -> None:
    """``timeout`` and ``retryStrategy``, of a submission or a definition."""
    seconds = request.get("timeout", {}).get("attemptDurationSeconds", SHORTEST_TIMEOUT)
    if seconds < SHORTEST_TIMEOUT:
        raise Refused(f"attemptDurationSeconds must be at least {SHORTEST_TIMEOUT}: {seconds}")
    strategy = request.get("retryStrategy", {})
    if not 1 <= strategy.get("attempts", 1) <= 10:
        raise Refused(f"Retry attempts must be between 1 and 10: {strategy['attempts']}")
    _at_most(len(strategy.get("evaluateOnExit", ())), 5, "The number of evaluateOnExit conditions")
    for condition in strategy.get("evaluateOnExit", ()):
        _condition(condition)


def overrides(given: Json) -> None:
    """Environment and resources of overrides or of container properties."""
    for each in given.get("environment", ()):
        if not each.get("name"):
            raise Refused("Environment variable name can not be empty")
        if each["name"].startswith("AWS_BATCH"):
            raise Refused(f"Environment variables must not start with AWS_BATCH: {each['name']}")
    for each in given.get("resourceRequirements", ()):
        if each.get("type") not in ("VCPU", "MEMORY", "GPU"):
            raise Refused(f"Resource type must be one of GPU, MEMORY, VCPU: {each.get('type')}")
        _resource(each["type"], str(each.get("value")))


def _resource(kind: str, value: str) -> None:
    pattern = r"\d+(\.\d+)?" if kind == "VCPU" else r"\d+"
    if not re.fullmatch(pattern, value) or float(value) <= 0:
        raise Refused(f"Resource value of {kind} is not valid: {value}")
    if kind == "MEMORY" and int(value) < 4:
        raise Refused(f"Container memory must be at least 4 MiB: {value}")


def _condition(condition: Json) -> None:
    if str(condition.get("action", "")).upper() not in ("RETRY", "EXIT"):
        raise Refused(f"Evaluate on exit action must be RETRY or EXIT: {condition.get('action')}")
    for key, pattern in CONDITIONS.items():
        if key in condition and (len(condition[key]) > 512 or not pattern.fullmatch(condition[key])):
            raise Verbatim(texts.RESTRICTED)


def _at_most(size: int, limit: int, what: str) -> None:
    if size > limit:
        raise Refused(f"{what} must be at most {limit}: {size}")
