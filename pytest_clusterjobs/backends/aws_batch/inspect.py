"""Everything that AWS Batch reports about a job, for display; also for jobs of other tools."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from datetime import datetime
from datetime import UTC
from typing import Any

from .job_detail import JobDetail
from .job_detail import Start
from .log_reader import CloudWatchReader
from .observe import DescribedJob
from .observe import end_reason
from .status_reasons import while_waiting

HIDDEN_VALUE = "(not shown)"
"""Replaces the values of environment variables, which may be secrets in plain text."""

Facts = Iterable[tuple[str, Any]]
"""Names and values; facts without a value are not shown."""


def facts(job: DescribedJob, reader: CloudWatchReader, url: str | None) -> Iterator[tuple[str, str]]:
    """The names and values to display, the most important first."""
    return ((name, str(value)) for name, value in _facts(job, reader, url) if value)


def _facts(job: DescribedJob, reader: CloudWatchReader, url: str | None) -> Facts:
    detail = job.detail
    raw = detail.raw
    yield "status", _joined(detail.status, _meaning(detail))
    yield "reason", detail.status_reason
    yield "name", raw.get("jobName")
    yield "queue", _short(raw.get("jobQueue")) or "-"
    yield "definition", _short(raw.get("jobDefinition")) or "-"
    yield from _times(detail)
    yield from _container(raw.get("container") or {})
    yield "array", _array(raw.get("arrayProperties") or {})
    nodes = raw.get("nodeProperties") or {}
    if nodes.get("numNodes"):
        yield "nodes", f"{nodes['numNodes']}, main node {nodes.get('mainNode', 0)}"
    if not job.nodes:
        yield from _attempts(detail, reader)
    for rank, node in sorted(job.nodes.items()):
        yield f"node {rank}", _joined(node.status, node.status_reason, _meaning(node))
        yield from _attempts(node, reader, indent="  ")
    yield from _submission(raw)
    yield "link", url


def shown(job: DescribedJob) -> dict[str, Any]:
    """DescribeJobs' answers for the job and each node, without the values of environment variables."""
    found = _without_values(dict(job.detail.raw))
    if job.nodes:
        found["nodes"] = [_without_values(dict(node.raw)) for _, node in sorted(job.nodes.items())]
    # Some values, such as datetimes, have no form in JSON.
    plain: dict[str, Any] = json.loads(json.dumps(found, default=str))
    return plain


def _without_values(value: Any, *, is_variables: bool = False) -> Any:
    if isinstance(value, list):
        return [_without_values(each, is_variables=is_variables) for each in value]
    if not isinstance(value, Mapping):
        return value
    found = {
        name: _without_values(each, is_variables=name in ("environment", "env"))
        for name, each in value.items()
    }
    return {**found, "value": HIDDEN_VALUE} if is_variables and "value" in found else found


def _meaning(detail: JobDetail) -> str:
    """The meaning of AWS's text, from the table of status reasons, in brackets; empty if it is not known."""
    waiting = while_waiting(detail.status_reason) if detail.status == "RUNNABLE" else None
    row = end_reason(detail) if detail.is_over else waiting
    if row is None:
        return ""
    return f"({row.reason}: {row.meaning})" if row.reason is not None else f"({row.meaning})"


def _times(detail: JobDetail) -> Facts:
    created, started, stopped = detail.created, detail.started, detail.stopped
    for name, at in (("created", created), ("started", started), ("stopped", stopped)):
        if at is not None:
            yield name, datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    if created is not None and (started is not None or not detail.is_over):
        yield "queued", _duration(created, started)
    if started is not None:
        yield "ran", _duration(started, stopped)


def _duration(start: float, end: float | None) -> str:
    """The time between two moments, in seconds since the epoch; ``None`` is now."""
    minutes, seconds = divmod(max(0, round((end or time.time()) - start)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m{seconds:02}s" if hours else f"{minutes}m{seconds:02}s"


def _container(container: Mapping[str, Any]) -> Facts:
    resources = container.get("resourceRequirements") or ()
    yield "image", container.get("image")
    yield "command", shlex.join(map(str, container.get("command") or ()))
    yield "resources", ", ".join(f"{each['value']} {each['type']}" for each in resources)
    yield "environment", ", ".join(str(each.get("name")) for each in container.get("environment") or ())
    yield "job role", _short(container.get("jobRoleArn"))
    yield "instance", _short(container.get("containerInstanceArn"))
    yield "task", _short(container.get("taskArn"))


def _array(properties: Mapping[str, Any]) -> str:
    counts = {name: count for name, count in (properties.get("statusSummary") or {}).items() if count}
    summary = ", ".join(f"{count} {name}" for name, count in counts.items())
    return f"{properties['size']} jobs: {summary}".rstrip(": ") if properties.get("size") else ""


def _attempts(detail: JobDetail, reader: CloudWatchReader, indent: str = "") -> Facts:
    for number, start in enumerate(detail.starts):
        yield f"{indent}attempt {number + 1}", _attempt(start)
        yield "  log stream", start.stream
        yield "  log link", reader.page(detail, number)


def _attempt(start: Start) -> str:
    code = "no exit code" if start.exit_code is None else f"exit code {start.exit_code}"
    ran = "" if start.started is None else f"ran {_duration(start.started, start.stopped)}"
    return ", ".join(filter(None, [code, ran, start.status_reason, *start.reasons]))


def _submission(raw: Mapping[str, Any]) -> Facts:
    attempts = (raw.get("retryStrategy") or {}).get("attempts", 1)
    limit = (raw.get("timeout") or {}).get("attemptDurationSeconds")
    if attempts > 1:
        yield "attempts", f"{attempts} at most"
    if limit:
        yield "time limit", f"{_duration(0, limit)} an attempt"
    yield "depends on", ", ".join(str(each.get("jobId")) for each in raw.get("dependsOn") or ())
    yield "share", raw.get("shareIdentifier")
    yield "tags", ", ".join(f"{name}={value}" for name, value in (raw.get("tags") or {}).items())


def _joined(*texts: str) -> str:
    return " ".join(filter(None, texts))


def _short(arn: Any) -> str:
    """The name at the end of an ARN; empty if there is none."""
    text = str(arn or "")
    return text.partition("/")[2] if text.startswith("arn:") else text
