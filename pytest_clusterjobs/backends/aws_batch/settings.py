"""The site settings of an AWS Batch backend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated
from typing import Any

from pydantic import AfterValidator
from pydantic import Field

from ..protocol import Capabilities
from ..settings import MustBe
from ..settings import SiteSettings

LOG_GROUP = "/aws/batch/job"
"""The log group that AWS Batch uses for jobs whose definition has none."""

MAX_IDS_PER_CALL = 100
"""The most jobs in one call of DescribeJobs."""

SUBMIT_THREADS = 8

POLL_SLACK_SECONDS = 5.0
"""Seconds that a poll may come after CloudWatch's settle time."""

MAX_STARTS = 10
"""The most starts of one job that AWS Batch allows."""


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError
    return text


def _arn(text: str) -> str:
    if not text.startswith("arn:"):
        raise ValueError
    return text


Text = Annotated[str, AfterValidator(_printable), MustBe("text without control characters")]
Seconds = Annotated[float, Field(ge=0, le=3600), MustBe("seconds, 0 to 3600")]
Arn = Annotated[
    str, AfterValidator(_arn), MustBe("the ARN of a secret or parameter, not a value", is_secret=True)
]


class AwsBatchSettings(SiteSettings):
    """The settings of a site. Names are those of ``[tool.clusterjobs.backends.NAME]``."""

    queue: Text = ""
    job_definition: Text = ""
    """For jobs of one node: a name, ``name:revision`` or an ARN. Empty if ``container`` replaces it."""
    multinode_job_definition: Text = ""
    """For jobs of several nodes; empty if there are none."""
    region: Text = ""
    """Empty: from the usual AWS environment."""
    profile: Text = ""
    container: Annotated[
        Mapping[str, Any], MustBe("a table of container properties, named as in AWS's API")
    ] = {}
    """Container properties of the definitions that are registered for ``image`` and ``secrets``."""
    secrets: Annotated[
        Mapping[str, Arn], MustBe("a table of ARNs by the names of secrets", is_secret=True)
    ] = {}
    """The ARN, in Secrets Manager or Parameter Store, for each secret of a matrix."""
    share_identifier: Text = ""
    scheduling_priority: Annotated[int | None, Field(ge=0, le=9999), MustBe("a whole number, 0 to 9999")] = (
        None
    )
    tags: Annotated[Mapping[str, str], MustBe("a table of text")] = {}
    propagate_tags: bool = True
    workdir: Text = ""
    """The working folder in the container, and the base of a relative ``workdir``; empty: the image's own."""
    log_group: Text = LOG_GROUP
    """The log group of jobs whose definition has none."""
    submissions_per_second: Annotated[
        float, Field(gt=0, le=1000), MustBe("a number above 0, at most 1000")
    ] = 40.0
    """The service allows 50 an account and region."""
    poll_interval: Seconds = 3.0
    """The least seconds between two polls of a job."""
    find_settle: Seconds = 60.0
    """Seconds until a submission whose answer was lost is in the list of jobs, if it exists."""
    log_settle: Seconds = 30.0
    """Seconds after a job's end in which CloudWatch may still lack lines."""
    linger: Seconds = 5.0
    """Seconds that a main node waits after the clean end of its command for the other nodes to end."""


def capabilities(settings: AwsBatchSettings) -> Capabilities:
    """The capabilities of a backend with these settings; a job's definition decides about several nodes."""
    return Capabilities(
        ids_per_poll=MAX_IDS_PER_CALL,
        submissions_per_second=settings.submissions_per_second,
        submit_threads=SUBMIT_THREADS,
        min_poll_interval=settings.poll_interval,
        find_settle=settings.find_settle,
        log_settle=settings.log_settle + 2 * settings.poll_interval + POLL_SLACK_SECONDS,
        max_restarts=MAX_STARTS - 1,
        stops_rest=False,
        knows_secrets=True,
    )
