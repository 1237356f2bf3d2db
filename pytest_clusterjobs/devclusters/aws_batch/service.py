"""The operations of AWS Batch on jobs and job definitions, for one account and region."""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Iterator

from . import checks
from . import definitions
from . import texts
from . import views
from .errors import BadRequest
from .listing import listed
from .model import EmulatedJob
from .model import EmulatedNode
from .model import Json
from .model import new_id
from .model import RegisteredDefinition
from .model import Rules
from .scheduler import EmulatedScheduler

ID = re.compile(r"([0-9a-f-]{36})(?:([:#])(\d+))?")
Operation = Callable[[Json, int], Json]


class Service:
    """The jobs and definitions of one account and region."""

    def __init__(
        self, account: str, region: str, scheduler: EmulatedScheduler, queue_arn: Callable[[str], str | None]
    ) -> None:
        """``queue_arn`` finds an enabled queue by name or ARN, and raises BadRequest for a disabled one."""
        self.account = account
        self.region = region
        self.jobs: dict[str, EmulatedJob] = {}
        self._scheduler = scheduler
        self._queue_arn = queue_arn
        self.definitions = definitions.DefinitionStore(f"{self._prefix}job-definition/")

    @property
    def _prefix(self) -> str:
        return f"arn:aws:batch:{self.region}:{self.account}:"

    def operation(self, name: str) -> Operation | None:
        """The operation of a path such as ``submitjob``; ``None`` if moto carries it out."""
        return {
            "submitjob": self.submit,
            "describejobs": self.describe,
            "listjobs": self.list,
            "canceljob": self.cancel,
            "terminatejob": self.terminate,
            "canceljobs": self.cancel_several,
            "terminatejobs": self.terminate_several,
            "registerjobdefinition": self.register,
            "deregisterjobdefinition": self.deregister,
            "describejobdefinitions": self.describe_definitions,
        }.get(name)

    def submit(self, request: Json, size: int) -> Json:
        """SubmitJob."""
        checks.submission(request, size)
        queue = str(request.get("jobQueue", ""))
        queue_arn = self._queue_arn(queue)
        if queue_arn is None:
            raise BadRequest(f"JobQueue {queue} not found.")
        definition = self.definitions.active(str(request.get("jobDefinition", "")))
        with self._scheduler.lock:
            job = self._make(request, definition, queue_arn)
            self._depend(job)
            self.jobs[job.id] = job
            self._scheduler.admit(job)
            if definitions.overrides_size(request) > checks.MAX_OVERRIDES_CHARACTERS:
                self._scheduler.fail(job, texts.OVERRIDES_TOO_LONG)
        return {"jobArn": job.arn, "jobName": job.name, "jobId": job.id}

    def describe(self, request: Json, size: int) -> Json:
        """DescribeJobs; unknown ids are missing from the response."""
        found = (self._view(each) for each in checks.ids(request.get("jobs")))
        with self._scheduler.lock:
            return {"jobs": [each for each in found if each is not None]}

    def list(self, request: Json, size: int) -> Json:
        """ListJobs."""
        with self._scheduler.lock:
            return listed(self, request)

    def cancel(self, request: Json, size: int) -> Json:
        """CancelJob; an unknown job is not an error."""
        return self._single(self._scheduler.cancel, request)

    def terminate(self, request: Json, size: int) -> Json:
        """TerminateJob; an unknown job is not an error."""
        return self._single(self._scheduler.terminate, request)

    def cancel_several(self, request: Json, size: int) -> Json:
        """CancelJobs."""
        return self._bulk(self._scheduler.cancel, request)

    def terminate_several(self, request: Json, size: int) -> Json:
        """TerminateJobs."""
        return self._bulk(self._scheduler.terminate, request)

    def register(self, request: Json, size: int) -> Json:
        """RegisterJobDefinition."""
        with self._scheduler.lock:
            made = self.definitions.register(request, size)
        return {"jobDefinitionName": made.name, "jobDefinitionArn": made.arn, "revision": made.revision}

    def deregister(self, request: Json, size: int) -> Json:
        """DeregisterJobDefinition."""
        found = self.definitions.find(str(request.get("jobDefinition", "")))
        if found is not None:
            found.status = "INACTIVE"
        return {}

    def describe_definitions(self, request: Json, size: int) -> Json:
        """DescribeJobDefinitions."""
        with self._scheduler.lock:
            found = self.definitions.all()
        if "jobDefinitions" in request:
            named = [self.definitions.find(each) for each in request["jobDefinitions"]]
            wanted = [each.arn for each in named if each is not None]
            found = [each for each in found if each.arn in wanted]
        if "jobDefinitionName" in request:
            found = [each for each in found if each.name == request["jobDefinitionName"]]
        if "status" in request:
            found = [each for each in found if each.status == request["status"]]
        start, size = int(request.get("nextToken") or 0), request.get("maxResults", 100)
        page = [views.definition(each) for each in found[start : start + size]]
        rest = {"nextToken": str(start + size)} if len(found) > start + size else {}
        return {"jobDefinitions": page, **rest}

    def tags(self, arn: str) -> dict[str, str] | None:
        """The tags of a job or definition, as a mapping that can be changed; ``None`` if it is unknown."""
        if "job-definition/" in arn:
            found = self.definitions.find(arn)
            return None if found is None else found.tags
        job = self.find(arn)
        if job is None:
            return None
        tags: dict[str, str] = job[0].request.setdefault("tags", {})
        return tags

    def rules(self, job: EmulatedJob) -> Rules:
        """The rules of a job's queue."""
        return self._scheduler.compute.rules(job)

    def find(self, job_id: str) -> tuple[EmulatedJob, EmulatedNode | None] | None:
        """Find a job, an array's child (``id:N``), or a node (``id#N``) with its job."""
        match = ID.fullmatch(job_id.rsplit("job/", 1)[-1])
        job = self.jobs.get(match[1]) if match else None
        if match is None or job is None or match[2] is None:
            return None if job is None else (job, None)
        index = int(match[3])
        if match[2] == ":":
            return (job.children[index], None) if index < len(job.children) else None
        return (job, job.nodes[index]) if job.is_parallel and index < len(job.nodes) else None

    def _view(self, job_id: str) -> Json | None:
        found = self.find(job_id)
        if found is None:
            return None
        job, node = found
        if lag := self.rules(job).lag:
            return views.earlier(job, job_id, lag)
        return views.detail(job) if node is None else views.node_detail(job, node)

    def _single(self, call: Callable[[EmulatedJob, str], None], request: Json) -> Json:
        reason = checks.reason(request.get("reason"))
        if not request.get("jobId"):
            raise BadRequest("jobId can not be empty")
        self._end(str(request["jobId"]), call, reason)
        return {}

    def _bulk(self, call: Callable[[EmulatedJob, str], None], request: Json) -> Json:
        ids, reason = checks.bulk(request.get("jobs")), checks.reason(request.get("reason"))
        good = [each for each in ids if ID.fullmatch(each)]
        for each in good:
            self._end(each, call, reason)
        bad = [{"job": each, "code": "ValidationException", "message": "Invalid job id"} for each in ids]
        return {"successful": good, "errors": [each for each in bad if each["job"] not in good]}

    def _end(self, job_id: str, call: Callable[[EmulatedJob, str], None], reason: str) -> None:
        found = self.find(job_id)
        if found is not None and found[1] is None:
            call(found[0], reason)

    def _make(self, request: Json, definition: RegisteredDefinition, queue_arn: str) -> EmulatedJob:
        body = definition.body
        timeout = {**body.get("timeout", {}), **request.get("timeout", {})}.get("attemptDurationSeconds")
        job_id = new_id()

        def make(index: int | None, parent: EmulatedJob | None) -> EmulatedJob:
            own_id = job_id if index is None else f"{job_id}:{index}"
            nodes, main = definitions.nodes(definition, request)
            return EmulatedJob(
                id=own_id,
                arn=f"{self._prefix}job/{own_id}",
                name=request["jobName"],
                account=self.account,
                region=self.region,
                queue=queue_arn.rsplit("/", 1)[1],
                queue_arn=queue_arn,
                definition=definition,
                request=request,
                nodes=nodes,
                main=main,
                timeout=timeout,
                retry=request.get("retryStrategy") or body.get("retryStrategy", {}),
                parent=parent,
                index=index,
            )

        job = make(None, None)
        if "arrayProperties" in request:
            if job.is_parallel:
                raise BadRequest("Multi-node parallel jobs can not be array jobs")
            job.children = [make(index, job) for index in range(request["arrayProperties"]["size"])]
            job.children_left = len(job.children)
            job.nodes = []
        return job

    def _depend(self, job: EmulatedJob) -> None:
        """Resolve ``dependsOn``. Raises BadRequest."""
        for each in job.request.get("dependsOn", ()):
            kind = each.get("type")
            if kind == "SEQUENTIAL" and "jobId" not in each:
                for before, after in zip(job.children, job.children[1:], strict=False):
                    after.waits_for.append(before)
                continue
            found = self.find(str(each.get("jobId")))
            if found is None or found[1] is not None:
                raise BadRequest(f"Job {each.get('jobId')} not found.")
            for waiting, awaited in _pairs(job, found[0], kind == "N_TO_N"):
                waiting.waits_for.append(awaited)


def _pairs(
    job: EmulatedJob, other: EmulatedJob, one_to_one: bool
) -> Iterator[tuple[EmulatedJob, EmulatedJob]]:
    """Pairs of a job that waits, and the job that it waits for."""
    if not one_to_one:
        yield from ((waiter, other) for waiter in (job.children or [job]))
        return
    if len(job.children) != len(other.children) or not job.children:
        raise BadRequest("N_TO_N dependencies need two array jobs of the same size")
    yield from zip(job.children, other.children, strict=True)
