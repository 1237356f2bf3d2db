"""The engine: add cells, take results as jobs end; closing it cancels what still runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass

from ..backends.pool import BackendPool
from ..backends.protocol import Backend
from ..ledger.ledger import Ledger
from ..model import ActionKind
from ..model import OwnAction
from ..model import Phase
from ..model import Reason
from ..model import ReasonClass
from ..model import Verdict
from ..model.records import Attempt
from ..model.records import Registration
from ..model.records import Result
from ..model.token import Token
from .config import RunConfig
from .job import ActiveAttempt
from .job import adopted
from .poll import Poller
from .refuse import possible
from .refuse import withdraw
from .secrets import Secrets
from .state import EngineState
from .submit import Submitter


@dataclass(frozen=True, slots=True)
class Earlier:
    """A ledger's records of cells that another process began."""

    registrations: Sequence[Registration]
    results: Mapping[str, Result]
    """By key."""
    attempts: Mapping[str, Sequence[Attempt]]
    """By key, in order."""


RETRIED = frozenset({Reason.START_FAILED, Reason.PREEMPTED, Reason.NODE_FAILED, Reason.QUEUE_TIMEOUT})
"""The reasons after which ``infra_retries`` submits a new attempt."""

TICK_SECONDS = 0.5
"""Seconds between two checks for Ctrl-C and updates of the status line while no job ends."""

RETRY_PAUSE_SECONDS = 5.0
"""Seconds before the first retry; doubled for each further one."""


def _count(job: ActiveAttempt, earlier: Sequence[Attempt]) -> None:
    """Take over the job's used retries and reruns. Attempts that a dead session cancelled do not count."""
    outcomes = [attempt.outcome for attempt in earlier if attempt.outcome is not None]
    job.retries = sum(outcome.reason in RETRIED for outcome in outcomes)
    job.reruns = sum(outcome.reason_class is ReasonClass.PRODUCT for outcome in outcomes)


