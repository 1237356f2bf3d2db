"""The AWS Batch backend as the engine sees it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from ...model import Handle
from ...model import JobSpec
from ...model import LogChunk
from ...model import Observation
from ...model import Phase
from ...model import Reason
from ...model.token import run_of
from ...model.token import run_prefix
from ..limits import refuse
from ..protocol import BackendContext
from ..protocol import BackendError
from ..protocol import FindAnswer
from ..protocol import Found
from ..protocol import Inspection
from ..protocol import NotSubmitted
from ..protocol import SubmissionRejected
from ..protocol import Unset
from .api import Api
from .checks import problems
from .definitions import Definition
from .inspect import facts
from .inspect import shown
from .job_detail import ENDED
from .job_detail import StreamName
from .links import job_page
from .log_reader import CloudWatchReader
from .log_reader import streams_of
from .lookup import Lookup
from .observe import DescribedJob
from .observe import is_stopping
from .observe import observe
from .observe import RankLog
from .queue_breaker import QueueBreaker
from .request import request
from .settings import AwsBatchSettings
from .settings import capabilities
from .terminate import Terminator

MAX_CONCURRENT_LOG_READS = 8
"""Ended jobs whose logs are read at once."""


class BatchBackend:
    """Jobs of one account and region."""

    def __init__(self, context: BackendContext, settings: AwsBatchSettings) -> None:
        self._context = context
        self._settings = settings
        self._api = Api(settings)
        self._breaker = QueueBreaker(self._api, settings, context.run_dir / context.name / "queues")
        self._lookup = Lookup(self._api)
        self._reader = CloudWatchReader(self._api, settings.log_group, settings.log_settle)
        self._terminator = Terminator(self._api)
        self._submitted: dict[str, Handle] = {}
        self.capabilities = capabilities(settings)

    # Submitting.

    def preview(self, spec: JobSpec, token: str) -> str:
        """See :class:`Previewing`.

        A definition to be registered for ``image`` or ``secrets`` is only described.
        """
        arguments = request(spec, token, settings=self._settings)
        if spec.image is not None or spec.secrets:
            changes = [f"image {spec.image}"] if spec.image is not None else []
            changes += [f"secret {name}" for name in spec.secrets]
            base = arguments["jobDefinition"] or "the site's container"
            arguments["jobDefinition"] = f"({base} with {', '.join(changes)})"
        return json.dumps(arguments, indent=2, ensure_ascii=False)

    def check_selection(self, specs: Sequence[JobSpec]) -> Sequence[str]:
        """See :class:`Checking`. Each queue and definition is described once."""
        return self._breaker.problems(specs)

    def submit(self, spec: JobSpec, token: str) -> Handle:
        """See :class:`Backend`."""
        refuse(spec, self.capabilities, self._context.name)
        if problem := next(iter(problems(spec, self._settings)), None):
            # A matrix has been checked before, but not a job from Python, nor one that a hook has changed.
            # The service might accept such a job and never run it.
            raise SubmissionRejected(
                f"site settings: set {problem}" if isinstance(problem, Unset) else problem
            )

        def send(definition: Definition) -> str:
            return self._api.submit(
                request(
                    spec,
                    token,
                    settings=self._settings,
                    definition=definition.name,
                    targets=definition.targets,
                )
            )

        if token not in self._submitted:
            self._submitted[token] = self._handle(self._breaker.submit(spec, send))
        return self._submitted[token]

    def _handle(self, job_id: str) -> Handle:
        region = self._api.region
        return Handle(job_id, {"region": region}, job_page(self._api.partition, region, job_id))

    # Watching.

    def poll(self, handles: Mapping[str, Handle]) -> Mapping[str, Observation]:
        """See :class:`Backend`."""
        observations: dict[str, Observation] = {}
        for region, by_id in _by_region(handles).items():
            jobs = self._lookup.jobs(by_id, region)
            now = time.time()
            ended = [job for job in jobs.values() if job.detail.is_over and not is_stopping(job, now)]
            logs = self._rank_logs(ended)
            for job_id, token in by_id.items():
                job = jobs.get(job_id)
                if job is None:
                    observations[token] = Observation(Phase.ABSENT)
                    continue
                found = observe(job, logs.get(job_id, {}), now=now)
                observations[token] = replace(found, handle=self._completed(handles[token], job))
        return observations

    def _rank_logs(self, jobs: Sequence[DescribedJob]) -> dict[str, Mapping[int, RankLog]]:
        """What the logs of ended jobs show about their ends, by job id."""
        if not jobs:
            return {}
        with ThreadPoolExecutor(min(MAX_CONCURRENT_LOG_READS, len(jobs))) as pool:
            logs = list(pool.map(self._reader.rank_logs, jobs))
        return {job.detail.job_id: of_job for job, of_job in zip(jobs, logs, strict=True)}

    def _completed(self, handle: Handle, job: DescribedJob) -> Handle | None:
        """The handle with the locations of the logs, for use when AWS Batch no longer knows the job."""
        streams = streams_of(job, self._settings.log_group)
        if not streams or streams == handle.data.get("streams"):
            return None
        return replace(handle, data={**handle.data, "streams": streams})

    def logs(
        self,
        handle: Handle,
        *,
        node: int = 0,
        restart: int | None = None,
        cursor: Any = None,
        tail: int | None = None,
    ) -> LogChunk:
        """See :class:`Backend`.

        A cursor of the last start continues into the next one when the job is restarted.
        """
        job = self._lookup.job(_id(handle), handle.data.get("region", ""))
        if job is None:
            known = handle.data.get("streams", {}).get(str(node))
            if known is None:
                # It was just submitted, or AWS Batch dropped it before a poll saw it run.
                return LogChunk("", cursor)
            return self._reader.read_stream(StreamName(*known), cursor=cursor, tail=tail)
        detail = job.ranks.get(node)
        if detail is None:
            return _without_node(job, node, cursor)
        return self._reader.read(detail, restart=restart, cursor=cursor, tail=tail)

    def inspect(self, job_id: str) -> Inspection | None:
        """See :class:`Inspecting`. A node of a multi-node job is ``JOB#2``, a job of an array ``JOB:2``."""
        job = self._lookup.job(job_id, "")
        if job is None:
            return None
        handle = self._handle(job_id)
        streams = streams_of(job, self._settings.log_group)
        observation = observe(job, self._reader.rank_logs(job) if job.detail.is_over else {})
        if job.detail.status == "FAILED" and observation.reason_hint is None and not observation.exit_code:
            # For example an array, where only the child jobs have exit codes.
            observation = replace(observation, reason_hint=Reason.UNKNOWN)
        return Inspection(
            handle=replace(handle, data={**handle.data, "streams": streams}),
            observation=observation,
            facts=tuple(facts(job, self._reader, handle.url)),
            raw=shown(job),
        )

    # Ending.

    def cancel(self, handles: Mapping[str, Handle]) -> None:
        """See :class:`Backend`."""
        reason = f"cancelled by pytest-clusterjobs, run {self._context.run_id}"
        for region, by_id in _by_region(handles).items():
            self._terminator.terminate(list(by_id), region, reason)

    # Finding.

    def find(self, token: str) -> FindAnswer:
        """See :class:`Backend`. If a token has several jobs, the younger ones are terminated."""
        jobs = sorted(
            (each for each in self._listed(token) if each["jobName"] == token),
            key=lambda each: (each.get("createdAt", 0), each["jobId"]),
        )
        if not jobs:
            return NotSubmitted()
        first, *duplicates = (str(each["jobId"]) for each in jobs)
        if duplicates:
            self._terminator.terminate(duplicates, "", f"duplicate of {first}")
        return Found(self._submitted.setdefault(token, self._handle(first)))

    def sweep(self, run_id: str) -> Mapping[str, Handle]:
        """See :class:`Backend`."""
        live = (each for each in self._listed(f"{run_prefix(run_id)}*") if each.get("status") not in ENDED)
        return {
            each["jobName"]: self._handle(each["jobId"]) for each in live if run_of(each["jobName"]) == run_id
        }

    def _listed(self, name: str) -> Iterable[Mapping[str, Any]]:
        """The jobs with a name, or with a name prefix, in all queues of the run. Raises BackendError."""
        for queue in self._breaker.queues():
            yield from self._api.pages(
                "list_jobs",
                "jobSummaryList",
                jobQueue=queue,
                filters=[{"name": "JOB_NAME", "values": [name]}],
            )

    def close(self) -> None:
        """See :class:`Backend`."""
        self._api.close()


def _without_node(job: DescribedJob, node: int, cursor: Any) -> LogChunk:
    """The log of a rank that AWS Batch does not describe.

    The job has no such rank, the rank has not started, or the credentials do not allow to see it.
    """
    exists = node < job.detail.nodes and job.detail.started is not None
    if exists and job.detail.is_over:
        return LogChunk("", cursor, gap=f"AWS Batch does not describe node {node}")
    return LogChunk("", cursor, job.detail.is_over)


def _by_region(handles: Mapping[str, Handle]) -> dict[str, dict[str, str]]:
    """Tokens by id, by region: a handle may come from an environment with another region."""
    found: dict[str, dict[str, str]] = {}
    for token, handle in handles.items():
        if handle.job_id is not None:
            found.setdefault(handle.data.get("region", ""), {})[handle.job_id] = token
    return found


def _id(handle: Handle) -> str:
    if handle.job_id is None:
        raise BackendError("the job has no id yet")
    return handle.job_id
