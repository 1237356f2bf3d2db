"""Everything that AWS Batch reports about a job, for display; also for jobs of other tools."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator
from collections.abc import Mapping
from datetime import datetime
from datetime import UTC
from typing import Any

from .detail import Detail
from .detail import Start
from .observe import DescribedJob
from .observe import end_row
from .reader import Reader
from .status_reasons import while_waiting

HIDDEN = "(not shown)"
"""Replaces the values of environment variables, which may be secrets in plain text."""


def facts(job: DescribedJob, reader: Reader, url: str | None) -> Iterator[tuple[str, str]]:
    """Names and values, the most important first."""
    detail = job.detail
    raw = detail.raw
    yield "status", " ".join(filter(None, [detail.status, _meaning(detail)]))
    if detail.status_reason:
        yield "reason", detail.status_reason
    yield "name", str(raw.get("jobName", ""))
    yield "queue", _short(raw.get("jobQueue"))
    yield "definition", _short(raw.get("jobDefinition"))
    yield from _times(detail)
    yield from _container(raw)
    yield from _shape(raw)
    for number, start in enumerate(detail.starts if not job.nodes else ()):
        yield from _start(f"attempt {number + 1}", start, reader.page(detail, number))
    for rank, node in sorted(job.nodes.items()):
        yield f"node {rank}", " ".join(filter(None, [node.status, node.status_reason, _meaning(node)]))
        for number, start in enumerate(node.starts):
            yield from _start(f"  attempt {number + 1}", start, reader.page(node, number))
    yield from _submission(raw)
    if url is not None:
        yield "link", url


def shown(job: DescribedJob) -> dict[str, Any]:
    """DescribeJobs' answers for the job and each node, without the values of environment variables."""
    found = _without_values(dict(job.detail.raw))
    if job.nodes:
        found["nodes"] = [_without_values(dict(node.raw)) for _, node in sorted(job.nodes.items())]
    # Some values may have types that only Python has.
    plain: dict[str, Any] = json.loads(json.dumps(found, default=str))
    return plain


def _without_values(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            name: _hidden(inner) if name in ("environment", "env") else _without_values(inner)
            for name, inner in value.items()
        }
    return [_without_values(each) for each in value] if isinstance(value, list) else value


def _hidden(variables: Any) -> Any:
    if not isinstance(variables, list):
        return variables
    return [{**each, "value": HIDDEN} if "value" in each else each for each in variables]


def _meaning(detail: Detail) -> str:
    """What the table of status reasons has about AWS's text, in brackets."""
    waiting = while_waiting(detail.status_reason) if detail.status == "RUNNABLE" else None
    row = waiting if not detail.is_over else end_row(detail)
    if row is None:
        return ""
    return f"({row.reason}: {row.why})" if row.reason is not None else f"({row.why})"


def _times(detail: Detail) -> Iterator[tuple[str, str]]:
    created, started, stopped = detail.created, detail.started, detail.stopped
    for name, at in (("created", created), ("started", started), ("stopped", stopped)):
        if at is not None:
            yield name, datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    if created is not None and (started is not None or not detail.is_over):
        yield "queued", _seconds((started or time.time()) - created)
    if started is not None:
        yield "ran", _seconds((stopped or time.time()) - started)


def _seconds(value: float) -> str:
    minutes, seconds = divmod(max(0, round(value)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m{seconds:02}s" if hours else f"{minutes}m{seconds:02}s"


def _container(raw: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    container = raw.get("container") or {}
    if container.get("image"):
        yield "image", str(container["image"])
    if container.get("command"):
        yield "command", shlex.join(map(str, container["command"]))
    wanted = [f"{each['value']} {each['type']}" for each in container.get("resourceRequirements") or ()]
    if wanted:
        yield "resources", ", ".join(wanted)
    if names := [str(each.get("name")) for each in container.get("environment") or ()]:
        yield "environment", ", ".join(names)
    for name, key in (("job role", "jobRoleArn"), ("instance", "containerInstanceArn"), ("task", "taskArn")):
        if container.get(key):
            yield name, _short(container[key])


def _shape(raw: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    array, nodes = raw.get("arrayProperties") or {}, raw.get("nodeProperties") or {}
    if array.get("size"):
        counts = {name: count for name, count in (array.get("statusSummary") or {}).items() if count}
        summary = ", ".join(f"{count} {name}" for name, count in counts.items())
        yield "array", f"{array['size']} jobs: {summary}".rstrip(": ")
    if nodes.get("numNodes"):
        yield "nodes", f"{nodes['numNodes']}, main node {nodes.get('mainNode', 0)}"


def _start(name: str, start: Start, page: str | None) -> Iterator[tuple[str, str]]:
    code = "no exit code" if start.exit_code is None else f"exit code {start.exit_code}"
    ran = ""
    if start.started is not None:
        ran = f"ran {_seconds((start.stopped or time.time()) - start.started)}"
    yield name, ", ".join(filter(None, [code, ran, start.status_reason, *start.reasons]))
    if start.stream:
        yield "  log stream", start.stream
    if page is not None:
        yield "  log link", page


def _submission(raw: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    retry, limit = raw.get("retryStrategy") or {}, raw.get("timeout") or {}
    if retry.get("attempts", 1) > 1:
        yield "attempts", f"{retry['attempts']} at most"
    if limit.get("attemptDurationSeconds"):
        yield "time limit", f"{_seconds(limit['attemptDurationSeconds'])} an attempt"
    if raw.get("dependsOn"):
        yield "depends on", ", ".join(str(each.get("jobId")) for each in raw["dependsOn"])
    if raw.get("shareIdentifier"):
        yield "share", str(raw["shareIdentifier"])
    if raw.get("tags"):
        yield "tags", ", ".join(f"{name}={value}" for name, value in raw["tags"].items())


def _short(arn: Any) -> str:
    """The name at the end of an ARN."""
    text = str(arn or "-")
    return text.partition("/")[2] if text.startswith("arn:") else text
