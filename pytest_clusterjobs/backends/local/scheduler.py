"""The runner's jobs: a queue, slots, the ends of nodes, restarts and stops."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

from ...model import SentinelReport
from ...model import SentinelWord
from ...model.paths import legible
from ...model.paths import utf8
from .. import sentinel
from ..environment import node_variables
from ..rank_report import read_report
from . import processes
from .alarms import Alarms
from .clock import SteadyClock
from .journal import Journal
from .leftovers import Leftovers
from .ports import Ports
from .records import apply
from .records import CANCELLED
from .records import ENDED
from .records import Event
from .records import JobRecord
from .records import packed
from .runner_paths import RunnerPaths

FOLLOW_GRACE_SECONDS = 10.0
"""Seconds that the other nodes have to end by themselves after the main node ended cleanly."""
STOP_MARGIN_SECONDS = 2.0
"""Seconds on top of the grace period before a sentinel that has received TERM is killed itself."""


@dataclass(slots=True, eq=False)
class ScheduledJob:
    """A job that has not ended, with data that the journal must not contain."""

    record: JobRecord
    argv: list[str]
    env: dict[str, str]
    grace: float
    max_restarts: int
    port: int = 0
    live: dict[int, int] = field(default_factory=dict)
    """Pids of running sentinels, to their rank."""
    failed: int | None = None
    """The first rank of this start that failed."""
    stopping: bool = False
    dismissed: frozenset[int] = frozenset()
    """Ranks that received TERM because the main node had ended."""
    sweeping: bool = False


class LocalScheduler:
    """All jobs of one runner.

    ``watch(token, pid)`` must lead to ``node_ended`` in the order of ends; ``announce_grace`` is
    called with every grace period, in seconds.
    """

    def __init__(
        self,
        paths: RunnerPaths,
        records: dict[str, JobRecord],
        journal: Journal,
        *,
        slots: int,
        environ: dict[str, str],
        watch: Callable[[str, int], None],
        announce_grace: Callable[[float], None],
    ) -> None:
        self.records = records
        self.jobs: dict[str, ScheduledJob] = {}
        self.changed: set[str] = set()
        self.own: set[int] = set()
        """Children of this process that do not belong to a job."""
        self._paths = paths
        self._journal = journal
        self._environ = environ
        self._watch = watch
        self._announce_grace = announce_grace
        self._free = self.slots = slots
        self._queue: deque[ScheduledJob] = deque()
        self._ports = Ports()
        self._clock = SteadyClock()
        self.alarms = Alarms()
        self._leftovers = Leftovers(paths.tag, self.jobs, self.own, self.alarms)
        processes.become_subreaper()

    # Requests of clients

    def submit(self, message: dict[str, Any]) -> JobRecord:
        """Accept a job, or find the one that already has its token."""
        token = message["token"]
        if token not in self.records:
            parts = [message[key] for key in _JOB_KEYS]
            self._note("submit", token, name=message["name"], nodes=message["nodes"])
            job = ScheduledJob(self.records[token], *parts)
            self.jobs[token] = job
            self._announce_grace(job.grace)
            self._queue.append(job)
            self._fill()
        return self.records[token]

    def cancel(self, tokens: Iterable[str]) -> None:
        """End these jobs; ignores those that have ended or are unknown."""
        for token in tokens:
            job = self.jobs.get(token)
            if job is None or job.record.cancelled:
                continue
            self._note("stop", token, why="cancelled on request", cancel=True)
            if job in self._queue:
                self._queue.remove(job)
                self._end(job, CANCELLED, "cancelled on request", None)
            else:
                self._stop(job)
        self._fill()

    # Starting

    def _fill(self) -> None:
        while self._queue and self._queue[0].record.width <= self._free:
            job = self._queue.popleft()
            self._free -= job.record.width
            self._start(job, 0)

    def _start(self, job: ScheduledJob, restarts: int) -> None:
        job.failed, job.stopping, job.dismissed = None, False, frozenset()
        token = job.record.token
        job.port = 0
        started = [self._spawn(job, rank, restarts) for rank in range(job.record.width)]
        pids = [each if isinstance(each, int) else 0 for each in started]
        self._note("start", token, restarts=restarts, pids=pids)
        job.live = {pid: rank for rank, pid in enumerate(pids) if pid}
        if failed := [each for each in started if isinstance(each, SentinelReport)]:
            self._not_started(job, failed)

    def _spawn(self, job: ScheduledJob, rank: int, restarts: int) -> int | SentinelReport:
        """Start one node: its pid, or why it cannot start. An error in one job does not stop the others."""
        try:
            return self._spawned(job, rank, restarts)
        except Exception as error:
            reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
            return SentinelReport(
                SentinelWord.START_FAILED, rank, 126, restarts, begun=False, note=legible(reason)
            )

    def _spawned(self, job: ScheduledJob, rank: int, restarts: int) -> int:
        """The pid of a node that runs and is watched."""
        token, width = job.record.token, job.record.width
        job.port = job.port or self._ports.reserve(token)
        variables = node_variables(
            rank=rank,
            restarts=restarts,
            address="127.0.0.1",
            port=job.port,
            hostfile=utf8(self._hostfile(width)),
            heartbeat_file=utf8(self._paths.heartbeat(token, rank, restarts)),
        )
        log = self._paths.log(token, rank, restarts)
        pid = processes.spawn(job.argv, {**self._environ, **job.env, **variables}, log)
        try:
            self._watch(token, pid)
        except OSError:
            processes.send(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
        return pid

    def _not_started(self, job: ScheduledJob, reports: list[SentinelReport]) -> None:
        for report in reports:
            self._put_report(job, report)
            self._note("node", job.record.token, rank=report.node, code=126, report=packed(report))
        job.failed = reports[0].node
        if job.live:
            self._note("stop", job.record.token, why=f"node {job.failed} could not be started")
            self._stop(job)
        else:
            self._finish_start(job)

    def _hostfile(self, nodes: int) -> Path:
        path = self._paths.hostfile(nodes)
        if not path.exists():
            path.write_text("127.0.0.1\n" * nodes)
        return path

    def node_ended(self, token: str, pid: int, status: int) -> None:
        """Record that a sentinel has ended, with the status of ``waitpid``."""
        job = self.jobs[token]
        rank = job.live.pop(pid)
        code = os.waitstatus_to_exitcode(status)
        code = code if code >= 0 else 128 - code
        report = self._report(job, rank)
        ended_by_itself = report is not None and report.word is not SentinelWord.STOPPED
        stopped = rank in job.dismissed and not ended_by_itself
        self._note("node", token, rank=rank, code=code, report=packed(report), stopped=stopped)
        if code and not stopped and job.failed is None:
            job.failed = rank
        if not job.live:
            self._finish_start(job)
        elif code and not job.stopping:
            self._note("stop", token, why=f"node {rank} ended with {code}")
            self._stop(job)
        elif rank == 0 and not job.stopping:
            restarts = job.record.restarts
            self.alarms.after(FOLLOW_GRACE_SECONDS, lambda: self._dismiss(job, restarts))

    def _put_report(self, job: ScheduledJob, report: SentinelReport) -> None:
        """Report in place of a sentinel that could not be started."""
        log = self._paths.log(job.record.token, report.node, report.restarts)
        with suppress(OSError):
            processes.append(log, f"{sentinel.report_line(job.record.token, report)}\n".encode())

    def _report(self, job: ScheduledJob, rank: int) -> SentinelReport | None:
        token = job.record.token
        return read_report(self._paths.log(token, rank, job.record.restarts), token, rank)

    def _dismiss(self, job: ScheduledJob, restarts: int) -> None:
        if job.record.has_ended or job.stopping or job.record.restarts != restarts or not job.live:
            return
        job.dismissed = frozenset(job.live.values())
        self._note("stop", job.record.token, why="the main node has ended")
        self._stop(job)

    def _stop(self, job: ScheduledJob) -> None:
        job.stopping = True
        for pid in job.live:
            processes.send(pid, signal.SIGTERM)
        pids = list(job.live)
        self.alarms.after(job.grace + STOP_MARGIN_SECONDS, lambda: self._kill(job, pids))

    def _kill(self, job: ScheduledJob, pids: list[int]) -> None:
        for pid in pids:
            if pid in job.live:
                processes.send(pid, signal.SIGKILL)

    def _finish_start(self, job: ScheduledJob) -> None:
        """End or restart a job whose nodes have all ended, once none of its processes is left."""
        if all(node.report and node.report[0] == SentinelWord.EXITED for node in job.record.nodes):
            self._leftovers.sweep_soon()
            self._conclude(job)
            return
        job.sweeping = True
        if self._leftovers.signal(job.record.token, signal.SIGTERM):
            self.alarms.after(job.grace, lambda: self.recheck(job, signal.SIGKILL))
        else:
            self._conclude(job)

    def recheck(self, job: ScheduledJob, number: int = 0) -> None:
        """Conclude a job whose leftovers have ended; signal them if ``number`` is set."""
        if job.sweeping and not job.record.has_ended and not self._leftovers.signal(job.record.token, number):
            self._conclude(job)
        elif job.sweeping and number == signal.SIGKILL:
            self.alarms.after(0.2, lambda: self.recheck(job, signal.SIGKILL))

    def orphan_ended(self) -> None:
        """Check the ended jobs again, because a process that one of them left behind has ended."""
        for job in [job for job in self.jobs.values() if job.sweeping]:
            self.recheck(job)

    def _conclude(self, job: ScheduledJob) -> None:
        job.sweeping = False
        record = job.record
        if job.port:
            self._ports.release(job.port)
        failed = None if job.failed is None else record.nodes[job.failed]
        ends = [node.report[0] if node.report else None for node in record.nodes]
        may_restart = failed and ends[job.failed or 0] in (SentinelWord.EXITED, None) and not record.cancelled
        if may_restart and record.restarts < job.max_restarts:
            self._start(job, record.restarts + 1)
            return
        by_request = record.cancelled and any(word in (SentinelWord.STOPPED, None) for word in ends)
        why = record.why if by_request or job.failed is not None else ""
        self._end(job, CANCELLED if by_request else ENDED, why, failed.code if failed else 0)
        self._free += record.width
        self._fill()

    def _end(self, job: ScheduledJob, state: str, why: str, code: int | None) -> None:
        self._note("end", job.record.token, state=state, why=why, code=code)
        del self.jobs[job.record.token]

    def _note(self, kind: str, token: str, **fields: Any) -> None:
        event: Event = {"e": kind, "token": token, "at": self._clock.time(), **fields}
        self._journal.add(event)
        apply(self.records, event)
        self.changed.add(token)


_JOB_KEYS = ("argv", "env", "grace", "max_restarts")


def too_wide(nodes: int, slots: int) -> str:
    """Why a job does not fit on this machine, and the fix."""
    return (
        f"{nodes} nodes, but the local backend has {slots} slots: ask for fewer nodes, or set"
        f" slots = {nodes} under [tool.clusterjobs.backends.local] in pyproject.toml"
    )
