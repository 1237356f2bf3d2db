"""The backend of the simulated cluster: the real protocol over a faulty network."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...backends.limits import refuse
from ...backends.protocol import BackendError
from ...backends.protocol import Capabilities
from ...backends.protocol import FindAnswer
from ...backends.protocol import Found
from ...backends.protocol import NotSubmitted
from ...backends.protocol import SubmissionRejected
from ...backends.protocol import Throttled
from ...backends.protocol import Unknown
from ...model import Handle
from ...model import JobSpec
from ...model import LogChunk
from ...model import Observation
from ...model import Phase
from ...model.token import run_of
from .cluster import SimulatedCluster
from .jobs import TrueJob
from .network import NetworkFaults
from .network import no_faults
from .observing import as_pending
from .observing import handle_of
from .observing import observe
from .observing import read_log
from .observing import with_other_code

NAME = "simulated"
SHOWN_KEPT = 3
"""How many earlier answers about a job a stale answer may come from."""
_ABSENT = Observation(Phase.ABSENT)


class SimulatedBackend:
    """One process's access to the cluster. All calls happen at the world's present time."""

    def __init__(self, cluster: SimulatedCluster, network: NetworkFaults | None = None) -> None:
        self.cluster = cluster
        self.network = network or no_faults()
        self.closed = False
        self.calls: dict[str, int] = {}
        """How often each method was called; failed calls count too."""
        self._shown_ends: set[str] = set()
        """The jobs whose ends were shown to this process."""
        self._capabilities = cluster.traits.capabilities()

    @property
    def capabilities(self) -> Capabilities:
        """Those of the cluster."""
        return self._capabilities

    def submit(self, spec: JobSpec, token: str) -> Handle:
        """See :class:`Backend`."""
        self._begin("submit", token)
        refuse(spec, self._capabilities, NAME)
        if spec.nodes > self.cluster.traits.slots:
            raise SubmissionRejected(f"{spec.nodes} nodes, and the cluster has {self.cluster.traits.slots}")
        if self.network.rejects(spec):
            self.cluster.fault("rejected", token)
            raise SubmissionRejected("the account may not submit this job")
        if self.cluster.is_full(token):
            self.cluster.fault("full", token)
            raise Throttled("too many jobs of this account")
        job = self.cluster.submit(spec, token)
        self._finish("submit", token)
        return handle_of(job, self.cluster.world.now)

    def poll(self, handles: Mapping[str, Handle]) -> Mapping[str, Observation]:
        """See :class:`Backend`."""
        self._begin("poll", "")
        if len(handles) > self._capabilities.ids_per_poll:
            self.cluster.violations.append(f"a poll of {len(handles)} jobs")
            raise BackendError(f"at most {self._capabilities.ids_per_poll} jobs")
        for token, handle in handles.items():
            job = self._job(handle)
            if job is not None and job.is_down(self.cluster.world.now):
                self.cluster.fault("outage", f"poll {token}")
                raise BackendError("503")
        self._finish("poll", "")
        seen: dict[str, Observation] = {}
        for token, handle in handles.items():
            if self.network.happens("half_list") or self._is_silent(handle):
                self.cluster.fault("half_list", token)
                continue
            seen[token] = self._look(handle)
        return seen

    def cancel(self, handles: Mapping[str, Handle]) -> None:
        """See :class:`Backend`."""
        self._begin("cancel", "")
        now = self.cluster.world.now
        for token, handle in handles.items():
            job = self._job(handle)
            if job is None or now < job.visible_at:
                continue
            ignored = job.faults.ignores_cancels or job.hides_from_cancel(now)
            if ignored or self.network.happens("cancel_ignored"):
                self.cluster.fault("cancel_ignored", token)
                continue
            job.cancel("run")
        self._finish("cancel", "")

    def logs(
        self,
        handle: Handle,
        *,
        node: int = 0,
        restart: int | None = None,
        cursor: Any = None,
        tail: int | None = None,
    ) -> LogChunk:
        """See :class:`Backend`."""
        self._begin("logs", "")
        job = self._job(handle)
        if job is None or (self.cluster.is_forgotten(job) and not self.cluster.traits.logs_outlive):
            raise BackendError("there is no such job")
        self._finish("logs", job.token)
        return read_log(job, self.cluster.world.now, node, restart, cursor, tail)

    def find(self, token: str) -> FindAnswer:
        """See :class:`Backend`."""
        self._begin("find", token)
        self._finish("find", token)
        if self.network.happens("find_unknown"):
            self.cluster.fault("find_unknown", token)
            return Unknown("the list of jobs is being rebuilt")
        jobs = self.cluster.by_token.get(token, [])
        for job in jobs:
            if self._is_listed(job):
                return Found(handle_of(job, self.cluster.world.now))
        if any(job.is_unlisted(self.cluster.world.now) for job in jobs):
            return Unknown("the list of jobs has a gap")
        if any(self.cluster.is_forgotten(job) for job in jobs):
            return Unknown("ended jobs are not listed for ever")
        return NotSubmitted()

    def sweep(self, run_id: str) -> Mapping[str, Handle]:
        """See :class:`Backend`."""
        self._begin("sweep", "")
        self._finish("sweep", "")
        now = self.cluster.world.now
        return {
            job.token: handle_of(job, now)
            for job in self.cluster.jobs
            if job.ended_at is None
            and now >= job.visible_at
            and run_of(job.token) == run_id
            and not job.is_unlisted(now)
        }

    def close(self) -> None:
        """See :class:`Backend`."""
        self.closed = True

    # The network.

    def _begin(self, call: str, text: str) -> None:
        self.calls[call] = self.calls.get(call, 0) + 1
        if self.closed:
            self.cluster.violations.append(f"{call} after close")
        fault = self.network.before(call, self.cluster.world.now)
        if fault:
            self.cluster.fault(fault, f"{call} {text}")
            raise Throttled("too many requests") if fault in ("throttled", "closed") else BackendError("503")

    def _finish(self, call: str, text: str) -> None:
        if self.network.after(call):
            self.cluster.fault("error_after", f"{call} {text}")
            raise BackendError("the connection was reset")

    # Answers.

    def _job(self, handle: Handle) -> TrueJob | None:
        number = handle.data.get("number", handle.data.get("request"))
        if number is not None:
            return self.cluster.jobs[number - 1] if number <= len(self.cluster.jobs) else None
        jobs = self.cluster.by_token.get(handle.data["token"])
        return jobs[0] if jobs else None

    def _is_listed(self, job: TrueJob) -> bool:
        now = self.cluster.world.now
        return now >= job.visible_at and not self.cluster.is_forgotten(job) and not job.is_unlisted(now)

    def _is_silent(self, handle: Handle) -> bool:
        job = self._job(handle)
        return job is not None and job.is_silent(self.cluster.world.now)

    def _look(self, handle: Handle) -> Observation:
        """The answer about one job, with the faults of answers."""
        job, now = self._job(handle), self.cluster.world.now
        if job is None:
            return _ABSENT
        if self.cluster.is_forgotten(job):
            if not job.seen_end:
                self.cluster.fault("forgotten", job.token)
            return _ABSENT
        if now < job.visible_at and self.cluster.traits.hidden_at_first:
            return _ABSENT
        if job.is_absent(now):
            self.cluster.fault("absent", job.token)
            return _ABSENT
        seen = observe(job, now, handle)
        if not self.network.intensity:
            self._note_end(job, seen)
            return seen
        # An old or contradicting answer does not take back an id.
        found = self._confused(job, seen)
        return found if found.handle == seen.handle else replace(found, handle=seen.handle)

    def _note_end(self, job: TrueJob, seen: Observation) -> None:
        if seen.phase is Phase.ENDED:
            job.seen_end = True
            self._shown_ends.add(job.token)

    def _confused(self, job: TrueJob, seen: Observation) -> Observation:
        shown, network, fault = job.shown, self.network, self.cluster.fault
        if job.seen_end:
            if not network.happens("contradiction"):
                self._note_end(job, seen)
                return seen
            known = job.token in self._shown_ends
            fault("late_contradiction" if known else "contradiction", job.token)
            if shown and network.pick(2):
                return shown[network.pick(len(shown))]
            return with_other_code(seen, (1, 0, 137)[network.pick(3)])
        if shown and network.happens("stale"):
            fault("stale", job.token)
            return shown[network.pick(len(shown))]
        if seen.phase is Phase.ENDED:
            self._note_end(job, seen)
            return seen
        if seen.phase is Phase.RUNNING and network.happens("flapping"):
            fault("flapping", job.token)
            return as_pending(seen)
        if not shown or shown[-1] != seen:
            shown.append(seen)
            del shown[:-SHOWN_KEPT]
        return seen


class NotifyingBackend(SimulatedBackend):
    """A backend of a cluster that reports changes at once."""

    def subscribe(self, changed: Callable[[Collection[str]], None]) -> None:
        """See :class:`Notifying`. Never called within another call of the backend."""
        world = self.cluster.world

        def tell(token: str) -> None:
            if not self.closed:
                changed([token])

        def notice(token: str) -> None:
            if self.closed:
                return
            if self.network.happens("notice_lost"):
                self.cluster.fault("notice_lost", token)
                return
            world.at(world.now, lambda: tell(token))

        self.cluster.listeners.append(notice)


def open_backend(cluster: SimulatedCluster, network: NetworkFaults | None = None) -> SimulatedBackend:
    """A backend for one process, of the class that fits the cluster."""
    kind = NotifyingBackend if cluster.traits.notifies else SimulatedBackend
    return kind(cluster, network)
