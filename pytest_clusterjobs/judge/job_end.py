"""How the ranks of a job ended, and what that means for the job."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from ..model import JobSpec
from ..model import LIMITS
from ..model import NodeState
from ..model import Observation
from ..model import Reason
from ..model import SentinelWord
from ..model import Source
from ..model.text import quoted_output
from .facts import contradiction

_TERM = 128 + signal.SIGTERM
_KILL = 128 + signal.SIGKILL


@dataclass(frozen=True, slots=True)
class JobEnd:
    """A reason, its source, and the exit code that goes with it."""

    reason: str
    source: Source
    detail: str
    code: int | None = None
    """The exit code of the command, or of the step that failed before it."""
    rank: int | None = None
    """The rank that decided."""
    is_silent: bool = False
    """Whether a rank has no valid report, which the job's own output cannot replace."""


@dataclass(frozen=True, slots=True)
class _Failure:
    """One rank that failed by itself."""

    node: NodeState
    code: int | None
    source: Source
    detail: str

    @property
    def may_be_consequence(self) -> bool:
        """Whether the failure may also be the effect of a stop from outside."""
        return self.code == _TERM


def reason_for_code(code: int) -> Reason:
    """The reason for an exit code other than 0; 137 means a signal, never memory."""
    return Reason.KILLED_BY_SIGNAL if 129 <= code <= 192 else Reason.JOB_FAILED


def exit_code_text(code: int) -> str:
    """An exit code in a message: ``exit code 3``, ``signal SIGKILL (exit code 137)``."""
    if not 129 <= code <= 192:
        return f"exit code {code}"
    try:
        name = signal.Signals(code - 128).name
    except ValueError:
        name = str(code - 128)
    return f"signal {name} (exit code {code})"


def limit_end(
    spec: JobSpec, nodes: Sequence[NodeState], *, stopped_by_this_run: bool = False
) -> JobEnd | None:
    """The end of a job in which a sentinel reports a limit or a stop from outside; ``None`` for others.

    A report that cannot be true is ``unknown``. A rank whose command never began is ``start_failed``,
    whatever the others report, unless an earlier failure of another rank explains it. A limit on any rank
    counts, the earliest first. A stop that an earlier failure of another rank explains (its peers are stopped
    then), or the cluster's own stop of the other ranks, is not an end of its own.

    Any other stop is ``unknown``. Neither this run nor the scheduler has a record of the TERM, so it may have
    come from a person, a reclaimed machine or a limit of the site. None of these may be attributed to the
    product, nor reported as cancelled.
    """
    for node in nodes:
        if wrong := contradiction(spec, node):
            return JobEnd(Reason.UNKNOWN, Source.NONE, f"rank {node.rank}: {wrong}", rank=node.rank)
    unbegun = [node for node in nodes if _did_not_start(node) and not _explained(node, nodes)]
    if unbegun:
        return _not_started(_earliest(unbegun))
    limits = [node for node in nodes if node.report is not None and node.report.word in LIMITS]
    if limits:
        return _limit(_earliest(limits), nodes)
    stopped = [node for node in nodes if _word(node) is SentinelWord.STOPPED and not _explained(node, nodes)]
    if stopped_by_this_run or not stopped:
        return None
    rank = _earliest(stopped).rank
    detail = f"stopped from outside (rank {rank}); neither this run nor the scheduler reports the cause"
    return JobEnd(Reason.UNKNOWN, Source.SENTINEL_LIMIT, detail, rank=rank)


