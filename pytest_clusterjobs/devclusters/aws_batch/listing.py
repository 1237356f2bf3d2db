"""ListJobs: selection, order and pages."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from . import views
from .errors import BadRequest
from .model import EmulatedJob
from .model import EmulatedNode
from .model import Json

if TYPE_CHECKING:
    from .service import Service

SCOPES = ("jobQueue", "arrayJobId", "multiNodeJobId")
MAX_RESULTS, MAX_FILTERED_RESULTS = 1000, 100
Entry = tuple[EmulatedJob, EmulatedNode | None]


def listed(service: Service, request: Json) -> Json:
    """The response to a request. Raises BadRequest."""
    given = [each for each in SCOPES if request.get(each)]
    if len(given) != 1:
        raise BadRequest(f"Exactly one of {', '.join(SCOPES)} must be given")
    filters = request.get("filters") or []
    entries = _entries(service, given[0], request[given[0]])
    if filters:
        entries = [each for each in entries if _filter(filters)(each[0])]
    if not filters or filters[0]["name"] == "SHARE_IDENTIFIER":
        # Without a status, only running jobs are listed.
        status = request.get("jobStatus") or "RUNNING"
        entries = [each for each in entries if _status(each) == status]
    size = min(request.get("maxResults") or MAX_RESULTS, MAX_FILTERED_RESULTS if filters else MAX_RESULTS)
    start = _position(request.get("nextToken"))
    page = entries[start : start + size]
    rest = {"nextToken": f"after-{start + size}"} if len(entries) > start + size else {}
    return {"jobSummaryList": [views.summary(*each) for each in page], **rest}


def _entries(service: Service, where: str, name: str) -> list[Entry]:
    """The jobs of a queue, newest first, or the parts of one job."""
    if where == "jobQueue":
        queue = name.rsplit("/", 1)[-1]
        found = [job for job in service.jobs.values() if job.queue == queue and _is_visible(service, job)]
        return [(job, None) for job in reversed(found)]
    found_job = service.find(name)
    if found_job is None:
        return []
    job = found_job[0]
    if where == "arrayJobId":
        return [(child, None) for child in job.children]
    return [(job, node) for node in job.nodes] if job.is_parallel else []


def _is_visible(service: Service, job: EmulatedJob) -> bool:
    lag = service.rules(job).lag
    return not lag or any(at <= time.monotonic() - lag for at, _ in job.history)


def _status(entry: Entry) -> str:
    job, node = entry
    return (node.status if node is not None else None) or job.status


def _position(token: str | None) -> int:
    if token is None:
        return 0
    if not re.fullmatch(r"after-\d+", token):
        raise BadRequest("Invalid nextToken")
    return int(token[6:])


def _filter(filters: list[Json]) -> Callable[[EmulatedJob], bool]:
    if len(filters) != 1:
        raise BadRequest("Only one filter can be used at a time")
    name, values = str(filters[0].get("name")), [str(each) for each in filters[0].get("values", ())]
    if not values:
        raise BadRequest(f"Filter {name} needs values")
    tests: dict[str, Callable[[EmulatedJob], bool]] = {
        "JOB_NAME": lambda job: any(_matches(each.lower(), job.name.lower()) for each in values),
        "JOB_DEFINITION": lambda job: any(_is_of(job, each) for each in values),
        "BEFORE_CREATED_AT": lambda job: job.created < int(values[0]),
        "AFTER_CREATED_AT": lambda job: job.created > int(values[0]),
        "SHARE_IDENTIFIER": lambda job: any(
            _matches(each, job.request.get("shareIdentifier", "")) for each in values
        ),
    }
    if name not in tests:
        raise BadRequest(f"Filter {name} is not known")
    return tests[name]


def _matches(pattern: str, text: str) -> bool:
    return text.startswith(pattern[:-1]) if pattern.endswith("*") else text == pattern


def _is_of(job: EmulatedJob, pattern: str) -> bool:
    about = job.definition
    return _matches(pattern, about.arn) or pattern in (about.name, f"{about.name}:{about.revision}")
