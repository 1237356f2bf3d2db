"""Querying AWS Batch about jobs: a hundred ids a call, nodes only where they matter, ends only once."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence

from ...model.batches import batched
from .api import Api
from .detail import Detail
from .detail import SEPARATOR
from .observe import DescribedJob
from .settings import IDS

KEPT = 2000
"""Ended jobs that are kept; each takes some kilobytes."""

_WITH_NODES = frozenset({"RUNNING", "SUCCEEDED", "FAILED"})


class Lookup:
    """What AWS Batch shows of jobs. Ended jobs are cached, since they do not change."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._over: dict[str, DescribedJob] = {}

    def jobs(self, ids: Iterable[str], region: str) -> dict[str, DescribedJob]:
        """The jobs that AWS Batch knows, by id, and the nodes of multi-node jobs. Raises BackendError."""
        wanted = list(dict.fromkeys(ids))
        asked = [each for each in wanted if each not in self._over]
        details = self._details(asked, region)
        nodes = self._details(_node_ids(details.values()), region)
        found = {each: self._over[each] for each in wanted if each in self._over}
        for job_id, detail in details.items():
            found[job_id] = DescribedJob(detail, _nodes_of(detail, nodes))
            self._keep(found[job_id])
        return found

    def _keep(self, job: DescribedJob) -> None:
        nodes = job.detail.nodes if job.detail.is_multinode else 0
        if not job.detail.is_over or len(job.nodes) < nodes or not all(n.is_over for n in job.nodes.values()):
            return
        self._over[job.detail.job_id] = job
        while len(self._over) > KEPT:
            self._over.pop(next(iter(self._over)), None)

    def job(self, job_id: str, region: str) -> DescribedJob | None:
        """One job; ``None`` if AWS Batch does not know it (yet, or any more). Raises BackendError."""
        return self.jobs([job_id], region).get(job_id)

    def _details(self, ids: Sequence[str], region: str) -> dict[str, Detail]:
        found: dict[str, Detail] = {}
        for batch in batched(ids, IDS):
            answer = self._api.batch("describe_jobs", region, jobs=list(batch))
            found.update((raw["jobId"], Detail(raw)) for raw in answer.get("jobs", ()))
        return found


def _node_ids(details: Iterable[Detail]) -> list[str]:
    return [
        f"{detail.job_id}{SEPARATOR}{rank}"
        for detail in details
        if detail.is_multinode and detail.status in _WITH_NODES
        for rank in range(detail.nodes)
    ]


def _nodes_of(detail: Detail, nodes: Mapping[str, Detail]) -> dict[int, Detail]:
    known = ((rank, nodes.get(f"{detail.job_id}{SEPARATOR}{rank}")) for rank in range(detail.nodes))
    return {rank: node for rank, node in known if node is not None}