def command_end(nodes_wanted: int, observation: Observation) -> JobEnd:
    """How the commands themselves ended, on ``nodes_wanted`` ranks.

    The first failing rank decides. Only the report of a sentinel makes a code the command's own. A cluster
    that shows a code without a report may have run something else (an image's ENTRYPOINT that swallows the
    command), or have seen the sentinel die, so such an end is ``unknown``. So is an end at which every
    sentinel reports 0 and the cluster saw another code.
    """
    first = first_failure(observation.nodes)
    if first is not None:
        return first
    silent, left_over = _not_ended_with_zero(nodes_wanted, observation.nodes)
    if silent:
        return JobEnd(Reason.UNKNOWN, Source.NONE, _silence(silent, observation), is_silent=True)
    if (against := _against_zero(observation)) is not None:
        return JobEnd(Reason.UNKNOWN, Source.EXIT_CODE, against, is_silent=True)
    if observation.reason_hint is Reason.UNKNOWN:
        text = ": ".join(filter(None, [observation.native_state, observation.native_reason]))
        detail = (
            f"every rank ended with 0, but the scheduler reports that it failed: {quoted_output(text, 200)}"
        )
        return JobEnd(Reason.UNKNOWN, Source.SCHEDULER, detail)
    return JobEnd(Reason.JOB_COMPLETED, Source.SENTINEL, _completed(nodes_wanted, left_over), code=0)


def first_failure(nodes: Iterable[NodeState]) -> JobEnd | None:
    """The end of the rank that failed first; the failures of the others are its consequences.

    If the cluster does not time each end, a rank that failed by itself comes before one that may have
    been stopped, and then the seconds count that each sentinel has measured.
    """
    failures = [failure for node in nodes if (failure := _failure(node)) is not None]
    if not failures:
        return None
    timed = all(failure.node.ended is not None for failure in failures)
    first = min(
        failures,
        key=lambda f: (
            f.node.ended if timed and f.node.ended is not None else 0.0,
            f.may_be_consequence,
            _seconds(f.node),
            f.node.rank,
        ),
    )
    reason = (
        Reason.START_FAILED
        if _word(first.node) is SentinelWord.START_FAILED
        else reason_for_code(first.code or 1)
    )
    return JobEnd(reason, first.source, first.detail, first.code, first.node.rank)


def failed_without_report(nodes: Iterable[NodeState]) -> int | None:
    """The rank that ended first with a code other than 0 and no report, for example one killed for memory."""
    bad = [node for node in nodes if node.report is None and node.exit_code and not node.stopped_by_cluster]
    return _earliest(bad).rank if bad else None


def _failure(node: NodeState) -> _Failure | None:
    report = node.report
    if report is not None and report.word is SentinelWord.START_FAILED:
        code = report.exit_code
        text = "" if code is None else f", {exit_code_text(code)}"
        what = quoted_output(report.note) if report.note else "setup or shell failed"
        return _Failure(node, code, Source.SENTINEL, f"rank {node.rank}: {what}{text}")
    if report is not None and report.word is not SentinelWord.EXITED:
        return None
    return None if report is None or not report.exit_code else _own_failure(node, report.exit_code)


def _own_failure(node: NodeState, code: int) -> _Failure | None:
    if node.stopped_by_cluster and code in {_TERM, _KILL}:
        return None
    return _Failure(
        node, code, Source.SENTINEL, f"rank {node.rank}: the command ended with {exit_code_text(code)}"
    )


def _limit(node: NodeState, nodes: Sequence[NodeState]) -> JobEnd:
    assert node.report is not None
    reason = LIMITS[node.report.word]
    detail = f"rank {node.rank}: the sentinel reports {node.report.word}"
    if node.report.begun is False and reason is not Reason.QUEUE_TIMEOUT:
        reason = Reason.START_FAILED
        detail += ", before the command began"
    failure = first_failure(nodes)
    if failure is not None and failure.rank != node.rank:
        detail += f"; {failure.detail}"
    return JobEnd(reason, Source.SENTINEL_LIMIT, detail, rank=node.rank)


def _explained(stopped: NodeState, nodes: Sequence[NodeState]) -> bool:
    if stopped.stopped_by_cluster:
        return True
    failures = [failure for node in nodes if (failure := _failure(node)) is not None]
    return any(not failure.may_be_consequence and _not_after(failure.node, stopped) for failure in failures)


def _not_after(node: NodeState, other: NodeState) -> bool:
    return node.ended is None or other.ended is None or node.ended <= other.ended


