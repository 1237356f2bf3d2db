"""The engine of a session: add cells, take results as jobs end; closing it cancels what still runs."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field

from ..backends.pool import BackendPool
from ..backends.protocol import Backend
from ..ledger.ledger import Ledger
from ..model import ActionKind
from ..model import Phase
from ..model.records import Attempt
from ..model.records import Registration
from ..model.records import Result
from .attempt import ActiveAttempt
from .attempt import SubmissionState
from .config import Mode
from .config import RunConfig
from .core import Core
from .driver import Driver
from .driver import TIMER_LANE
from .executor import ThreadExecutor
from .messages import AnyEvent
from .messages import CancelCells
from .messages import CellsAdded
from .messages import Detach
from .messages import Resumed
from .messages import Stop
from .policy import Policy
from .screen import screen
from .secrets import Secrets
from .state import Limits


@dataclass(frozen=True, slots=True)
class Earlier:
    """A ledger's records of cells that another process began."""

    registrations: Sequence[Registration]
    results: Mapping[str, Result]
    """By key."""
    attempts: Mapping[str, Sequence[Attempt]]
    """By key, in order."""
    replaced: Mapping[str, int] = field(default_factory=dict)
    """By key, the number of the last attempt that was replaced."""
    incomplete: bool = False
    """Whether a session may have cancelled jobs without a record: it was interrupted, or lost the ledger."""


TICK_SECONDS = 0.5
"""Seconds between two checks for Ctrl-C and updates of the status line while no job ends."""


def policy_of(config: RunConfig) -> Policy:
    """What a session may do, by its mode."""
    submits = config.mode is not Mode.CHECK
    return Policy.session(submits=submits, follows_up=config.waits, resumes=config.mode is Mode.RESUME)


