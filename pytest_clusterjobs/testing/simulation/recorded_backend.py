"""One process's access to the simulated cluster, with each call reported to the oracle."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

from ...backends.protocol import BackendError
from ...backends.protocol import FindAnswer
from ...backends.protocol import Found
from ...backends.protocol import NotSubmitted
from ...backends.protocol import SubmissionRejected
from ...backends.protocol import Throttled
from ...model import Handle
from ...model import JobSpec
from ...model import LogChunk
from ...model import Observation
from .backend import NotifyingBackend
from .backend import SimulatedBackend
from .driver import Held
from .driver import SimulatedDriver
from .facts import Fact
from .facts import LOG_KINDS
from .facts import OF_TRUTH
from .facts import Violation
from .network import NetworkFaults
from .recorder import RecordedCluster
from .recorder import Recorder
from .timeliness import Timeliness

ROUNDING_SECONDS = 1e-3
RECORD_SECONDS = 2.0
"""For how long a cancel waits for the record of its action."""


class RecordedBackend(SimulatedBackend):
    """Reports calls. ``session`` numbers the process for the budgets of calls."""

    recorder: Recorder
    driver: SimulatedDriver
    timeliness: Timeliness
    has_ordinary_delays: Callable[[], bool]
    """Whether no call hangs, and the process was never stopped."""
    session = 1
    _failed_at = -1e9
    """When a poll failed for the last time."""
    opened_at = 0.0
    """World time."""
    listed_at = 0.0
    """When the cluster made the last list that it answered with, in world time."""
    name = "sim"
    is_superseded: Callable[[], bool]
    """Whether another session has taken over the run."""

    def submit(self, spec: JobSpec, token: str) -> Handle:
        """Submit, unless the submission is only to be checked now."""
        if self.driver.holding:
            raise Held
        outcome = "failed"
        before = len(self.cluster.jobs)
        try:
            handle = super().submit(spec, token)
            outcome = "accepted"
            return handle
        except Throttled:
            outcome = "throttled"
            raise
        except SubmissionRejected:
            outcome = "rejected"
            self.recorder.fact("rejected", self.recorder.key_of(token))
            raise
        finally:
            recorder = self.recorder
            if len(self.cluster.jobs) > before:
                if self.is_superseded():
                    recorder.oracle.on_late_job(self.cluster.jobs[-1])
                else:
                    recorder.oracle.on_window(recorder.world.now)
            recorder.submitted(token, outcome, has_jobs=bool(self.cluster.live()))
            recorder.oracle.on_call(
                "submit",
                self.name,
                recorder.world.now,
                [token],
                session=self.session,
                throttled=outcome == "throttled",
            )

    def poll(self, handles: Mapping[str, Handle]) -> Mapping[str, Observation]:
        """Poll."""
        recorder = self.recorder
        # The engine decides when to poll; the network may let two polls arrive closer together.
        recorder.oracle.on_call(
            "poll", self.name, self.driver.poll_given_at, list(handles), session=self.session
        )
        self._check_times(handles)
        seen: Mapping[str, Observation] = {}
        try:
            self._check_pause()
            seen = super().poll(handles)
            return seen
        except BackendError:
            self._failed_at = recorder.world.now
            raise
        finally:
            recorder.polled(handles, seen)

    def _check_pause(self) -> None:
        """Check that a poll that failed is not repeated at once."""
        given_at, pause = self.driver.poll_given_at, max(self.cluster.traits.min_poll_interval, 0.1)
        if self._failed_at <= given_at < self._failed_at + pause - ROUNDING_SECONDS:
            text = (
                f"session {self.session}: polls at {given_at:.3f} s, a poll failed at {self._failed_at:.3f} s"
            )
            self.recorder.oracle.on_violation(Violation("g", text))

    def _check_times(self, handles: Mapping[str, Handle]) -> None:
        """Check that ends that the cluster has reported are polled at once, while only one session lives."""
        oracle = self.recorder.oracle
        found = self.timeliness.polled(
            handles,
            self.driver.poll_given_at,
            self.recorder.disturbed_at,
            sum(self.calls.values()),
            len(self.cluster.jobs),
            self._disturbances,
        )
        for violation in found:
            if not oracle.is_disturbed:
                oracle.on_violation(violation)

    def _disturbances(self) -> list[Fact]:
        """The faults after which a poll may be late: not those of a job's own end, nor ordinary delays."""
        ordinary = {"slow_answer", "slow_commit"} if self.has_ordinary_delays() else set()
        kinds = {*OF_TRUTH, *LOG_KINDS, *ordinary} - {"unread_log"}
        return [fact for fact in self.recorder.oracle.facts if fact.kind not in kinds]

    def cancel(self, handles: Mapping[str, Handle]) -> None:
        """Cancel."""
        self._check_records(handles)
        for handle in handles.values():
            job = self._job(handle)
            if job is not None and self.driver.is_of_a_session:
                self.recorder.oracle.on_cancel(job, self.opened_at)
        before = {token: self._requests(handle) for token, handle in handles.items()}
        failed = True
        try:
            super().cancel(handles)
            failed = False
        finally:
            same = [token for token, handle in handles.items() if self._requests(handle) == before[token]]
            self.recorder.cancelled(same if failed else handles, same, failed=failed)

    def _check_records(self, tokens: Iterable[str]) -> None:
        """Check that each cancel has waited for the record of its action, or for as long as it must."""
        core, now = self.driver.core, self.driver.monotonic()
        for token in tokens:
            job = core.state.attempts.get(token)
            if job is None or job.is_stray or core.broken is not None:
                continue
            is_recorded = token in self.recorder.oracle.recorded_actions
            if not is_recorded and now < job.requested_at + RECORD_SECONDS - ROUNDING_SECONDS:
                text = f"{token}: cancelled before the record of why, and without waiting for it"
                self.recorder.oracle.on_violation(Violation("a", text))

    def _requests(self, handle: Handle) -> int:
        job = self._job(handle)
        return 0 if job is None else len(job.cancel_requests)

    def logs(self, handle: Handle, **parts: Any) -> LogChunk:
        """Read a log."""
        try:
            return super().logs(handle, **parts)
        except BackendError:
            job = self._job(handle)
            if job is not None:
                self.recorder.fact("unread_log", self.recorder.key_of(job.token))
            raise

    def find(self, token: str) -> FindAnswer:
        """Look up."""
        known = False
        try:
            found = super().find(token)
            known = isinstance(found, Found | NotSubmitted)
            return found
        except BackendError:
            raise
        finally:
            self.recorder.found(token, known=known)

    def sweep(self, run_id: str) -> Mapping[str, Handle]:
        """List the jobs."""
        found = super().sweep(run_id)
        self.listed_at = self.cluster.world.now
        return found


