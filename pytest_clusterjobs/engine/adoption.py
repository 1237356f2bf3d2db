"""The part of the core that takes over jobs of other processes, and ends them: kill, sweep and reap."""

from __future__ import annotations

from contextlib import suppress
from math import inf

from ..backends.protocol import Found
from ..model import ActionKind
from ..model import Cell
from ..model import Expectation
from ..model import Handle
from ..model import JobSpec
from ..model import OwnAction
from ..model import Phase
from ..model.records import Attempt
from ..model.records import Registration
from ..model.token import Token
from .attempt import ActiveAttempt
from .attempt import adopted
from .attempt import Cancellation
from .attempt import HAS_ENDED
from .attempt import Life
from .attempt import SubmissionState
from .cluster import ClusterState
from .conclusions import Conclusions
from .messages import LedgerRead
from .messages import Listed
from .messages import Open
from .messages import OpenFailed
from .messages import ReadLedger
from .messages import Settle
from .messages import SubmitterGone
from .state import CoreState
from .state import Serving
from .submissions import Submissions
from .tracking import Tracking

NOT_IN_LEDGER = "it is not in the ledger"
"""Why a job is cancelled that the cluster lists and that the run did not submit, as far as it knows."""

FIRST_ROUND_SECONDS = 0.2
"""Initial seconds between two readings of the ledger and the lists while jobs are being cancelled."""

MAX_ROUND_SECONDS = 10.0

_ASKED = frozenset({Cancellation.ACKNOWLEDGED, Cancellation.CONFIRMED})


