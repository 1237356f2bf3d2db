"""One process's access to the simulated cluster, with each call reported to the oracle."""

from __future__ import annotations

from collections.abc import Callable
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
from .network import NetworkFaults
from .recorder import RecordedCluster
from .recorder import Recorder


class RecordedBackend(SimulatedBackend):
    """Reports calls. ``session`` numbers the process for the budgets of calls."""

    recorder: Recorder
    driver: SimulatedDriver
    session = 1
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
            recorder.submitted(token, outcome)
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
        seen: Mapping[str, Observation] = {}
        try:
            seen = super().poll(handles)
            return seen
        finally:
            recorder.polled(handles, seen)

    def cancel(self, handles: Mapping[str, Handle]) -> None:
        """Cancel."""
        before = {token: self._requests(handle) for token, handle in handles.items()}
        failed = True
        try:
            super().cancel(handles)
            failed = False
        finally:
            same = [token for token, handle in handles.items() if self._requests(handle) == before[token]]
            self.recorder.cancelled(same if failed else handles, same, failed=failed)

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


class RecordedNotifyingBackend(RecordedBackend, NotifyingBackend):
    """The same for a cluster that notifies."""


def open_recorded(
    cluster: RecordedCluster,
    network: NetworkFaults,
    driver: SimulatedDriver,
    session: int,
    is_superseded: Callable[[], bool],
) -> RecordedBackend:
    """A backend for one process."""
    kind = RecordedNotifyingBackend if cluster.traits.notifies else RecordedBackend
    backend = kind(cluster, network)
    backend.recorder, backend.driver, backend.session = cluster.recorder, driver, session
    backend.is_superseded = is_superseded
    return backend
