"""From an ended job to its outcome, its verdict and the few log lines that explain it."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import replace

from ..backends import sentinel
from ..backends.protocol import Backend
from ..jobs import Judgement
from ..jobs import LogChunk
from ..jobs import NodeState
from ..jobs import Observation
from ..jobs import Outcome
from ..jobs import Phase
from ..jobs import Verdict
from ..jobs.token import nonce
from ..judge import judge
from ..judge import outcome as judge_outcome
from .extensions import Extensions
from .extensions import NoExtensions
from .job import Job
from .records import Field
from .records import Result
from .redact import redact

REPORT_TAIL = 16_384
"""Bytes of a log's end in which the sentinel's line is looked for."""

EXCERPT_TAIL = 8_192
"""Bytes of a log's end that are kept to explain a cell that did not pass."""

EXCERPT_RANKS = 2


class LogReader:
    """The logs of one job's last start: read once a rank, and never for nothing."""

    def __init__(self, backend: Backend, job: Job) -> None:
        self._backend = backend
        self._job = job
        self._whole: dict[int, LogChunk] = {}
        self.missing = False
        """Whether something that was asked for could not be read, or not to its end."""

    def whole(self, rank: int) -> LogChunk:
        """The complete log of a rank, as complete as the cluster has it."""
        if rank not in self._whole:
            self._whole[rank] = self._read(rank, None)
        return self._whole[rank]

    def tail(self, rank: int, size: int) -> LogChunk:
        """The last ``size`` bytes."""
        if rank in self._whole:
            whole = self._whole[rank]
            return LogChunk(whole.text[-size:], complete=whole.complete)
        return self._read(rank, size)

    def _read(self, rank: int, size: int | None) -> LogChunk:
        if self._job.handle is None:
            return LogChunk("", complete=False)
        pieces: list[str] = []
        cursor = None
        complete = False
        try:
            while True:
                chunk = self._backend.logs(self._job.handle, node=rank, cursor=cursor, tail=size)
                pieces.append(chunk.text)
                complete = chunk.complete
                if size is not None or complete or not chunk.text or chunk.cursor in (None, cursor):
                    break
                cursor = chunk.cursor
        except Exception:
            # Of the cluster's API or of the backend itself: the log cannot be read, and that is said.
            complete = False
        self.missing = self.missing or not complete
        return LogChunk(redact("".join(pieces), self._job.spec.secrets), complete=complete)


def with_reports(observation: Observation, job: Job, logs: LogReader) -> Observation:
    """The observation, with the sentinels' words read from the logs where the backend did not give them."""
    if len(observation.nodes) == job.spec.nodes and all(node.report for node in observation.nodes):
        return observation
    known = {node.rank: node for node in observation.nodes}
    mark = nonce(job.token)
    nodes = []
    for rank in range(job.spec.nodes):
        node = known.get(rank, NodeState(rank))
        if node.report is None:
            node = replace(node, report=sentinel.parse(logs.tail(rank, REPORT_TAIL).text, mark))
        nodes.append(node)
    return replace(observation, nodes=tuple(nodes))


def settled_by_records(job: Job, logs: LogReader) -> Observation | None:
    """For a job that the scheduler no longer knows: its end, if every rank left a record of it."""
    last = job.observation or Observation(Phase.ABSENT)
    found = with_reports(last, job, logs)
    if any(node.report is None for node in found.nodes):
        return None
    return replace(found, phase=Phase.ENDED)


def needs_time(job: Job, observation: Observation, logs: LogReader) -> bool:
    """Whether logs that the verdict depends on may still be on their way."""
    cell = job.registration.cell
    if cell.expect.needs_logs or cell.classify.needs_logs:
        for rank in range(job.spec.nodes):
            logs.whole(rank)
    elif all(node.report is not None for node in observation.nodes):
        return False
    return logs.missing or not observation.log_complete


_ANSWERS = (Verdict.PASSED, Verdict.FAILED)


def finish(
    job: Job, observation: Observation, logs: LogReader | None, extensions: Extensions | None = None
) -> Result:
    """Judge a job that has ended or that this run has given up on."""
    extensions = extensions or NoExtensions()
    cell = job.registration.cell
    whole: Callable[[int], LogChunk] | None = logs.whole if logs is not None else None
    ended = judge_outcome(
        job.spec,
        observation,
        action=job.action,
        classification=cell.classify,
        log=whole,
        submitted=job.submitted,
    )
    judgement = judge(cell.expect, ended, log=whole, nodes=job.spec.nodes)
    if logs is not None and judgement.verdict in _ANSWERS:
        judgement = _checked(judgement, job, ended, logs, extensions)
    result = Result(
        key=job.key,
        outcome=ended,
        judgement=judgement,
        attempt=job.number,
        job_id=job.handle.job_id if job.handle else None,
        url=job.handle.url if job.handle else None,
        logs=_excerpts(job, ended, judgement, logs),
    )
    return replace(result, fields=_redacted(extensions.fields(cell, result), job))


def _checked(
    judgement: Judgement, job: Job, ended: Outcome, logs: LogReader, extensions: Extensions
) -> Judgement:
    """The judgement with what the user's own checks find wrong."""

    def log(rank: int) -> str:
        return logs.whole(rank).text

    misses = tuple(extensions.check(job.registration.cell, ended, log))
    if not misses:
        return judgement
    redacted = tuple(replace(miss, seen=redact(miss.seen, job.spec.secrets)) for miss in misses)
    return replace(judgement, verdict=Verdict.FAILED, misses=(*judgement.misses, *redacted))


def _redacted(fields: Mapping[str, Field], job: Job) -> dict[str, Field]:
    return {
        name: redact(value, job.spec.secrets) if isinstance(value, str) else value
        for name, value in fields.items()
    }


def _excerpts(job: Job, ended: Outcome, judgement: Judgement, logs: LogReader | None) -> dict[int, str]:
    if logs is None or judgement.verdict is Verdict.PASSED:
        return {}
    first = ended.first_failing_node or 0
    ranks = [first, *(rank for rank in range(job.spec.nodes) if rank != first)][:EXCERPT_RANKS]
    texts = {rank: logs.tail(rank, EXCERPT_TAIL).text for rank in ranks}
    return {rank: text for rank, text in texts.items() if text}