class Adoption:
    """The part of the core that takes over jobs of other processes."""

    def __init__(
        self, state: CoreState, tracking: Tracking, submissions: Submissions, conclusions: Conclusions
    ) -> None:
        self._state = state
        self._tracking = tracking
        self._submissions = submissions
        self._conclusions = conclusions
        self.strays: dict[str, None] = {}
        """Tokens of jobs that the cluster lists and the ledger does not know."""
        self.unwritten = ""
        """Why the ledger could not be read or written; empty if it could."""
        self.is_read = False
        """Whether the ledger has been read."""
        self._is_reading = False
        self._is_closed = False
        self._last_cell = 0
        self._round_at = 0.0 if state.policy.adopts else inf
        self._pause = FIRST_ROUND_SECONDS
        self._no_submitter_since: float | None = None

    @property
    def wake_at(self) -> float:
        """When the next round begins."""
        return self._round_at if not self._is_reading else inf

    def turn(self) -> None:
        """Begin a round, if it is due: read the ledger and the clusters' lists."""
        now = self._state.now.monotonic
        if self._is_reading or now < self._round_at:
            return
        self._round_at = now + self._pause
        self._pause = min(MAX_ROUND_SECONDS, self._pause * 1.3)
        self._is_reading = True
        self._state.commands.append(ReadLedger(self._last_cell))

    def _list(self, cluster: ClusterState) -> None:
        if cluster.is_unavailable or cluster.is_opening:
            return
        if cluster.capabilities is None:
            cluster.is_opening = True
            self._state.commands.append(Open(cluster.name))
        cluster.list_at = self._state.now.monotonic

    def close(self) -> None:
        """Take over no more jobs."""
        self._round_at = inf
        self._is_closed = True

    def begin(self, names: list[str]) -> None:
        """Handle the jobs on these backends."""
        for name in names:
            self._state.clusters.setdefault(name, ClusterState(name))

    # What other processes have written.

    def adopt(self, job: ActiveAttempt) -> None:
        """Take over an attempt that another process began."""
        state = self._state
        state.attempts[job.token] = job
        cluster, now = state.cluster(job), state.now.monotonic
        if job.life is not Life.ENDED:
            state.enter(job)
        if job.handle is None:
            settle = cluster.capabilities.find_settle if cluster.capabilities is not None else 0.0
            if not state.policy.adopts:
                cluster.finds.set(job.token, job.submitted_at + settle)
        elif job.life is Life.ENDED:
            self._conclusions.end(job)
            if cluster.capabilities is not None:
                # Its logs may still arrive.
                self._tracking.check(job)
        else:
            cluster.polls.set(job.token, now)
        if job.life is not Life.ENDED:
            self._tracking.accepted(job)

    def ledger_read(self, event: LedgerRead) -> None:
        """What the ledger has: new cells, and all attempts that have no outcome."""
        self._is_reading = False
        if self._is_closed:
            return
        if event.error:
            self.unwritten = event.error
        else:
            self._learn_all(event)
        # Only now: what the lists show and the ledger does not know is a stray job.
        for cluster in self._state.clusters.values():
            self._list(cluster)

    def _learn_all(self, event: LedgerRead) -> None:
        self.is_read = True
        for number, entry in event.cells:
            self._last_cell = max(self._last_cell, number)
            self._state.cells[entry.key] = entry
            name = entry.cell.backend
            self._state.clusters.setdefault(name, ClusterState(name))
        keys = self._state.policy.keys
        for attempt in event.attempts:
            if keys is None or attempt.key in keys:
                self._learn(attempt)

    def _learn(self, attempt: Attempt) -> None:
        state = self._state
        job = state.attempts.get(attempt.token)
        if job is None or job.token in self.strays:
            cancellation = None if job is None else job
            entry = state.cells[attempt.key]
            job = adopted(entry, attempt, state.secrets, state.now.monotonic, state.now.time)
            if cancellation is not None:
                self._keep_what_is_known(job, cancellation)
            else:
                self.adopt(job)
            return
        if job.handle is None and attempt.handle is not None:
            # The submission was recorded after the cluster had answered that there is no such job, or later.
            self._submissions.found(job, Found(attempt.handle))
        if job.action is None and attempt.action is not None:
            job.action = attempt.action
        seen = attempt.observation
        if seen is not None and seen.phase is Phase.ENDED and job.life is not Life.ENDED:
            self._tracking.take_end(job, seen)

    def _keep_what_is_known(self, job: ActiveAttempt, stray: ActiveAttempt) -> None:
        """A stray job is in the ledger by now."""
        del self.strays[job.token]
        stray.registration, stray.number = job.registration, job.number
        stray.prepared, stray.intended, stray.submitted = job.prepared, job.intended, job.submitted

    def submitter_gone(self, event: SubmitterGone) -> None:
        """No other process submits jobs of this run any more."""
        state = self._state
        if self._no_submitter_since is None:
            self._no_submitter_since = state.now.monotonic
            self._round_at, self._pause = state.now.monotonic, FIRST_ROUND_SECONDS

    def settle(self, event: Settle) -> None:
        """Judge what was cancelled: no session is left that could."""
        for job in list(self._state.attempts.values()):
            if job.token not in self.strays:
                self._conclusions.judge_cancelled(job)

    # What the clusters list.

    def listed(self, event: Listed) -> None:
        """Take over the jobs that the cluster lists and the ledger does not know."""
        state, cluster = self._state, self._state.clusters[event.backend]
        sweeps = state.policy.resumes and state.service is Serving.STOPPING
        if self._is_closed or not (state.policy.adopts or sweeps):
            return
        for token, handle in event.handles.items():
            if token not in state.attempts and self._is_wanted(token):
                self._adopt_stray(cluster, token, handle)
        if sweeps:
            self._cancel_strays(cluster)
        elif self.is_settled(cluster):
            cluster.settled_list_at = state.now.monotonic
            for job in state.attempts.values():
                if job.backend == cluster.name and job.submission is SubmissionState.UNANSWERED:
                    cluster.finds.at_most(job.token, state.now.monotonic)

    def sweep(self) -> None:
        """Read the clusters' lists once more: a session that was taken for dead may have woken up.

        What it has submitted meanwhile is cancelled and reported.
        """
        for cluster in self._state.clusters.values():
            if cluster.capabilities is not None:
                cluster.list_at, cluster.is_listing = self._state.now.monotonic, True

    def _cancel_strays(self, cluster: ClusterState) -> None:
        state = self._state
        for token in self.strays:
            job = state.attempts.get(token)
            if job is not None and job.backend == cluster.name and job.cancellation is Cancellation.NONE:
                self._tracking.act(job, OwnAction(ActionKind.CANCEL, NOT_IN_LEDGER, state.now.time))
        if self.strays:
            state.outbox.meta(strays=list(self.strays))

    def is_settled(self, cluster: ClusterState) -> bool:
        """Whether all submitted jobs are visible by now. This requires that no process submits any more."""
        since = self._no_submitter_since
        settle = cluster.can.find_settle
        return since is not None and self._state.now.monotonic - since >= settle

    def _is_wanted(self, token: str) -> bool:
        """Whether a job listed by the cluster belongs to one of the selected cells."""
        keys = self._state.policy.keys
        if keys is None:
            return True
        with suppress(ValueError):
            cell = Token.parse(token).cell
            return any(Token.of(self._state.run_id, key, 1).cell == cell for key in keys)
        return False

    def _adopt_stray(self, cluster: ClusterState, token: str, handle: Handle) -> None:
        state, now = self._state, self._state.now
        self.strays[token] = None
        cell = Cell(
            id=token,
            line=0,
            axes={},
            backend=cluster.name,
            spec=JobSpec("true", name=token),
            expect=Expectation(),
        )
        number = 1
        with suppress(ValueError):
            number = Token.parse(token).attempt
        attempt = Attempt(token, token, number, now.time, submitted=now.time, handle=handle)
        self.adopt(adopted(Registration(token, "", cell), attempt, state.secrets, now.monotonic, now.time))

    def adopt_extra(self, backend: str, token: str, handle: Handle) -> None:
        """End a second job of one attempt: no verdict rests on it."""
        name = f"{token}+{len(self.strays)}"
        self._adopt_stray(self._state.clusters[backend], name, handle)
        self._cancel_strays(self._state.clusters[backend])

    def open_failed(self, event: OpenFailed) -> None:
        """A backend could not be opened."""
        cluster = self._state.clusters[event.backend]
        cluster.is_opening = False
        cluster.is_unavailable = event.for_good
        self._tracking.report(cluster, event.error)

    # The end.

    def has_asked(self) -> bool:
        """Whether every cluster that answers has been asked to end the jobs that are known."""
        clusters = [
            each for each in self._state.clusters.values() if not each.is_unavailable and not each.error
        ]
        if not self.is_read or any(cluster.listed is None for cluster in clusters):
            return False
        return all(
            job.life in HAS_ENDED or job.handle is None or job.cancellation in _ASKED
            for job in self._state.attempts.values()
            if self._state.cluster(job) in clusters
        )

    def is_done(self) -> bool:
        """Whether every job of the run has ended, as far as the available clusters show it."""
        if not self.is_read or self._no_submitter_since is None:
            return False
        for cluster in self._state.clusters.values():
            if cluster.is_unavailable:
                continue
            if cluster.error or cluster.settled_list_at < self._no_submitter_since:
                return False
        return not any(
            job.life not in HAS_ENDED
            and job.submission is not SubmissionState.WITHDRAWN
            and not self._state.cluster(job).is_unavailable
            for job in self._state.attempts.values()
        )
