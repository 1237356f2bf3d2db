"""``Jobs`` submits job specs. A ``Job`` is a submitted one, to poll, wait for, read logs of, or cancel."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any
from typing import Self

from ..backends.pool import BackendPool
from ..backends.protocol import Backend
from ..backends.registry import Site
from ..engine.attempt import ActiveAttempt
from ..engine.logs import reader_of
from ..engine.secrets import Secrets
from ..judge import failure_text
from ..model import Cell
from ..model import Expectation
from ..model import JobSpec
from ..model import Observation
from ..model import Outcome
from ..model import Phase
from ..model import Reason
from ..model import Verdict
from ..model.records import Registration
from ..model.records import Result
from . import CANCELLED
from . import NOT_AWAITED
from . import validation
from .errors import UnmetExpectation
from .run_client import RunClient

TICK_SECONDS = 0.5
"""Seconds between two checks of whether the run has been stopped."""

CANCEL_TIMEOUT_SECONDS = 30.0
"""Seconds to wait for the ends of jobs that are cancelled because they are no longer needed."""

MAX_RETRIES = 20
"""The largest ``infra_retries``, as in a matrix."""

MAX_TAIL_BYTES = 1 << 30

_KEYWORDS = ("backend", "expect", "infra_retries")
"""The keywords of ``submit`` that are not fields of a spec."""

ANY_END = Expectation(reasons=tuple(Reason))
"""The expectation of a job submitted without ``expect``: any end is accepted, and the test judges it."""


class RunStopped(Exception):
    """The run was stopped before the job ended; its job is being cancelled."""


class Job:
    """A job that has been submitted or is about to be. Use it from one thread at a time."""

    def __init__(
        self, client: RunClient, entry: Registration, open_backend: Callable[[str], Backend]
    ) -> None:
        self._client = client
        self._entry = entry
        self._open_backend = open_backend
        self._result: Result | None = None

    @property
    def key(self) -> str:
        """The job's name in reports and in the ``clusterjobs`` command."""
        return self._entry.key

    @property
    def spec(self) -> JobSpec:
        """The spec that the job runs."""
        return self._entry.cell.spec

    @property
    def job_id(self) -> str | None:
        """The cluster's id of the last attempt, or None if there is none yet. Raises LedgerError."""
        attempt = self._client.ledger.last_attempt(self.key)
        return attempt.handle.job_id if attempt is not None and attempt.handle is not None else None

    @property
    def result(self) -> Result | None:
        """Outcome and judgement once the job has ended, else None. Does not wait."""
        self._result = self._result or self._client.result(self.key, 0.0)
        return self._result

    def poll(self) -> Observation:
        """The last observation of the job, without a new request to the cluster. Raises LedgerError."""
        attempt = self._client.ledger.last_attempt(self.key)
        if attempt is None or attempt.observation is None:
            ended = self.result is not None
            return Observation(
                Phase.ENDED if ended else Phase.PENDING, native_state="" if ended else "queued"
            )
        return attempt.observation

    def wait(self, timeout: float | str | None = None) -> Outcome:
        """Wait for the job to end, at most ``timeout`` (seconds, or a text such as ``2m``).

        Raises TimeoutError (the job continues to run) or RunStopped.
        """
        timeout = validation.seconds("timeout", timeout)
        until = None if timeout is None else time.monotonic() + timeout
        while self.result is None:
            left = TICK_SECONDS if until is None else min(TICK_SECONDS, until - time.monotonic())
            if left <= 0:
                raise TimeoutError(f"{self.key}: {self.poll().phase} after {timeout:g} s")
            self._result = self._client.result(self.key, left)
            if self._result is None and self._client.stopped:
                raise RunStopped(f"{self.key}: the run was stopped before its job ended")
        assert self._result is not None
        return self._result.outcome

    def logs(self, node: int = 0, *, tail: int | None = None) -> str:
        """The current log of a rank's last start, or its last ``tail`` bytes, with secrets hidden.

        Empty before the job is submitted. Raises TypeError, ValueError, BackendError.
        """
        attempt = self._client.ledger.last_attempt(self.key)
        submitted = attempt.spec if attempt is not None and attempt.spec is not None else self.spec
        validation.whole("node", node, 0, submitted.nodes - 1)
        if tail is not None:
            validation.whole("tail", tail, 1, MAX_TAIL_BYTES)
        if attempt is None or attempt.handle is None:
            return ""
        secrets = Secrets(self._client.ledger.path.parent)
        job = ActiveAttempt(
            self._entry, attempt.number, attempt.token, secrets, prepared=attempt.spec, handle=attempt.handle
        )
        logs = reader_of(self._open_backend(self._entry.cell.backend), job)
        return logs.whole(node).text if tail is None else logs.tail(node, tail)

    def unmet(self) -> str | None:
        """How the job's end differs from its ``expect``; None if it does not. Raises RunStopped."""
        cell = self._entry.cell
        if cell.expect is ANY_END:
            return None
        self.wait()
        assert self.result is not None
        judgement = self.result.judgement
        if judgement.verdict not in (Verdict.FAILED, Verdict.ERROR):
            return None
        test = self._entry.test
        if test == self._entry.path:  # an open_backend block, which pytest cannot run
            test = None
        return failure_text(
            judgement,
            self.result.outcome,
            cell.expect,
            cell.spec,
            location=f"{self._entry.path}:{cell.line}",
            rerun=f"pytest {shlex.quote(test)}" if test is not None else None,
            log_tails=self.result.logs,
            job_id=self.result.job_id,
            url=self.result.url,
        )

    def cancel(self) -> None:
        """Request cancellation; ``wait`` returns when the job has ended.

        Does nothing if it has already ended.
        """
        if self.result is None:
            self._client.cancel(self.key, CANCELLED)


