"""Calls DescribeJobs: a hundred ids a call, nodes only where they matter, ended jobs only once."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence

from ...model.batches import batched
from .api import Api
from .job_detail import JobDetail
from .job_detail import NODE_SEPARATOR
from .observe import DescribedJob
from .settings import MAX_IDS_PER_CALL

MAX_CACHED_JOBS = 2000
"""Ended jobs; each takes some kilobytes."""

_STATUSES_WITH_NODES = frozenset({"RUNNING", "SUCCEEDED", "FAILED"})


class Lookup:
    """Describes jobs. Ended jobs are cached, since they do not change."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._ended: dict[str, DescribedJob] = {}

    def jobs(self, ids: Iterable[str], region: str) -> dict[str, DescribedJob]:
        """The jobs that AWS Batch knows, by id, with the nodes of multi-node jobs. Raises BackendError."""
        wanted = list(dict.fromkeys(ids))
        found = {job_id: self._ended[job_id] for job_id in wanted if job_id in self._ended}
        details = self._details([job_id for job_id in wanted if job_id not in found], region)
        nodes = self._details(_node_ids(details.values()), region)
        for job_id, detail in details.items():
            found[job_id] = DescribedJob(detail, _nodes_of(detail, nodes))
            self._cache(found[job_id])
        return found

    def job(self, job_id: str, region: str) -> DescribedJob | None:
        """One job; ``None`` if AWS Batch does not know it (yet, or any more). Raises BackendError."""
        return self.jobs([job_id], region).get(job_id)

    def _cache(self, job: DescribedJob) -> None:
        nodes = job.detail.nodes if job.detail.is_multinode else 0
        if not job.detail.is_over or len(job.nodes) < nodes or not all(n.is_over for n in job.nodes.values()):
            return
        self._ended[job.detail.job_id] = job
        while len(self._ended) > MAX_CACHED_JOBS:
            self._ended.pop(next(iter(self._ended)), None)

    def _details(self, ids: Sequence[str], region: str) -> dict[str, JobDetail]:
        found: dict[str, JobDetail] = {}
        for batch in batched(ids, MAX_IDS_PER_CALL):
            response = self._api.batch("describe_jobs", region, jobs=list(batch))
            found.update((raw["jobId"], JobDetail(raw)) for raw in response.get("jobs", ()))
        return found


def _node_ids(details: Iterable[JobDetail]) -> list[str]:
    return [
        f"{detail.job_id}{NODE_SEPARATOR}{rank}"
        for detail in details
        if detail.is_multinode and detail.status in _STATUSES_WITH_NODES
        for rank in range(detail.nodes)
    ]


def _nodes_of(detail: JobDetail, nodes: Mapping[str, JobDetail]) -> dict[int, JobDetail]:
    known = ((rank, nodes.get(f"{detail.job_id}{NODE_SEPARATOR}{rank}")) for rank in range(detail.nodes))
    return {rank: node for rank, node in known if node is not None}