class Engine:
    """The session's side of a driver. ``open_backend`` is called once for each NAME."""

    def __init__(
        self,
        config: RunConfig,
        run_id: str,
        ledger: Ledger,
        open_backend: Callable[[str], Backend],
        session: int | None = None,
    ) -> None:
        self.config = config
        self.secrets = Secrets(ledger.path.parent)
        extensions = config.extensions
        self._core = Core(
            policy_of(config),
            run_id,
            self.secrets,
            Limits(config.max_jobs, config.max_nodes),
            has_hooks=extensions.is_asked,
            prepares=extensions.changes_specs,
        )
        self._backends = BackendPool(open_backend)
        self._ledger = ledger
        self._executor = ThreadExecutor(config.clock)
        self._driver = Driver(
            self._core, ledger, self._backends, self._executor, config.clock, extensions, session
        )
        self._has_begun = False
        self._taken: dict[str, None] = {}
        self._expected: dict[str, None] = {}
        self._opened: dict[str, None] = {}
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
        self._take(new)
        for entry in new:
            self._open(entry.cell.backend)
            if entry.test is not None:
                self._by_test.setdefault(entry.test, []).append(entry.key)
                self._from_test.add(entry.key)
        if not registered:
            self._ledger.register(new)
        self._post(CellsAdded(new, *self._screened(new)))

    def resume(self, earlier: Earlier) -> None:
        """Continue cells where another process left them.

        If the session's mode submits jobs, a cell that was never submitted is submitted, and a cell whose job
        was cancelled because its session ended is submitted again once that end is confirmed. Raises what
        opening backends raises.
        """
        entries = earlier.registrations
        self._take(entries)
        submits = self._core.state.policy.submits
        live = {key for key, attempts in earlier.attempts.items() if attempts and attempts[-1].is_live}
        left = [
            entry for entry in entries if entry.key in live or (submits and entry.key not in earlier.results)
        ]
        again = [
            entry for entry in entries if submits and entry.key in earlier.results and entry.key not in live
        ]
        for entry in (*left, *again):
            self._open(entry.cell.backend)
        new = [entry for entry in (*left, *again) if submits and entry.key not in live]
        refused, rejected = self._screened(new)
        self._post(
            Resumed(
                entries,
                earlier.results,
                earlier.attempts,
                refused,
                rejected,
                earlier.replaced,
                earlier.incomplete,
            )
        )

    def _take(self, entries: Iterable[Registration]) -> None:
        keys = [entry.key for entry in entries]
        with self._driver.changed:
            self._taken.update(dict.fromkeys(keys))
            self._expected.update(dict.fromkeys(keys))

    def _open(self, name: str) -> None:
        if name not in self._opened:
            opened = self._driver.opened(name, self._backends(name))
            self._opened[name] = None
            self._post(opened)

    def _screened(self, entries: Sequence[Registration]) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """Why jobs cannot be submitted, by key, as far as is known before: all are checked before the first.

        If a hook may change the specs, each job is checked just before its submission instead.
        """
        self.secrets.learn(entry.cell.spec for entry in entries)
        if self.config.extensions.changes_specs:
            return {}, {}
        return screen(entries, self._backends.opened, self.config.max_nodes)

    def _post(self, event: AnyEvent) -> None:
        if not self._has_begun:
            self._has_begun = True
            self._executor.start(TIMER_LANE, 1, self._driver.run_timer)
        self._driver.post(event, in_turn=threading.current_thread() is not threading.main_thread())

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
        with self._driver.changed:
            state = self._core.state
            return key in self._expected and (key in state.expected or key not in state.cells)

    # Results.

    def result(self, key: str) -> Result | None:
        """The result of one cell, or None if it has none yet."""
        return self._core.result(key)

    def next_result(self, timeout: float) -> Result | None:
        """Take the next result in completion order, waiting at most ``timeout`` seconds for it."""
        fresh = self._driver.fresh
        with self._driver.changed:
            self._wait(lambda: bool(fresh), timeout)
            return self._core.result(fresh.popleft()) if fresh else None

    def wait_for(self, key: str, timeout: float) -> Result | None:
        """The result of one cell, waiting at most ``timeout`` seconds for it."""
        with self._driver.changed:
            self._wait(lambda: self._core.result(key) is not None, timeout)
            return self._core.result(key)

    def _wait(self, is_available: Callable[[], bool], timeout: float) -> None:
        clock = self.config.clock
        until = clock.monotonic() + timeout
        while self.ending is None and not is_available():
            left = until - clock.monotonic()
            if left <= 0:
                break
            clock.wait(self._driver.changed, left)
        self.raise_if_ending()

    @property
    def ending(self) -> BaseException | None:
        """The exception that ends the session, raised in the thread that waits for results."""
        return self._driver.failure or self._core.broken or self.config.extensions.ending

    def raise_if_ending(self) -> None:
        """Raise an internal error, or the exception with which the user's code ends the session."""
        if (ending := self.ending) is not None:
            raise ending

    def fail(self, error: BaseException) -> None:
        """Stop everything because of an internal error."""
        self._driver.fail(error)

    @property
    def api_errors(self) -> Mapping[str, str]:
        """The current errors of clusters' APIs, by backend NAME."""
        with self._driver.changed:
            return {each.name: each.error for each in self._core.state.clusters.values() if each.error}

    @property
    def refusals(self) -> Mapping[str, str]:
        """Why clusters accept no jobs for now, by backend NAME."""
        found: dict[str, str] = {}
        with self._driver.changed:
            state = self._core.state
            for job in state.attempts.values():
                breaker = state.cluster(job).breakers.get(job.group or "")
                if job.handle is None and breaker is not None and breaker.last_error:
                    found[job.backend] = breaker.last_error
        return found

    def counts(self) -> dict[str, int]:
        """How many cells are queued, pending, running and ended."""
        with self._driver.changed:
            state = self._core.state
            counts = {"queued": sum(1 for _ in state.waiting), "pending": 0, "running": 0}
            for job in state.in_flight:
                counts["running" if self._core.phase_of(job) is Phase.RUNNING else "pending"] += 1
            counts["ended"] = len(state.results)
            return counts

    @property
    def refused(self) -> Mapping[str, int]:
        """The reasons for which this run submits no jobs for some cells, with the number of cells."""
        with self._driver.changed:
            actions = [result.outcome.action for result in self._core.state.results.values()]
        return Counter(each.why for each in actions if each is not None and each.kind is ActionKind.REFUSED)

    @property
    def strays(self) -> Sequence[str]:
        """The tokens of the jobs that were cancelled because a cluster has them and the ledger does not."""
        with self._driver.changed:
            return list(self._core.adoption.strays)

    # Stopping.

    @property
    def stopping(self) -> bool:
        """Whether nothing is submitted any more and every job is cancelled."""
        return self._driver.halted

    def cancel(self, keys: Iterable[str], why: str) -> None:
        """Cancel some cells' jobs. Those not submitted yet never will be, and get their result at once."""
        self._post(CancelCells(tuple(keys), why))

    def stop(self) -> None:
        """Stop submitting, and request cancellation of everything in flight. Returns immediately."""
        self._driver.halted = True
        self._post(Stop())

    def close(self, timeout: float) -> int:
        """Stop, wait up to ``timeout`` seconds for confirmed ends, and return how many jobs are left.

        Submissions under way are cancelled when they arrive, within the same time.
        """
        self.stop()
        self._wait_until(
            lambda: not self._core.unfinished and not self._core.is_sweeping and self._is_idle, timeout
        )
        # With unfinished jobs the reaper reads the list; without any it is not needed, and ends.
        self._wait_until(
            lambda: bool(self._core.unfinished) or not self._core.is_sweeping, SWEEP_TIMEOUT_SECONDS
        )
        with self._driver.changed:
            left = len(self._core.unfinished)
        self._driver.close()
        return left

    @property
    def _is_idle(self) -> bool:
        """Whether everything that was posted is handled and written."""
        return self._driver.is_idle and (self._core.state.outbox.is_empty or self._core.broken is not None)

    @property
    def is_recorded(self) -> bool:
        """Whether the ledger has everything that was done."""
        return self._core.is_recorded

    def _wait_until(self, is_true: Callable[[], bool], timeout: float) -> None:
        clock = self.config.clock
        until = clock.monotonic() + timeout
        with self._driver.changed, self._driver.watched():
            while not is_true() and self._driver.failure is None:
                left = until - clock.monotonic()
                if left <= 0:
                    return
                clock.wait(self._driver.changed, left)

    def settle(self, timeout: float, tick: Callable[[], None]) -> None:
        """Wait until all queued jobs are submitted, then up to ``timeout`` seconds for a first poll of each.

        Meanwhile ``tick`` is called at least every ``TICK_SECONDS`` seconds.
        """
        clock, since = self.config.clock, None
        while True:
            with self._driver.changed, self._driver.watched():
                jobs = self._core.state.attempts.values()
                submitted = self._driver.is_idle and all(job.submission in _SUBMITTED for job in jobs)
                since = None if not submitted else clock.monotonic() if since is None else since
                all_polled = not any(self._core.is_undecided(job) for job in jobs)
                if since is not None and (all_polled or clock.monotonic() - since >= timeout):
                    return
                self.raise_if_ending()
                clock.wait(self._driver.changed, TICK_SECONDS)
            tick()

    def unsubmitted(self) -> Collection[str]:
        """The keys of cells that have no result and no confirmed submission."""
        with self._driver.changed:
            state = self._core.state
            accepted = {job.key for job in state.attempts.values() if job.handle is not None}
            return {key for key in self._expected if self.expects(key)} - accepted - state.results.keys()

    def in_flight(self) -> Sequence[ActiveAttempt]:
        """The jobs that have left the queue and have no recorded end."""
        with self._driver.changed:
            return list(self._core.state.in_flight)

    def state(self, key: str) -> ActiveAttempt | None:
        """The cell's job in flight, if there is one."""
        return next((job for job in self.in_flight() if job.key == key), None)

    def detach(self) -> None:
        """Stop tracking the jobs, and leave them running.

        Waits for submissions under way, and for the ends of jobs that are being cancelled.
        """
        self._driver.halted = True
        self._post(Detach())
        self._wait_until(
            lambda: self._is_idle and not self._has_unanswered_submissions, DETACH_TIMEOUT_SECONDS
        )
        self._wait_until(lambda: not self._core.is_cancelling, CANCEL_TIMEOUT_SECONDS)
        self._driver.close()

    @property
    def _has_unanswered_submissions(self) -> bool:
        return any(job.submission is SubmissionState.SENT for job in self._core.state.attempts.values())

    def close_backends(self) -> None:
        """Close the backends, after ``close``."""
        self._backends.close()


SWEEP_TIMEOUT_SECONDS = 30.0
"""The most seconds for which the end of a resumed session waits for the cluster's list of jobs."""
CANCEL_TIMEOUT_SECONDS = 120.0
"""The most seconds to wait for the ends of cancelled jobs, as ``clusterjobs kill`` does."""
DETACH_TIMEOUT_SECONDS = 3600.0
"""The most seconds to wait for the answers to submissions under way, as long as a call may take."""

_SUBMITTED = frozenset({SubmissionState.UNANSWERED, SubmissionState.ACCEPTED, SubmissionState.WITHDRAWN})