class Jobs:
    """Submits jobs to a run. On exit, as a context manager, it cancels the jobs that have not ended."""

    def __init__(
        self, client: RunClient, site: Site, *, owner: str, path: str, line: int = 1, backend: str = "local"
    ) -> None:
        self._client = client
        self._site = site
        self._owner = owner
        self._path = path
        self._line = line
        self._backend = backend
        self._jobs: list[Job] = []
        self._closed = False
        self._backends = BackendPool(client.open_backend)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        try:
            self._cancel_all()
        finally:
            self._backends.close()

    def submit(
        self,
        spec: JobSpec | str,
        *,
        backend: str | None = None,
        expect: Expectation | Mapping[str, Any] | None = None,
        infra_retries: int = 0,
        **fields: Any,
    ) -> Job:
        """Submit a job and return immediately.

        ``spec`` is a JobSpec, or the text of its ``run``; ``fields`` are further fields of the spec.
        ``expect`` is how the job must end, as an Expectation or in a matrix's notation: if it is unmet, a
        test that would otherwise pass fails. Without ``expect`` the test itself judges the job.

        Raises TypeError, ValueError, SiteError, BackendError, LedgerError, and RuntimeError after the end of
        the test or block.
        """
        if self._closed:
            raise RuntimeError(f"{self._owner} has ended, and its jobs with it: submit jobs before its end")
        validation.keywords(fields, _KEYWORDS)
        given = validation.spec_of(spec, fields)
        name = self._backend if backend is None else validation.text("backend", backend)
        wanted = validation.expectation(expect, given)
        retries = validation.whole("infra_retries", infra_retries, 0, MAX_RETRIES)
        entry = self._entry(validation.checked(given, self._site, name), name, wanted, retries)
        job = Job(self._client, entry, self._backends)
        self._client.submit(job._entry)
        self._jobs.append(job)
        return job

    def run(self, spec: JobSpec | str, *, timeout: float | str | None = None, **others: Any) -> Outcome:
        """Submit a job and wait for it to end. Raises what ``submit`` and ``wait`` raise."""
        timeout = validation.seconds("timeout", timeout)
        validation.keywords(others, (*_KEYWORDS, "timeout"))
        return self.submit(spec, **others).wait(timeout)

    def check(self) -> None:
        """Wait for the jobs that have an ``expect``. Raises UnmetExpectation if one ended otherwise."""
        texts = [text for job in self._jobs if (text := job.unmet()) is not None]
        if texts:
            raise UnmetExpectation("\n\n".join(texts), texts[0].partition("\n")[0])

    def _entry(self, spec: JobSpec, backend: str, expect: Expectation | None, retries: int) -> Registration:
        known = {job.key for job in self._jobs}
        name, number = spec.name, 1
        while (key := f"{self._owner}::{name}") in known or self._client.ledger.has_cell(key):
            number += 1
            name = f"{spec.name}.{number}"
        axes = {
            "recipe": spec.recipe or spec.name,
            "nodes": str(spec.nodes),
            "condition": spec.condition or "from-python",
        }
        cell = Cell(name, self._line, axes, backend, spec, expect or ANY_END, infra_retries=retries)
        return Registration(key, self._path, cell, test=self._owner)

    def _cancel_all(self) -> None:
        live = [job for job in self._jobs if job.result is None]
        for job in live:
            self._client.cancel(job.key, NOT_AWAITED)
        until = time.monotonic() + CANCEL_TIMEOUT_SECONDS
        for job in live:
            self._client.result(job.key, max(0.0, until - time.monotonic()))