def _earliest(nodes: Sequence[NodeState]) -> NodeState:
    return min(nodes, key=lambda node: (inf if node.ended is None else node.ended, _seconds(node), node.rank))


def _seconds(node: NodeState) -> float:
    """How long a rank ran, by its sentinel: the ranks of one start begin at about the same time."""
    return inf if node.report is None or node.report.seconds is None else node.report.seconds


def _word(node: NodeState | None) -> SentinelWord | None:
    return None if node is None or node.report is None else node.report.word


def _ended_with_zero(node: NodeState | None) -> bool:
    return (
        node is not None
        and node.report is not None
        and node.report.exit_code == 0
        and _word(node) is SentinelWord.EXITED
    )


def _not_ended_with_zero(nodes_wanted: int, nodes: Sequence[NodeState]) -> tuple[list[int], list[int]]:
    """Ranks without a 0: unexplained ones, and those that the cluster stopped after a clean main node."""
    by_rank = {node.rank: node for node in nodes}
    without = [rank for rank in range(nodes_wanted) if not _ended_with_zero(by_rank.get(rank))]
    main_is_clean = _ended_with_zero(by_rank.get(0))
    left_over = [
        rank for rank in without if main_is_clean and rank in by_rank and by_rank[rank].stopped_by_cluster
    ]
    return [rank for rank in without if rank not in left_over], left_over


def _did_not_start(node: NodeState) -> bool:
    return node.report is None and node.begun is False and not node.stopped_by_cluster


def _not_started(node: NodeState) -> JobEnd:
    detail = f"rank {node.rank}: its log has no record that the command began"
    if node.exit_code is None:
        return JobEnd(Reason.START_FAILED, Source.SENTINEL, detail, rank=node.rank)
    detail += f"; the cluster saw {exit_code_text(node.exit_code)}"
    return JobEnd(Reason.START_FAILED, Source.EXIT_CODE, detail, node.exit_code, node.rank)


def _against_zero(observation: Observation) -> str | None:
    """The code other than 0 that the cluster saw where every sentinel reports 0.

    A stop after a clean main node does not count.
    """
    for node in observation.nodes:
        if node.exit_code and not (node.stopped_by_cluster and node.exit_code in {_TERM, _KILL}):
            return f"rank {node.rank}: the sentinel reports 0, but the cluster saw {exit_code_text(node.exit_code)}"
    if observation.exit_code and not _came_from_a_stop(observation):
        return f"every sentinel reports 0, but the cluster saw {exit_code_text(observation.exit_code)} of the job"
    return None


def _came_from_a_stop(observation: Observation) -> bool:
    """Whether the job's code only shows that the job was stopped, as a rank's sentinel noticed."""
    return observation.exit_code in {_TERM, _KILL} and any(
        _word(node) is SentinelWord.STOPPED for node in observation.nodes
    )


def _silence(silent: Sequence[int], observation: Observation) -> str:
    text = f"no report from rank {_ranks(silent)} on how its command ended"
    nodes = [node for node in observation.nodes if node.rank in silent]
    causes = dict.fromkeys(node.unread for node in nodes if node.unread)
    if causes:
        text += f": {'; '.join(causes)}"
    elif any(node.begun for node in nodes):
        text += ", after it had begun"
    code = next((node.exit_code for node in nodes if node.exit_code is not None), observation.exit_code)
    if code is not None:
        text += f"; the cluster saw {exit_code_text(code)}"
    if code == 0 and not causes and not any(node.begun for node in nodes):
        text += ", but the command may never have run (an image's ENTRYPOINT?)"
    return text


def _completed(nodes_wanted: int, left_over: Sequence[int]) -> str:
    if not left_over:
        return "exit code 0" if nodes_wanted == 1 else f"exit code 0 from all {nodes_wanted} ranks"
    return f"exit code 0; the cluster stopped rank {_ranks(left_over)} when the main node had ended"


def _ranks(ranks: Sequence[int]) -> str:
    shown = ", ".join(map(str, ranks[:8]))
    return shown if len(ranks) <= 8 else f"{shown} and {len(ranks) - 8} more"
