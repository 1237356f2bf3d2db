"""Cells in a plain pytest process, which runs the engine around pytest's loop."""

from __future__ import annotations

from collections.abc import Generator
from collections.abc import Sequence

import pytest

from ..api.run_client import InProcessRun
from ..engine.config import Mode
from ..engine.host import Run
from ..engine.run import TICK_SECONDS
from ..model import ActionKind
from ..model import Outcome
from ..model import Reason
from ..model.records import Result
from ..model.text import one_line
from ..reports.verdicts import NOT_RUN
from ..reports.verdicts import PENDING
from .completion_order import CompletionLoop
from .completion_order import is_over
from .fixture import LINK_KEY
from .items import CellItem
from .reporting import CellSession
from .reporting import PolledResults
from .reporting import SESSION_STOPPED
from .run_session import RunSession
from .selection import left_out
from .selection import register
from .selection import select
from .selection import submits_jobs
from .settings import SessionSettings

FIRST_POLL_TIMEOUT_SECONDS = 60.0
"""Seconds to wait for a first observation of every job in a session that does not wait for their ends."""


def _was_not_accepted(outcome: Outcome) -> bool:
    """Whether the cluster did not accept the job, or not in time."""
    action = outcome.action
    return outcome.reason is Reason.REJECTED or (action is not None and action.kind is ActionKind.NOT_TAKEN)


class SingleProcess:
    """Runs the engine around pytest's loop, with exactly the cells that will run."""

    def __init__(self, config: pytest.Config, settings: SessionSettings) -> None:
        self._config = config
        self._settings = settings

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Submit all cells ahead, and cancel what still runs however the loop ends."""
        items = select(session)
        if not items and not submits_jobs(session):
            return (yield)
        run_session = RunSession(self._config, self._settings)
        manager = self._config.pluginmanager
        with run_session.running() as run:
            manager.register(run_session, "clusterjobs-run-session")
            manager.register(
                CellSession(self._config, self._results(run, run_session, session)), "clusterjobs-session"
            )
            self._config.stash[LINK_KEY] = InProcessRun(run)
            if self._settings.run_config.mode.is_new:
                run.ledger.set_meta(left_out=left_out(session))
            self._begin(run, run_session, items)
            self._loop.begin(run.engine, run_session)
            return (yield)

    def _begin(self, run: Run, run_session: RunSession, items: Sequence[CellItem]) -> None:
        """Submit new cells, and continue what an earlier session began."""
        if self._settings.run_config.mode.is_new:
            run.engine.add(register(items))
        else:
            earlier = run.earlier({item.key for item in items})
            known = {entry.key for entry in earlier.registrations}
            run.engine.resume(earlier)
            if self._settings.run_config.mode is Mode.RESUME:
                run.engine.add(register([item for item in items if item.key not in known]))
        if not self._settings.run_config.waits:
            run.engine.settle(FIRST_POLL_TIMEOUT_SECONDS, run_session.progress.tick)
            run_session.progress.clear()

    def _results(self, run: Run, run_session: RunSession, session: pytest.Session) -> PolledResults:
        engine = run.engine

        def result_if_refused(key: str) -> Result | None:
            result = engine.result(key)
            settled = result is not None and (_was_not_accepted(result.outcome) or result.ruling is not None)
            return result if settled else None

        if self._settings.run_config.mode is Mode.LAUNCH:
            # A later check judges the accepted jobs, even those that have already ended.
            return PolledResults(
                result_if_refused, lambda key: True, why_none=lambda key: self._why_pending(run, key)
            )
        if not self._settings.run_config.waits:
            return PolledResults(
                engine.result, lambda key: True, why_none=lambda key: self._why_pending(run, key)
            )
        return PolledResults(
            lambda key: engine.wait_for(key, TICK_SECONDS),
            lambda key: engine.stopping or not engine.expects(key) or is_over(session),
            run_session.progress.tick,
            lambda key, why: engine.cancel([key], why),
            lambda key: self._why_none(run, key, session),
            run_session.progress.clear,
        )

    def _why_none(self, run: Run, key: str, session: pytest.Session) -> str:
        if is_over(session) and not self._settings.run_config.mode.leaves_jobs:
            return f"{NOT_RUN}{SESSION_STOPPED}"
        return self._why_pending(run, key)

    def _why_pending(self, run: Run, key: str) -> str:
        job = run.engine.state(key)
        if job is None and run.engine.stopping:
            return f"{NOT_RUN}{SESSION_STOPPED}"
        if (result := run.engine.result(key)) is not None:
            return f"{PENDING}job {result.job_id} of run {run.run_id}: ended, not judged yet"
        if job is None:
            return f"{NOT_RUN}not submitted in run {run.run_id} (--cluster-resume submits it)"
        number = f"job {job.handle.job_id}" if job.handle and job.handle.job_id else job.token
        seen = job.observation
        state = "submitted" if seen is None else " ".join(filter(None, [seen.phase, seen.native_reason]))
        return f"{PENDING}{number} of run {run.run_id}: {one_line(state)}"

    @property
    def _loop(self) -> CompletionLoop:
        loop = self._config.pluginmanager.get_plugin("clusterjobs-loop")
        assert isinstance(loop, CompletionLoop)
        return loop
