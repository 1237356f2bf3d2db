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
    """The page of a job; ``None`` where no console is known."""
    host = _HOSTS.get(partition)
    if host is None:
        return None
    return f"https://{region}.{host}/batch/home?region={region}#jobs/detail/{_once(job_id)}"


def log_page(partition: str, region: str, group: str, stream: str) -> str | None:
    """The page of a log stream; ``None`` where no console is known."""
    host = _HOSTS.get(partition)
    if host is None:
        return None
    where = f"log-group/{_twice(group)}/log-events/{_twice(stream)}"
    return f"https://{region}.{host}/cloudwatch/home?region={region}#logsV2:log-groups/{where}"


def _once(text: str) -> str:
    """Like JavaScript's encodeURIComponent."""
    return quote(text, safe="-_.!~*'()")


def _twice(text: str) -> str:
    """The encoding that the console uses for names after ``#``."""
    return _once(_once(text)).replace("%", "$")