class RecordedNotifyingBackend(RecordedBackend, NotifyingBackend):
    """The same for a cluster that notifies."""

    def subscribe(self, changed: Callable[[Collection[str]], None]) -> None:
        """Note the ends of jobs that are reported to the process."""

        def arrived(tokens: Collection[str]) -> None:
            self.driver.process.do(lambda: reported(tokens))

        def reported(tokens: Collection[str]) -> None:
            self.recorder.oracle.on_news(self.session, self.cluster.world.now)
            for token in tokens:
                jobs = self.cluster.by_token.get(token, [])
                ends = [job.end() for job in jobs]
                if ends and all(end is not None and end.by != "run" for end in ends):
                    self.timeliness.reported(token, self.cluster.world.now, sum(self.calls.values()))
            changed(tokens)

        super().subscribe(arrived)


def open_recorded(
    cluster: RecordedCluster,
    network: NetworkFaults,
    driver: SimulatedDriver,
    session: int,
    is_superseded: Callable[[], bool],
    typical: float,
    has_ordinary_delays: Callable[[], bool],
) -> RecordedBackend:
    """A backend for one process."""
    kind = RecordedNotifyingBackend if cluster.traits.notifies else RecordedBackend
    backend = kind(cluster, network)
    backend.recorder, backend.driver, backend.session = cluster.recorder, driver, session
    backend.is_superseded = is_superseded
    backend.opened_at = cluster.world.now
    backend.has_ordinary_delays = has_ordinary_delays
    traits = cluster.traits
    backend.timeliness = Timeliness(traits.min_poll_interval, traits.ids_per_poll, typical)
    return backend