class Engine:
    """Submits, polls, judges and cancels jobs. ``open_backend`` is called once for each NAME."""

    def __init__(
        self,
        config: RunConfig,
        run_id: str,
        ledger: Ledger,
        open_backend: Callable[[str], Backend],
    ) -> None:
        self.core = EngineState(config, run_id, ledger, Secrets(ledger.path.parent))
        self._backends = BackendPool(open_backend)
        self._pollers: dict[str, Poller] = {}
        self._submitter = Submitter(self.core, self._backends.opened, self._adopt)
        self._taken: set[str] = set()
        self._expected: set[str] = set()
        self._by_test: dict[str, list[str]] = {}
        self._from_test: set[str] = set()

    # Adding cells.

    def add(self, registrations: Iterable[Registration], *, registered: bool = False) -> None:
        """Queue cells for submission, except known ones. ``registered``: the ledger already has them.

        Raises what opening their backends raises.
        """
        new = [entry for entry in registrations if entry.key not in self._taken]
        if not new:
            return
        self._taken.update(entry.key for entry in new)
        self._expected.update(entry.key for entry in new)
        for entry in new:
            self._ready(entry.cell.backend)
            if entry.test is not None:
                self._by_test.setdefault(entry.test, []).append(entry.key)
                self._from_test.add(entry.key)
        if not registered:
            self.core.ledger.register(new)
        self._enqueue([self._job(entry, 1) for entry in new])
        self._submitter.start(max(b.capabilities.submit_threads for b in self._backends.opened.values()))

    def resume(self, earlier: Earlier, *, submit: bool) -> None:
        """Continue cells where another process left them.

        With ``submit`` a cell that was never submitted is submitted, and a cell whose job was cancelled
        because its session ended is submitted again once that end is confirmed. Without ``submit`` nothing is
        submitted. Raises what opening backends raises.
        """
        waiting: list[ActiveAttempt] = []
        for entry in earlier.registrations:
            self._taken.add(entry.key)
            self._expected.add(entry.key)
            result = earlier.results.get(entry.key)
            attempts = earlier.attempts.get(entry.key, [])
            if result is not None and not (submit and result.judgement.verdict is Verdict.NOT_RUN):
                with self.core.changed:
                    self.core.complete(result)
            elif attempts and attempts[-1].is_live:
                self._ready(entry.cell.backend)
                job = adopted(entry, attempts[-1], self.core.clock, self.core.secrets)
                job.resubmit = submit and job.action is not None and job.action.kind is ActionKind.CANCEL
                _count(job, attempts[:-1])
                with self.core.changed:
                    self.core.in_flight.add(job)
                self._adopt(job)
            elif submit:
                self._ready(entry.cell.backend)
                job = self._job(entry, attempts[-1].number + 1 if attempts else 1)
                _count(job, attempts)
                waiting.append(job)
            else:
                self._expected.discard(entry.key)
        self._enqueue(waiting)
        if self._backends.opened:
            self._submitter.start(max(b.capabilities.submit_threads for b in self._backends.opened.values()))

    def _enqueue(self, jobs: Sequence[ActiveAttempt]) -> None:
        """Queue the jobs that can be submitted. All are checked before the first is submitted."""
        self.core.secrets.learn(job.spec for job in jobs)
        left = possible(self.core, self._backends.opened, jobs)
        with self.core.changed:
            self.core.queue.extend(left)
            self.core.changed.notify_all()

    def _ready(self, name: str) -> None:
        if name in self._pollers:
            return
        self._pollers[name] = Poller(self.core, name, self._backends(name), self._retry)
        self._pollers[name].start()

    def _job(self, entry: Registration, number: int) -> ActiveAttempt:
        token = str(Token.of(self.core.run_id, entry.key, number))
        return ActiveAttempt(entry, number, token, self.core.secrets)

    def _adopt(self, job: ActiveAttempt) -> None:
        self._pollers[job.registration.cell.backend].adopt(job)

    def _retry(self, job: ActiveAttempt, result: Result) -> ActiveAttempt | None:
        """The next attempt, if any, after an infrastructure failure or a failure that is to be rerun."""
        entry = job.registration
        retry = result.outcome.reason in RETRIED and job.retries < entry.cell.infra_retries
        failed = result.judgement.verdict is Verdict.FAILED and result.ruling is None
        rerun = failed and job.reruns < entry.reruns
        confirmed = job.observation is not None and job.observation.phase is Phase.ENDED
        # A session that does not wait for jobs cannot follow up on them.
        may = self.core.config.waits and not self.core.stopping
        if not (job.resubmit or retry or rerun) or not confirmed or not may:
            return None
        again = self._job(entry, job.number + 1)
        again.retries = job.retries + (retry and not job.resubmit)
        again.reruns = job.reruns + (rerun and not job.resubmit)
        pause = RETRY_PAUSE_SECONDS * 2.0**job.retries if retry and not job.resubmit else 0.0
        again.due_at = self.core.clock.monotonic() + pause
        return again

    def knows(self, key: str) -> bool:
        """Whether this cell was added."""
        return key in self._taken

    def jobs_of_test(self, nodeid: str) -> Sequence[str]:
        """The keys of the jobs that this Python test submitted."""
        return self._by_test.get(nodeid, ())

    def is_from_test(self, key: str) -> bool:
        """Whether this job was submitted from Python, and not from a matrix."""
        return key in self._from_test

    def expects(self, key: str) -> bool:
        """Whether this cell has or will get a result."""
        return key in self._expected

    # Results.

    def result(self, key: str) -> Result | None:
        """The result of one cell, or None if it has none yet."""
        return self.core.results.get(key)

    def next_result(self, timeout: float) -> Result | None:
        """Take the next result in completion order, waiting at most ``timeout`` seconds for it."""
        with self.core.changed:
            self._wait(lambda: bool(self.core.fresh), timeout)
            return self.core.results[self.core.fresh.popleft()] if self.core.fresh else None

    def wait_for(self, key: str, timeout: float) -> Result | None:
        """The result of one cell, waiting at most ``timeout`` seconds for it."""
        with self.core.changed:
            self._wait(lambda: key in self.core.results, timeout)
            return self.core.results.get(key)

    def _wait(self, is_available: Callable[[], bool], timeout: float) -> None:
        clock = self.core.clock
        until = clock.monotonic() + timeout
        while self.core.ending is None and not is_available():
            left = until - clock.monotonic()
            if left <= 0:
                break
            clock.wait(self.core.changed, left)
        self.raise_if_ending()

    def raise_if_ending(self) -> None:
        """Raise an internal error, or the exception with which the user's code ends the session."""
        if self.core.ending is not None:
            raise self.core.ending

    @property
    def api_errors(self) -> Mapping[str, str]:
        """The current errors of clusters' APIs, by backend NAME."""
        return {name: poller.api_error for name, poller in self._pollers.items() if poller.api_error}

    @property
    def refusals(self) -> Mapping[str, str]:
        """Why clusters accept no jobs for now, by backend NAME."""
        return self._submitter.refusals

    def counts(self) -> dict[str, int]:
        """How many cells are queued, pending, running and ended."""
        with self.core.changed:
            counts = {"queued": sum(1 for _ in self.core.waiting), "pending": 0, "running": 0}
            for job in self.core.in_flight:
                phase = job.observation.phase if job.observation is not None else Phase.PENDING
                counts["running" if phase is Phase.RUNNING else "pending"] += 1
            counts["ended"] = len(self.core.results)
            return counts

    @property
    def refused(self) -> Mapping[str, int]:
        """The reasons for which this run submits no jobs for some cells, with the number of cells."""
        with self.core.changed:
            actions = [result.outcome.action for result in self.core.results.values()]
        return Counter(each.why for each in actions if each is not None and each.kind is ActionKind.REFUSED)

    # Stopping.

    def cancel(self, keys: Iterable[str], why: str) -> None:
        """Cancel some cells' jobs. Those not submitted yet never will be, and get their result at once."""
        wanted = set(keys)
        action = OwnAction(ActionKind.CANCEL, why, self.core.clock.time())
        with self.core.changed:
            waiting = [job for job in self.core.waiting if job.key in wanted]
            self.core.drop(waiting)
            for job in self.core.in_flight:
                if job.key in wanted and job.request is None:
                    job.request = action
            self.core.changed.notify_all()
        withdraw(self.core, dict.fromkeys(waiting, action))

    def stop(self) -> None:
        """Stop submitting, and request cancellation of everything in flight. Returns immediately."""
        with self.core.changed:
            self.core.drop_all()
            self.core.stopping = True
            self.core.changed.notify_all()

    def close(self, timeout: float) -> int:
        """Stop, wait up to ``timeout`` seconds for confirmed ends, and return how many jobs are left.

        Submissions under way are cancelled when they arrive, within the same time.
        """
        self.stop()
        core = self.core
        until = core.clock.monotonic() + timeout
        with core.changed:
            while core.in_flight and core.broken is None:
                left = until - core.clock.monotonic()
                if left <= 0:
                    break
                core.clock.wait(core.changed, left)
            remaining = len(core.in_flight)
        for poller in self._pollers.values():
            poller.close()
        return remaining

    def settle(self, timeout: float, tick: Callable[[], None]) -> None:
        """Wait until all queued jobs are submitted, then up to ``timeout`` seconds for a first poll of each.

        Meanwhile ``tick`` is called at least every ``TICK_SECONDS`` seconds.
        """
        core = self.core
        since = None
        while True:
            with core.changed:
                # A job that is being submitted may be put back, to be submitted later.
                is_waiting = any(True for _ in core.waiting) or any(
                    not job.submissions for job in core.in_flight
                )
                since = None if is_waiting else core.clock.monotonic() if since is None else since
                all_polled = all(job.has_been_polled for job in core.in_flight)
                if since is not None and (all_polled or core.clock.monotonic() - since >= timeout):
                    return
                self.raise_if_ending()
                core.clock.wait(core.changed, TICK_SECONDS)
            tick()

    def unsubmitted(self) -> Collection[str]:
        """The keys of cells that have no result and no confirmed submission."""
        with self.core.changed:
            accepted = {job.key for job in self.core.in_flight if job.handle is not None}
            return self._expected - accepted - self.core.results.keys()

    def state(self, key: str) -> ActiveAttempt | None:
        """The cell's job in flight, if there is one."""
        with self.core.changed:
            return next((job for job in self.core.in_flight if job.key == key), None)

    def detach(self) -> None:
        """Stop tracking the jobs, and leave them running."""
        with self.core.changed:
            self.core.drop_all()
            self.core.detached = True
            self.core.changed.notify_all()
        for poller in self._pollers.values():
            poller.close()
        self._submitter.join()

    def close_backends(self) -> None:
        """Close the backends, after ``close``."""
        self._backends.close()
