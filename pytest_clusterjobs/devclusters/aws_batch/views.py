"""Jobs and definitions as the API's responses show them."""

from __future__ import annotations

import copy
import time

from .model import ContainerAttempt
from .model import EmulatedJob
from .model import EmulatedNode
from .model import Json
from .model import RegisteredDefinition
from .model import STATUSES

EMPTY = ("volumes", "mountPoints", "ulimits", "networkInterfaces", "secrets", "environment", "command")
"""Lists that are in every response, even if they are empty."""
HISTORY_SECONDS = 120.0
"""How long earlier views of a job are kept; at most ``MAX_HISTORY`` of them."""
MAX_HISTORY = 50


def definition(about: RegisteredDefinition) -> Json:
    """A job definition in the response of DescribeJobDefinitions."""
    return {
        **about.body,
        "jobDefinitionName": about.name,
        "jobDefinitionArn": about.arn,
        "revision": about.revision,
        "status": about.status,
        "tags": about.tags,
    }


def detail(job: EmulatedJob) -> Json:
    """A job in the response of DescribeJobs."""
    found = {
        **_common(job),
        "jobQueue": job.queue_arn,
        "dependsOn": job.request.get("dependsOn", []),
        "parameters": job.request.get("parameters", {}),
        "tags": job.request.get("tags", {}),
        "propagateTags": bool(job.request.get("propagateTags", False)),
        "platformCapabilities": job.definition.body.get("platformCapabilities", ["EC2"]),
        "retryStrategy": {"attempts": 1, "evaluateOnExit": [], **job.retry},
        "attempts": [] if job.is_array else [_attempt(each, job) for each in job.main_node.attempts],
        "eksAttempts": [],
        "isCancelled": job.cancelled,
        "isTerminated": job.terminated,
    }
    if job.timeout is not None:
        found["timeout"] = {"attemptDurationSeconds": job.timeout}
    for name, shown in (
        ("shareIdentifier", "shareIdentifier"),
        ("schedulingPriorityOverride", "schedulingPriority"),
    ):
        if name in job.request:
            found[shown] = job.request[name]
    if job.is_parallel:
        return {**found, "nodeProperties": _node_properties(job)}
    if job.is_array:
        return {**found, "container": _specified(job.definition.body.get("containerProperties", {}))}
    return {**found, "container": _container(job.main_node)}


def node_detail(job: EmulatedJob, node: EmulatedNode) -> Json:
    """A node of a multi-node parallel job in the response of DescribeJobs."""
    found = detail(job)
    del found["nodeProperties"]
    last = node.attempts[-1] if node.attempts else None
    status = node.status or job.status
    found |= {
        "jobId": f"{job.id}#{node.index}",
        "jobArn": f"{job.arn}#{node.index}",
        "status": status,
        "nodeDetails": {"nodeIndex": node.index, "isMainNode": node.index == job.main},
        "attempts": [_attempt(each, job) for each in node.attempts],
        "container": _container(node),
    }
    for name in ("statusReason", "startedAt", "stoppedAt"):
        found.pop(name, None)
    times = {"startedAt": last and last.started, "stoppedAt": last and last.stopped}
    return found | _without_none({"statusReason": node.status_reason or job.status_reason, **times})


def summary(job: EmulatedJob, node: EmulatedNode | None = None) -> Json:
    """A job or node in the response of ListJobs."""
    whole = detail(job) if node is None else node_detail(job, node)
    names = ("jobArn", "jobId", "jobName", "createdAt", "status", "statusReason", "startedAt", "stoppedAt")
    found = {name: whole[name] for name in (*names, "jobDefinition", "arrayProperties") if name in whole}
    flags = {name: True for name in ("isCancelled", "isTerminated") if whole[name]}
    found |= flags
    ended = whole.get("container", {})
    found["container"] = {name: ended[name] for name in ("exitCode", "reason") if name in ended}
    if job.is_parallel:
        found["nodeProperties"] = {"numNodes": len(job.nodes)}
    if node is not None:
        found["nodeProperties"] |= {"isMainNode": node.index == job.main, "nodeIndex": node.index}
    return found


def record(job: EmulatedJob) -> None:
    """Add the present views of a job and its nodes to its history."""
    views = {job.id: detail(job)}
    if job.is_parallel:
        views |= {f"{job.id}#{node.index}": node_detail(job, node) for node in job.nodes}
    at = time.monotonic()
    job.history = [each for each in job.history if each[0] > at - HISTORY_SECONDS][-MAX_HISTORY:]
    job.history.append((at, copy.deepcopy(views)))


def earlier(job: EmulatedJob, job_id: str, lag: float) -> Json | None:
    """The view of a job or node ``lag`` seconds ago; ``None`` if there was none yet."""
    seen = [views for at, views in job.history if at <= time.monotonic() - lag]
    found: Json | None = seen[-1].get(job_id) if seen else None
    return found


def _common(job: EmulatedJob) -> Json:
    known: Json = {
        "jobArn": job.arn,
        "jobId": job.id,
        "jobName": job.name,
        "status": job.status,
        "statusReason": job.status_reason,
        "createdAt": job.created,
        "startedAt": job.started,
        "stoppedAt": job.stopped,
        "jobDefinition": job.definition.arn,
    }
    if job.is_array:
        counts = {status: 0 for status in STATUSES}
        for child in job.children:
            counts[child.status] += 1
        known["arrayProperties"] = {"size": len(job.children), "statusSummary": counts}
    elif job.index is not None:
        known["arrayProperties"] = {"index": job.index}
    return _without_none(known)


def _attempt(attempt: ContainerAttempt, job: EmulatedJob) -> Json:
    container: Json = {
        "taskArn": attempt.task_arn,
        "containerInstanceArn": _instance(job.region, job.account),
        "exitCode": attempt.exit_code,
        "reason": attempt.reason,
        "logStreamName": attempt.stream,
        "networkInterfaces": [],
    }
    known: Json = {
        "container": _without_none(container),
        "startedAt": attempt.started,
        "stoppedAt": attempt.stopped,
        "statusReason": attempt.status_reason,
        "taskProperties": [],
    }
    return _without_none(known)


def _container(node: EmulatedNode) -> Json:
    found = _specified(node.spec)
    if not node.attempts:
        return found
    last = node.attempts[-1]
    seen = {
        "taskArn": last.task_arn,
        "exitCode": last.exit_code,
        "reason": last.reason,
        "logStreamName": last.stream,
    }
    return found | _without_none(seen)


def _specified(spec: Json) -> Json:
    return {**{name: [] for name in (*EMPTY, "resourceRequirements")}, **spec}


def _node_properties(job: EmulatedJob) -> Json:
    given = job.definition.body["nodeProperties"]
    return {**given, "numNodes": len(job.nodes), "mainNode": job.main}


def _instance(region: str, account: str) -> str:
    return f"arn:aws:ecs:{region}:{account}:container-instance/local/{'0' * 32}"


def _without_none(known: Json) -> Json:
    return {name: value for name, value in known.items() if value is not None}
