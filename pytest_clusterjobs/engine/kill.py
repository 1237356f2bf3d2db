"""Ends jobs of a run for kill, sweep and reap: a core whose policy is to cancel, and its driver."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Collection
from dataclasses import dataclass

from ..backends.pool import BackendPool
from ..backends.protocol import Backend
from ..ledger.ledger import Ledger
from ..ledger.ledger import LedgerError
from ..ledger.ledger import Superseded
from ..model import Handle
from ..model import Observation
from ..model.records import Attempt
from .attempt import ActiveAttempt
from .attempt import HAS_ENDED
from .attempt import SubmissionState
from .clock import Clock
from .clock import SystemClock
from .core import Core
from .driver import Driver
from .driver import TIMER_LANE
from .executor import ThreadExecutor
from .extensions import NoExtensions
from .messages import Settle
from .messages import SubmitterGone
from .policy import Policy
from .secrets import Secrets

SUBMITTER_CHECK_SECONDS = 0.2
"""Seconds between two checks whether another process still submits jobs of the run."""

LAST_ANSWER_SECONDS = 60.0
"""The most seconds to wait, beyond a timeout, until every cluster was asked once."""

LAST_COMMIT_SECONDS = 5.0
"""The most seconds to wait at the end for the ledger."""


@dataclass(frozen=True, slots=True)
class CancelTarget:
    """A job that was to be ended."""

    token: str
    backend: str
    attempt: Attempt | None
    """None for a job that the ledger does not know."""
    handle: Handle | None
    seen: Observation | None
    is_recorded: bool
    """Whether this run has cancelled it."""
    never_submitted: bool
    ended: bool
    """Whether the scheduler has confirmed that no part of it runs."""
    error: str
    """The cluster's last error about it."""


class Canceller:
    """Cancels jobs of one run and polls until their ends are confirmed.

    Errors of a cluster, of a backend or of the ledger's disk are noted and do not stop it, because the
    jobs still run. ``names`` are the backends that the run uses, ``keys`` the cells whose jobs to cancel
    (None: all cells of the run), and ``session`` is the number in the ledger of the session whose jobs these
    are (None: the last one). The jobs of a session that begins meanwhile are left to it. Raises LedgerError.
    """

    def __init__(
        self,
        ledger: Ledger,
        secrets: Secrets,
        run_id: str,
        backends: Callable[[str], Backend],
        names: Collection[str],
        keys: Collection[str] | None,
        why: str,
        clock: Clock | None = None,
        session: int | None = None,
    ) -> None:
        self.clock = clock or SystemClock()
        self.unwritten = ""
        """Why the ledger could not be read or written; empty if it could."""
        self._core = Core(Policy.canceller(why, keys), run_id, secrets)
        self._core.adoption.begin(sorted(names))
        self._executor = ThreadExecutor(self.clock)
        self._driver = Driver(
            self._core,
            ledger,
            BackendPool(backends),
            self._executor,
            self.clock,
            NoExtensions(),
            ledger.session() if session is None else session,
        )

    def run(self, timeout: float, *, wait_for_more: Callable[[], bool] = lambda: False) -> None:
        """Cancel, and wait at most ``timeout`` seconds.

        ``wait_for_more()``: whether jobs may still be submitted. Raises Superseded when a later session has
        begun, LedgerError if the first read of the ledger fails.
        """
        driver, adoption = self._driver, self._core.adoption
        self._executor.start(TIMER_LANE, 1, driver.run_timer)
        until = self.clock.monotonic() + timeout
        submits = True
        driver.tick()
        with driver.changed, driver.watched():
            while not adoption.is_done() and driver.failure is None:
                now = self.clock.monotonic()
                if isinstance(self._core.broken, Superseded):
                    break
                # Every cluster is asked once, however little time there is.
                if now >= until and (adoption.has_asked() or now >= until + LAST_ANSWER_SECONDS):
                    break
                if adoption.unwritten and not adoption.is_read:
                    break
                if submits and not wait_for_more():
                    submits = False
                    driver.post(SubmitterGone())
                    continue
                left = until - now if now < until else until + LAST_ANSWER_SECONDS - now
                pause = min(SUBMITTER_CHECK_SECONDS, left) if submits else left
                self.clock.wait(driver.changed, pause)
            self._finish()

    def _finish(self) -> None:
        core, adoption = self._core, self._core.adoption
        adoption.close()
        self._wait_for_ledger()
        self.unwritten = adoption.unwritten
        if self._driver.failure is not None:
            raise self._driver.failure
        if isinstance(core.broken, Superseded):
            raise core.broken
        if not adoption.is_read and adoption.unwritten:
            raise LedgerError(adoption.unwritten)

    def _wait_for_ledger(self) -> None:
        until = self.clock.monotonic() + LAST_COMMIT_SECONDS
        core = self._core
        while not core.state.outbox.is_empty and core.broken is None:
            left = until - self.clock.monotonic()
            if left <= 0:
                return
            self.clock.wait(self._driver.changed, left)

    def settle(self) -> None:
        """Give the cancelled jobs their verdict, for a run whose session is gone."""
        with self._driver.changed, self._driver.watched():
            self._driver.post(Settle())
            self._wait_for_ledger()
        if self._core.broken is not None:
            raise self._core.broken

    def close(self) -> None:
        """End the threads."""
        self._driver.close()

    # What has become of the jobs.

    @property
    def targets(self) -> dict[str, CancelTarget]:
        """The jobs by token."""
        with self._driver.changed:
            return {token: self._target(job) for token, job in self._core.state.attempts.items()}

    def _target(self, job: ActiveAttempt) -> CancelTarget:
        never_submitted = job.submission is SubmissionState.WITHDRAWN
        return CancelTarget(
            token=job.token,
            backend=job.backend,
            attempt=None if job.token in self._core.adoption.strays else job.attempt(),
            handle=job.handle,
            seen=job.observation,
            is_recorded=job.action is not None,
            never_submitted=never_submitted,
            ended=never_submitted or job.life in HAS_ENDED,
            error=job.why,
        )

    @property
    def still_running(self) -> list[CancelTarget]:
        """The jobs whose end has not been confirmed."""
        return [target for target in self.targets.values() if not target.ended]

    @property
    def errors(self) -> dict[str, str]:
        """The last errors of backends, by NAME."""
        with self._driver.changed:
            return {each.name: each.error for each in self._core.state.clusters.values() if each.error}
