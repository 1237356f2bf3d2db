"""The site settings of an AWS Batch backend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from dataclasses import fields
from typing import Any

from ..protocol import BackendError
from ..protocol import Capabilities

LOG_GROUP = "/aws/batch/job"
"""The log group that AWS Batch uses for jobs whose definition has none."""

IDS = 100
"""Jobs in one call of DescribeJobs."""

SUBMIT_THREADS = 8

SLACK = 5.0
"""Seconds that a poll may come after CloudWatch's settle time."""

MAX_ATTEMPTS = 10
"""The most starts of one job that AWS Batch allows."""


@dataclass(frozen=True, slots=True)
class AwsBatchSettings:
    """The settings of a site. Names are those of ``[tool.clusterjobs.backends.NAME]``."""

    queue: str = ""
    job_definition: str = ""
    """For jobs of one node: a name, ``name:revision`` or an ARN. Empty if ``container`` replaces it."""
    multinode_job_definition: str = ""
    """For jobs of several nodes; empty if there are none."""
    region: str = ""
    """Empty: from the usual AWS environment."""
    profile: str = ""
    container: Mapping[str, Any] = field(default_factory=dict)
    """Container properties of the definitions that are registered for ``image`` and ``secrets``."""
    secrets: Mapping[str, str] = field(default_factory=dict)
    """The ARN, in Secrets Manager or Parameter Store, for each secret of a matrix."""
    share_identifier: str = ""
    scheduling_priority: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    propagate_tags: bool = True
    workdir: str = ""
    """The working folder in the container, and the base of a relative ``workdir``; empty: the image's own."""
    log_group: str = LOG_GROUP
    """The log group of jobs whose definition has none."""
    submissions_per_second: float = 40.0
    """The service allows 50 an account and region."""
    poll_interval: float = 3.0
    """The least seconds between two polls of a job."""
    find_settle: float = 60.0
    """Seconds until a submission whose answer was lost is in the list of jobs, if it exists."""
    log_settle: float = 30.0
    """Seconds after a job's end in which CloudWatch may still lack lines."""
    linger: float = 5.0
    """Seconds that a main node waits after the clean end of its command for the other nodes to end."""


SETTINGS = frozenset(each.name for each in fields(AwsBatchSettings))

_TEXT = {
    "queue",
    "job_definition",
    "multinode_job_definition",
    "region",
    "profile",
    "share_identifier",
    "log_group",
    "workdir",
}
_SECONDS = {"poll_interval", "find_settle", "log_settle", "linger"}


def settings_of(raw: Mapping[str, Any]) -> AwsBatchSettings:
    """Read the settings. Raises BackendError with a one-line message that names the mistake."""
    for name, value in raw.items():
        wanted = _fault(name, value)
        if wanted:
            raise BackendError(f"{name} must be {wanted}, not {value!r:.60}")
    settings = AwsBatchSettings(**raw)
    for name, arn in settings.secrets.items():
        if not arn.startswith("arn:"):
            # An error must not contain the value itself.
            raise BackendError(f"secrets.{name} must be the ARN of a secret or parameter, not a value")
    return settings


def capabilities(settings: AwsBatchSettings) -> Capabilities:
    """The capabilities of a backend with these settings; a job's definition decides about several nodes."""
    return Capabilities(
        ids_per_poll=IDS,
        submissions_per_second=settings.submissions_per_second,
        submit_threads=SUBMIT_THREADS,
        min_poll_interval=settings.poll_interval,
        find_settle=settings.find_settle,
        log_settle=settings.log_settle + 2 * settings.poll_interval + SLACK,
        max_restarts=MAX_ATTEMPTS - 1,
        stops_rest=False,
        knows_secrets=True,
    )


def _fault(name: str, value: Any) -> str:
    """What a setting must be, if its value is wrong."""
    if name in _TEXT:
        return "" if isinstance(value, str) and value.isprintable() else "text"
    if name in _SECONDS:
        return "" if _is_number(value) and 0 <= value <= 3600 else "seconds, 0 to 3600"
    if name == "submissions_per_second":
        return "" if _is_number(value) and 0 < value <= 1000 else "a number above 0"
    if name == "scheduling_priority":
        whole = isinstance(value, int) and not isinstance(value, bool)
        return "" if whole and 0 <= value <= 9999 else "a whole number, 0 to 9999"
    if name == "propagate_tags":
        return "" if isinstance(value, bool) else "true or false"
    if name == "container":
        return "" if isinstance(value, Mapping) else "a table of container properties, named as in AWS's API"
    return "" if _is_table_of_text(value) else "a table of text"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_table_of_text(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(each, str) for each in value.values())
