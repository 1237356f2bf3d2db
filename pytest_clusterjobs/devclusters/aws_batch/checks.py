"""Checks of requests. Messages of the real service are used where they are known; the others are invented."""

from __future__ import annotations

import re
import uuid

from . import texts
from .errors import BadRequest
from .model import Json

MAX_IDS = 100
MAX_BULK_IDS = 50
MIN_TIMEOUT_SECONDS = 60
MAX_REASON_CHARACTERS = 1024
MAX_REQUEST_BYTES = 30 * 1024
MAX_DEFINITION_BYTES = 24 * 1024
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
CONDITIONS = {
    "onStatusReason": re.compile(r"[A-Za-z0-9.:\s]*\*?"),
    "onReason": re.compile(r"[A-Za-z0-9.:\s]*\*?"),
    "onExitCode": re.compile(r"[0-9]*\*?"),
}
MAX_OVERRIDES_CHARACTERS = 8192


def name(value: object, what: str) -> str:
    """The name of a job or definition."""
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise BadRequest(
            f"{what} should match valid pattern {NAME.pattern}, and be at most 128 characters: {value!r}"
        )
    return value


def ids(value: object) -> list[str]:
    """The ids of DescribeJobs."""
    if not isinstance(value, list) or not value:
        raise BadRequest("jobs can not be empty")
    if len(value) > MAX_IDS:
        raise BadRequest(texts.TOO_MANY_IDS.format(request=uuid.uuid4()), is_verbatim=True)
    return [str(each) for each in value]


def bulk(value: object) -> list[str]:
    """The ids of CancelJobs and TerminateJobs."""
    if not isinstance(value, list) or not 0 < len(value) <= MAX_BULK_IDS:
        raise BadRequest(f"jobs must have 1 to {MAX_BULK_IDS} elements")
    return [str(each) for each in value]


def reason(value: object) -> str:
    """The reason for the end of a job."""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_REASON_CHARACTERS:
        raise BadRequest(f"reason must have 1 to {MAX_REASON_CHARACTERS} characters")
    return value


def submission(request: Json, size: int) -> None:
    """Check a submission, without the queue, definition and jobs that it names."""
    name(request.get("jobName"), "Job name")
    _at_most(size, MAX_REQUEST_BYTES, "The size of the job payload in bytes")
    _at_most(len(request.get("dependsOn", ())), 20, "The number of dependencies")
    _at_most(len(request.get("tags", {})), 50, "The number of tags")
    array = request.get("arrayProperties", {}).get("size", 2)
    if not 2 <= array <= 10_000:
        raise BadRequest(f"Array size must be between 2 and 10000: {array}")
    priority = request.get("schedulingPriorityOverride", 0)
    if not 0 <= priority <= 9999:
        raise BadRequest(f"schedulingPriorityOverride must be between 0 and 9999: {priority}")
    overrides(request.get("containerOverrides", {}))
    for each in request.get("nodeOverrides", {}).get("nodePropertyOverrides", ()):
        overrides(each.get("containerOverrides", {}))
    limits(request)


def limits(request: Json) -> None:
    """Check ``timeout`` and ``retryStrategy`` of a submission or a definition."""
    seconds = request.get("timeout", {}).get("attemptDurationSeconds", MIN_TIMEOUT_SECONDS)
    if seconds < MIN_TIMEOUT_SECONDS:
        raise BadRequest(f"attemptDurationSeconds must be at least {MIN_TIMEOUT_SECONDS}: {seconds}")
    strategy = request.get("retryStrategy", {})
    if not 1 <= strategy.get("attempts", 1) <= 10:
        raise BadRequest(f"Retry attempts must be between 1 and 10: {strategy['attempts']}")
    _at_most(len(strategy.get("evaluateOnExit", ())), 5, "The number of evaluateOnExit conditions")
    for condition in strategy.get("evaluateOnExit", ()):
        _condition(condition)


def overrides(given: Json) -> None:
    """Check environment and resources of overrides or container properties."""
    for each in given.get("environment", ()):
        if not each.get("name"):
            raise BadRequest("Environment variable name can not be empty")
        if each["name"].startswith("AWS_BATCH"):
            raise BadRequest(f"Environment variables must not start with AWS_BATCH: {each['name']}")
    for each in given.get("resourceRequirements", ()):
        if each.get("type") not in ("VCPU", "MEMORY", "GPU"):
            raise BadRequest(f"Resource type must be one of GPU, MEMORY, VCPU: {each.get('type')}")
        _resource(each["type"], str(each.get("value")))


def _resource(kind: str, value: str) -> None:
    pattern = r"\d+(\.\d+)?" if kind == "VCPU" else r"\d+"
    if not re.fullmatch(pattern, value) or float(value) <= 0:
        raise BadRequest(f"Resource value of {kind} is not valid: {value}")
    if kind == "MEMORY" and int(value) < 4:
        raise BadRequest(f"Container memory must be at least 4 MiB: {value}")


def _condition(condition: Json) -> None:
    if str(condition.get("action", "")).upper() not in ("RETRY", "EXIT"):
        raise BadRequest(f"Evaluate on exit action must be RETRY or EXIT: {condition.get('action')}")
    for key, pattern in CONDITIONS.items():
        if key in condition and (len(condition[key]) > 512 or not pattern.fullmatch(condition[key])):
            raise BadRequest(texts.RESTRICTED, is_verbatim=True)


def _at_most(size: int, limit: int, what: str) -> None:
    if size > limit:
        raise BadRequest(f"{what} must be at most {limit}: {size}")
