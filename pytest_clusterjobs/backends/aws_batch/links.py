"""Pages of the AWS console about a job and its logs."""

from __future__ import annotations

from urllib.parse import quote

_HOSTS = {
    "aws": "console.aws.amazon.com",
    "aws-us-gov": "console.amazonaws-us-gov.com",
    "aws-cn": "console.amazonaws.cn",
    "aws-eusc": "console.amazonaws-eusc.eu",
}
"""By partition. The isolated partitions have consoles of their own, at addresses that are not public."""


def job_page(partition: str, region: str, job_id: str) -> str | None:
    """The URL of a job's page; ``None`` if the partition has no public console."""
    host = _HOSTS.get(partition)
    if host is None:
        return None
    return f"https://{region}.{host}/batch/home?region={region}#jobs/detail/{_quoted(job_id)}"


def log_page(partition: str, region: str, group: str, stream: str) -> str | None:
    """The URL of a log stream's page; ``None`` if the partition has no public console."""
    host = _HOSTS.get(partition)
    if host is None:
        return None
    where = f"log-group/{_quoted_twice(group)}/log-events/{_quoted_twice(stream)}"
    return f"https://{region}.{host}/cloudwatch/home?region={region}#logsV2:log-groups/{where}"


def _quoted(text: str) -> str:
    """Quote like JavaScript's encodeURIComponent."""
    return quote(text, safe="-_.!~*'()")


def _quoted_twice(text: str) -> str:
    """Quote a name as the console does after ``#``."""
    return _quoted(_quoted(text)).replace("%", "$")
