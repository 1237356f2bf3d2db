"""Polling: one thread a backend, a due time a job, full batches, and the ends they bring."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from typing import cast

from ..backends.protocol import Backend
from ..backends.protocol import BackendError
from ..backends.protocol import BUGS
from ..backends.protocol import Found
from ..backends.protocol import Notifying
from ..backends.protocol import NotSubmitted
from ..backends.protocol import Throttled
from ..model import ActionKind
from ..model import Handle
from ..model import Observation
from ..model import Outcome
from ..model import OwnAction
from ..model import Phase
from ..model.records import Result
from .answers import answer
from .job import ActiveAttempt
from .job import CANCEL_AGAIN
from .job import CANCEL_PATIENCE
from .job import due_action
from .job import LOST_AFTER
from .job import next_deadline
from .job import rest_to_stop
from .job import SILENCE_LIMIT
from .judging import finish
from .judging import needs_time
from .judging import reader
from .judging import settled_by_records
from .logs import LogReader
from .refuse import reject
from .state import EngineState
from .submit import MAX_SUBMISSIONS

SLOWEST = 30.0
"""Seconds between two polls of an old job."""

AGE_SHARE = 0.05
"""A job is polled again after this share of its age, so that the lag stays in proportion."""


SESSION_ENDED = "the session ended"
"""Why a job is cancelled that its session does not wait for any more."""

ROUND_SPACING = 0.05
"""Seconds between two rounds at least: ends that come in a burst are one call and one transaction."""


@dataclass(slots=True)
class Round:
    """What one poll round brought, for one transaction."""

    changed: list[tuple[str, Observation, Handle | None]] = field(default_factory=list)
    ended: list[tuple[str, Outcome]] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    again: list[ActiveAttempt] = field(default_factory=list)
    """New attempts that follow."""
    done: set[ActiveAttempt] = field(default_factory=set)
    to_cancel: list[ActiveAttempt] = field(default_factory=list)
    heard: set[ActiveAttempt] = field(default_factory=set)
    """Jobs that were heard of for the first time, which somebody may wait for."""


class Poller:
    """The thread that asks one backend how its jobs are, and tells it to end them."""

    def __init__(
        self,
        core: EngineState,
        name: str,
        backend: Backend,
        retry: Callable[[ActiveAttempt, Result], ActiveAttempt | None],
    ) -> None:
        self._core = core
        self._name = name
        self._backend = backend
        self._capabilities = backend.capabilities
        self._retry = retry
        self._jobs: dict[str, ActiveAttempt] = {}
        self._woken_up: set[str] = set()
        """Tokens that the backend has news of since they were last asked about."""
        self._failures = 0
        self._quiet_until = 0.0
        self._round_at = 0.0
        self._closed = False
        self.trouble = ""
        """What the cluster's API last answered instead of an answer; empty when it works."""
        self._thread = threading.Thread(target=self._run, name=f"clusterjobs-poll-{name}", daemon=True)
        if hasattr(backend, "subscribe"):
            cast(Notifying, backend).subscribe(self._woken)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def adopt(self, job: ActiveAttempt) -> None:
        """Take over a job that was submitted, or whose submission got no answer."""
        with self._core.changed:
            self._jobs[job.token] = job
            self._core.changed.notify_all()

    def close(self) -> None:
        """Let the thread end; jobs are left as they are."""
        with self._core.changed:
            self._closed = True
            self._core.changed.notify_all()

    def _woken(self, tokens: Collection[str]) -> None:
        now = self._core.clock.monotonic()
        with self._core.changed:
            for token in tokens:
                if token in self._jobs:
                    self._woken_up.add(token)
                    self._jobs[token].due_at = now
            self._core.changed.notify_all()

    def _run(self) -> None:
        try:
            while (due := self._wait()) is not None:
                self._round(due)
        except BaseException as error:
            self._core.fail(error)

    # When, and whom.

    def _wait(self) -> list[ActiveAttempt] | None:
        """Block until somebody is due; the batch to ask about, or None when closed."""
        core = self._core
        with core.changed:
            while not self._closed:
                now = core.clock.monotonic()
                next_at = min((self._wanted_at(job) for job in self._jobs.values()), default=None)
                if next_at is not None:
                    next_at = max(next_at, self._quiet_until, self._round_at + ROUND_SPACING)
                    if next_at <= now:
                        batch = self._batch(now)
                        self._woken_up.difference_update(job.token for job in batch)
                        return batch
                core.clock.wait(core.changed, None if next_at is None else next_at - now)
        return None

    def _wanted_at(self, job: ActiveAttempt) -> float:
        return 0.0 if self._request(job) is not None else job.due_at

    def _request(self, job: ActiveAttempt) -> OwnAction | None:
        """What somebody wants done to the job and has not been done yet."""
        if job.action is not None:
            return None
        if job.request is None and self._core.stopping:
            job.request = OwnAction(ActionKind.CANCEL, SESSION_ENDED, self._core.clock.time())
        return job.request

    def _batch(self, now: float) -> list[ActiveAttempt]:
        """All who are due, topped up with those who are due next while the last call has room."""
        order = sorted(self._jobs.values(), key=self._wanted_at)
        due = sum(1 for job in order if self._wanted_at(job) <= now)
        size = self._capabilities.ids_per_poll
        full = -(-due // size) * size
        soon = now + self._capabilities.min_poll_interval
        return [job for job in order[:full] if self._wanted_at(job) <= max(now, soon)]

    def _schedule(self, job: ActiveAttempt, now: float) -> None:
        age = now - job.submitted_at
        interval = min(SLOWEST, max(self._capabilities.min_poll_interval, AGE_SHARE * age))
        if job.action is not None or job.absent_at is not None:
            interval = self._capabilities.min_poll_interval
        deadline = next_deadline(job)
        job.due_at = now + interval
        if deadline is not None and deadline > now:
            job.due_at = min(job.due_at, deadline + 0.001)
        with self._core.changed:
            if job.token in self._woken_up:
                # The news came while its poll was under way, which may have missed it.
                job.due_at = now

    # One round.

    def _round(self, due: list[ActiveAttempt]) -> None:
        self._round_at = self._core.clock.monotonic()
        notes = Round()
        known = [job for job in due if job.handle is not None]
        try:
            self._look_up(job for job in due if job.handle is None)
            if known:
                self._ask(known, notes)
            self._failures = 0
            self._note("")
        except BackendError as error:
            self._back_off(error)
        now = self._core.clock.monotonic()
        for job in due:
            if job not in notes.done and job.token in self._jobs:
                self._check_silence(job, now, notes)
                self._schedule(job, now)
        self._cancel_where_due(due, notes)
        self._write(notes)

    def _ask(self, jobs: list[ActiveAttempt], notes: Round) -> None:
        size = self._capabilities.ids_per_poll
        for start in range(0, len(jobs), size):
            batch = {job.token: job for job in jobs[start : start + size]}
            handles = {token: job.handle for token, job in batch.items() if job.handle is not None}
            seen = answer(self._backend.poll, handles)
            self._learn_actions(batch, seen)
            for token, observation in seen.items():
                if token in batch:
                    self._take_in(batch[token], observation, notes)

    def _learn_actions(self, batch: Mapping[str, ActiveAttempt], seen: Mapping[str, Observation]) -> None:
        """What ended without our doing may have been ended by ``clusterjobs kill``: it is no news of the cluster then."""
        gone = [
            token
            for token, observation in seen.items()
            if observation.phase in (Phase.ENDED, Phase.ABSENT)
            and token in batch
            and _is_open_to_blame(batch[token])
        ]
        for token, action in self._core.ledger.actions(gone).items():
            batch[token].action = action

    def _take_in(self, job: ActiveAttempt, seen: Observation, notes: Round) -> None:
        now = self._core.clock.monotonic()
        if not job.asked:
            notes.heard.add(job)
        if job.see(seen, now) and job.observation is not None:
            notes.changed.append((job.token, job.observation, seen.handle))
        observation = job.observation
        if observation is None or (job.absent_at == now and seen.phase is Phase.ABSENT):
            # The moment it goes missing is the moment to look for what it left behind.
            observation = self._records_of(job) or observation
        if observation is not None and observation.phase is Phase.ENDED:
            self._end(job, observation, notes)
            return
        action = due_action(job, now, self._core.clock.time())
        if action is None and not self._capabilities.stops_rest:
            action = rest_to_stop(job, now, self._core.clock.time())
        if action is not None and job.action is None:
            if action.kind is ActionKind.LOST and (found := self._records_of(job)) is not None:
                self._end(job, found, notes)
                return
            self._act(job, action, notes)

    def _records_of(self, job: ActiveAttempt) -> Observation | None:
        try:
            return settled_by_records(job, reader(self._backend, job))
        except BackendError:
            return None

    def _end(self, job: ActiveAttempt, observation: Observation, notes: Round) -> None:
        """Judge an ended job, unless logs that matter are still settling."""
        logs = reader(self._backend, job)
        observation = logs.with_reports(observation)
        settling = self._core.clock.monotonic() - (job.ended_at or 0.0) < self._capabilities.log_settle
        if settling and needs_time(job, observation, logs):
            return
        self._finish(job, observation, logs, notes)

    def _finish(
        self, job: ActiveAttempt, observation: Observation, logs: LogReader | None, notes: Round
    ) -> None:
        result = finish(job, observation, logs, self._core.extensions)
        notes.ended.append((job.token, result.outcome))
        notes.done.add(job)
        again = self._retry(job, result)
        if again is None:
            notes.results.append(result)
        else:
            notes.again.append(again)

    def _act(self, job: ActiveAttempt, action: OwnAction, notes: Round) -> None:
        """Do something to a job: noted first, then asked of the cluster, confirmed by later polls."""
        job.action = action
        self._core.ledger.act(action, [job.token])
        notes.to_cancel.append(job)
        if action.kind is ActionKind.LOST:
            self._finish(job, job.observation or Observation(Phase.ABSENT), None, notes)

    def _check_silence(self, job: ActiveAttempt, now: float, notes: Round) -> None:
        silent = now - job.answered_at
        if silent < (SILENCE_LIMIT if job.handle is not None else LOST_AFTER) or job.action is not None:
            return
        words = f": {self.trouble or job.why}" if self.trouble or job.why else ""
        why = f"the cluster has said nothing about it for {silent:.0f} s{words}"
        self._act(job, OwnAction(ActionKind.LOST, why, self._core.clock.time()), notes)

    def _cancel_where_due(self, due: Iterable[ActiveAttempt], notes: Round) -> None:
        now = self._core.clock.monotonic()
        for job in due:
            request = self._request(job)
            if job in notes.done:
                continue
            if request is not None:
                self._act(job, request, notes)
            elif job.action is not None and job not in notes.to_cancel:
                self._insist(job, now, notes)
        handles = {job.token: job.handle for job in notes.to_cancel if job.handle is not None}
        if not handles:
            return
        for job in notes.to_cancel:
            # From the first try on, heard or not: what can never be cancelled is given up in the end.
            job.cancel_since = job.cancel_since or now
        try:
            self._backend.cancel(handles)
        except BUGS as error:
            self._back_off(BackendError(f"cancel: {error}"))
            return
        for job in notes.to_cancel:
            job.cancelled_at = now
            job.due_at = min(job.due_at, now + self._capabilities.min_poll_interval)

    def _insist(self, job: ActiveAttempt, now: float, notes: Round) -> None:
        """Ask again for an end that no poll has confirmed; in the end give up, and say so."""
        if job.cancelled_at is None or now - job.cancelled_at >= CANCEL_AGAIN:
            notes.to_cancel.append(job)
        if job.cancel_since is not None and now - job.cancel_since >= CANCEL_PATIENCE:
            why = (
                f"no poll confirmed its cancellation within {CANCEL_PATIENCE:.0f} s; it may still be running"
            )
            job.action = OwnAction(ActionKind.LOST, why, self._core.clock.time())
            self._finish(job, job.observation or Observation(Phase.ABSENT), None, notes)

    def _write(self, notes: Round) -> None:
        if notes.changed or notes.ended or notes.results:
            self._core.ledger.observe(
                self._core.clock.time(), changed=notes.changed, ended=notes.ended, results=notes.results
            )
        with self._core.changed:
            for job in notes.done:
                self._jobs.pop(job.token, None)
                self._woken_up.discard(job.token)
                self._core.in_flight.discard(job)
            if not self._core.stopping:
                # Not before the last attempt's end is written down: a crash must not find two of them live.
                self._core.delayed.extend(notes.again)
            for result in notes.results:
                self._core.complete(result)
            for job in notes.heard:
                job.asked = True
            if notes.done or notes.heard:
                self._core.changed.notify_all()

    # Trouble.

    def _look_up(self, jobs: Iterable[ActiveAttempt]) -> None:
        """Ask after submissions that got no answer; one that did not arrive is made again."""
        for job in jobs:
            now = self._core.clock.monotonic()
            if now - job.submitted_at < self._capabilities.find_settle:
                continue
            found = answer(self._backend.find, job.token)
            if isinstance(found, Found):
                job.handle = found.handle
                job.answered_at = now
                self._core.ledger.record(submitted=[job.attempt()])
            elif isinstance(found, NotSubmitted):
                self._resubmit(job)

    def _resubmit(self, job: ActiveAttempt) -> None:
        with self._core.changed:
            self._jobs.pop(job.token, None)
            again = job.submissions < MAX_SUBMISSIONS and not self._core.stopping
            if again:
                self._core.in_flight.discard(job)
                job.due_at = self._core.clock.monotonic() + 2.0 ** (job.submissions - 1)
                self._core.delayed.append(job)
                self._core.changed.notify_all()
        if not again:
            words = f"submitted {job.submissions} times, never accepted: {job.why}"
            reject(self._core, {job: words})

    def _note(self, trouble: str) -> None:
        """Say what the API answers, in the ledger too: what keeps a cluster from answering may be its own disk."""
        if trouble != self.trouble:
            self.trouble = trouble
            self._core.ledger.set_meta(**{f"trouble.{self._name}": trouble or None})

    def _back_off(self, error: BackendError) -> None:
        self._note(self._core.secrets.hide(str(error)))
        self._failures += 1
        base = self._capabilities.min_poll_interval * (4.0 if isinstance(error, Throttled) else 1.0)
        pause = min(SLOWEST, max(base, 0.1) * 2.0 ** min(self._failures - 1, 10))
        self._quiet_until = self._core.clock.monotonic() + pause * random.uniform(0.75, 1.25)


def _is_open_to_blame(job: ActiveAttempt) -> bool:
    """Whether nothing that we know of explains a job's end; once it was seen, whoever comes later has not caused it."""
    return job.ended_at is None and (job.action is None or job.action.kind is ActionKind.STOP_REST)
