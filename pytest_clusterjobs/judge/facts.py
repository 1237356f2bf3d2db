"""Checks the reports of sentinels: whether the job's settings and the reporting rank make them possible."""

from __future__ import annotations

from dataclasses import replace

from ..model import JobSpec
from ..model import NodeState
from ..model import Observation
from ..model import SentinelReport
from ..model import SentinelWord
from ..model.notation import format_duration

TOLERANCE_SECONDS = 2.0
TOLERANCE_SHARE = 0.01
"""How much earlier than its limit a job may end, since clocks differ: seconds, and a share of the limit."""


def own_reports(observation: Observation) -> Observation:
    """The observation, without reports that name a rank other than the one they were found for."""
    if all(node.report is None or node.report.node == node.rank for node in observation.nodes):
        return observation
    nodes = (
        node if node.report is None or node.report.node == node.rank else replace(node, report=None)
        for node in observation.nodes
    )
    return replace(observation, nodes=tuple(nodes))


def never_began(node: NodeState) -> bool:
    """Whether the command of this rank is known not to have begun."""
    return node.begun is False if node.report is None else node.report.begun is False


def contradiction(spec: JobSpec, node: NodeState) -> str:
    """Why the report of a rank cannot be true; empty if it can."""
    report = node.report
    if report is None:
        return ""
    if report.word is SentinelWord.EXITED and report.begun is False:
        return "the sentinel reports that the command ended, and that it never began"
    if report.word is SentinelWord.HEARTBEAT_TIMEOUT:
        return _of_heartbeats(spec, report)
    if report.word is SentinelWord.MAX_RUNTIME_REACHED:
        return _too_early(report, spec.max_runtime)
    return ""


def _of_heartbeats(spec: JobSpec, report: SentinelReport) -> str:
    if spec.heartbeat_timeout is None:
        return f"the sentinel reports {report.word}, and the job has no such limit"
    if report.node != 0:
        return f"the sentinel reports {report.word}, a limit of rank 0 only"
    if report.begun is False:
        return f"the sentinel reports {report.word}, and that the command never began"
    return _too_early(report, spec.heartbeat_timeout)


def _too_early(report: SentinelReport, limit: float) -> str:
    if report.seconds is None or report.seconds >= limit * (1 - TOLERANCE_SHARE) - TOLERANCE_SECONDS:
        return ""
    after = format_duration(report.seconds)
    return f"the sentinel reports {report.word} after {after}, and the limit is {format_duration(limit)}"
