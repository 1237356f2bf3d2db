"""A run on a backend under test: submit jobs, wait for them, judge them, read their logs."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any
from typing import Self

from ..backends.logs import read_log
from ..backends.protocol import Backend
from ..backends.protocol import BackendContext
from ..backends.protocol import BackendError
from ..backends.protocol import Notifying
from ..backends.protocol import Throttled
from ..engine.logs import LogReader
from ..judge import outcome
from ..model import Classification
from ..model import Handle
from ..model import JobSpec
from ..model import LogChunk
from ..model import Observation
from ..model import Outcome
from ..model import OwnAction
from ..model import Phase
from ..model.batches import batched
from ..model.token import Token
from .harness import Harness

_THROTTLED_PAUSES_SECONDS = (1.0, 2.0, 4.0)
_MIN_POLL_PAUSE_SECONDS = 0.02


@dataclass(slots=True)
class SubmittedJob:
    """A job that :class:`Cluster` has submitted, with everything that polls returned for it."""

    spec: JobSpec
    token: str
    handle: Handle
    backend: Backend
    seen: list[Observation] = field(default_factory=list)

    @property
    def phases(self) -> list[Phase]:
        """The phases in the order in which polls returned them, without repetitions."""
        phases = [observation.phase for observation in self.seen]
        return [phase for i, phase in enumerate(phases) if i == 0 or phases[i - 1] is not phase]


class Cluster:
    """One run on the backend of a :class:`Harness`, as a context manager.

    Leaving the block cancels the jobs that still run. Jobs are judged as in a real run, but without an engine
    and a ledger, so that tests see each answer of the backend.
    """

    def __init__(self, harness: Harness, folder: Path, run_id: str | None = None) -> None:
        self.harness = harness
        self.folder = folder
        self.run_id = run_id or f"c{time.time_ns():x}"
        self._numbers = count()
        self._opened: list[Backend] = []
        self._changed: dict[int, threading.Event] = {}
        self.backend = self.open()
        """The backend that ``submit`` uses."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with ExitStack() as stack:
            for backend in self._opened:
                stack.callback(backend.close)
            self._clean_up()

    # Opening.

    def context(self) -> BackendContext:
        """The context with which the backend is opened for this run."""
        run_dir = self.folder / self.run_id
        run_dir.mkdir(parents=True, exist_ok=True)
        return BackendContext(
            name=self.harness.type.name,
            run_id=self.run_id,
            run_dir=run_dir,
            rootdir=self.folder,
            settings=self.harness.type.validate(self.harness.settings),
        )

    def open(self) -> Backend:
        """Open the backend again for the same run, as another process would."""
        backend = self.harness.type.open(self.context())
        self._opened.append(backend)
        if isinstance(backend, Notifying):
            changed = self._changed[id(backend)] = threading.Event()
            backend.subscribe(lambda tokens: changed.set())
        return backend

    # Submitting.

    def seconds(self, seconds: float) -> float:
        """A duration for this cluster: ``seconds`` times the harness's scale."""
        return seconds * self.harness.scale

    def spec(self, run: str, **fields: Any) -> JobSpec:
        """A spec with this harness's options."""
        given = {"options": self.harness.options, "max_runtime": self.seconds(300.0), **fields}
        return JobSpec(run, **given)

    def token(self, attempt: int = 1) -> str:
        """A token of this run that no job has."""
        return str(Token.of(self.run_id, f"conformance::{next(self._numbers)}", attempt))

    def submit(
        self, run: str, *, token: str | None = None, backend: Backend | None = None, **fields: Any
    ) -> SubmittedJob:
        """Submit a job; ``fields`` are those of JobSpec. Only the JSON of the handle is kept."""
        backend = backend or self.backend
        token = token or self.token()
        spec = self.spec(run, **fields)
        return SubmittedJob(spec, token, through_json(self._submit(backend, spec, token)), backend)

    def _submit(self, backend: Backend, spec: JobSpec, token: str) -> Handle:
        for pause in _THROTTLED_PAUSES_SECONDS:
            try:
                return backend.submit(spec, token)
            except Throttled:
                time.sleep(pause)
        return backend.submit(spec, token)

    # Watching.

    def poll(self, *jobs: SubmittedJob) -> list[Observation]:
        """One poll of each job, in batches as large as the backend accepts; ``[]`` if none was seen."""
        seen: list[Observation] = []
        for backend in {id(job.backend): job.backend for job in jobs}.values():
            of_backend = [job for job in jobs if job.backend is backend]
            for batch in batched(of_backend, backend.capabilities.ids_per_poll):
                seen += _poll(backend, batch)
        return seen

    def wait(
        self,
        *jobs: SubmittedJob,
        until: Callable[[Observation], bool] = lambda observation: observation.phase is Phase.ENDED,
        seconds: float = 10.0,
    ) -> Observation:
        """Poll until ``until`` holds for every job; returns the last observation of the first job.

        Fails ``start_seconds`` and ``seconds`` (scaled) from now.
        """
        deadline = time.monotonic() + self.harness.start_seconds + self.seconds(seconds)
        waiting = list(jobs)
        while True:
            self._clear(waiting)
            failure = self._try(self.poll, *waiting)
            waiting = [job for job in waiting if not (job.seen and until(job.seen[-1]))]
            if not waiting:
                return jobs[0].seen[-1]
            assert time.monotonic() < deadline, f"still waiting for {_names(waiting)}{failure}"
            self._pause(waiting[0].backend)

    def end(self, job: SubmittedJob, *, seconds: float = 10.0, action: OwnAction | None = None) -> Outcome:
        """Wait for a job's end and its log, and judge it as a run does."""
        observation = self.wait(job, seconds=seconds)
        settled = time.monotonic() + job.backend.capabilities.log_settle
        while not observation.log_complete and time.monotonic() < settled:
            self._pause(job.backend)
            observation = self.wait(job)
        return self.judge(job, action=action)

    def judge(self, job: SubmittedJob, *, action: OwnAction | None = None) -> Outcome:
        """Judge the last observation of an ended job."""
        return outcome(
            job.spec,
            self.reported(job, job.seen[-1]),
            action=action,
            classification=Classification(),
            log=lambda rank: self.read(job, node=rank),
        )

    def run(self, run: str, *, seconds: float = 10.0, **fields: Any) -> Outcome:
        """Submit a job and return how it ends."""
        return self.end(self.submit(run, **fields), seconds=seconds)

    def reported(self, job: SubmittedJob, observation: Observation) -> Observation:
        """The observation with the sentinels' reports from the logs, if the backend gave none."""
        return LogReader(job.backend, job.handle, job.token, job.spec.nodes).with_reports(observation)

    # Logs.

    def read(self, job: SubmittedJob, *, node: int = 0, restart: int | None = None) -> LogChunk:
        """One node's log from its beginning to its present end."""

        def logs(handle: Handle, **place: Any) -> LogChunk:
            chunk = job.backend.logs(handle, **place)
            # Another process may continue from the cursor.
            return replace(chunk, cursor=json.loads(json.dumps(chunk.cursor)))

        chunks = list(read_log(logs, job.handle, node=node, restart=restart))
        return replace(chunks[-1], text="".join(chunk.text for chunk in chunks))

    def log(self, job: SubmittedJob, *, node: int = 0, restart: int | None = None) -> str:
        """The complete log of one node of an ended job."""
        deadline = time.monotonic() + job.backend.capabilities.log_settle + self.seconds(5.0)
        while not (chunk := self.read(job, node=node, restart=restart)).complete:
            assert time.monotonic() < deadline, f"the log of {_names([job])}, node {node}, is never complete"
            self._pause(job.backend)
        return chunk.text

    def printed(self, job: SubmittedJob, *, node: int = 0) -> list[str]:
        """The lines of a complete log."""
        return self.log(job, node=node).splitlines()

    def eventually(self, what: Callable[[], bool], seconds: float = 10.0) -> None:
        """Wait until ``what()`` holds, and call it no more often than the backend may be polled.

        Fails ``start_seconds`` and ``seconds`` (scaled) from now.
        """
        deadline = time.monotonic() + self.harness.start_seconds + self.seconds(seconds)
        answers = [False]
        while True:
            failure = self._try(lambda: answers.append(what()))
            if answers[-1]:
                return
            assert time.monotonic() < deadline, f"the condition is still false{failure}"
            self._pause(self.backend)

    def _try(self, what: Callable[..., object], *jobs: SubmittedJob) -> str:
        """Call ``what(*jobs)``; return the message of an API error, after which the caller tries again."""
        try:
            what(*jobs)
        except Throttled as error:
            time.sleep(_THROTTLED_PAUSES_SECONDS[0])
            return f"; {error}"
        except BackendError as error:
            return f"; {error}"
        return ""

    def _clear(self, jobs: Iterable[SubmittedJob]) -> None:
        for job in jobs:
            if (changed := self._changed.get(id(job.backend))) is not None:
                changed.clear()

    def _pause(self, backend: Backend) -> None:
        interval = max(backend.capabilities.min_poll_interval, _MIN_POLL_PAUSE_SECONDS)
        changed = self._changed.get(id(backend))
        if changed is None:
            time.sleep(interval)
        else:
            changed.wait(interval)

    def _clean_up(self) -> None:
        deadline = time.monotonic() + self.harness.start_seconds + self.seconds(10.0)
        live: dict[str, Handle] = {}
        cancelled: set[str] = set()

        def sweep() -> None:
            live.clear()
            live.update(self.backend.sweep(self.run_id))
            fresh = {token: handle for token, handle in live.items() if token not in cancelled}
            if fresh:
                self.backend.cancel(fresh)
                cancelled.update(fresh)

        while (self._try(sweep) or live) and time.monotonic() < deadline:
            self._pause(self.backend)


def through_json(handle: Handle) -> Handle:
    """A handle as another process gets it. Raises TypeError if it is not JSON-serialisable."""
    return Handle(**json.loads(json.dumps(asdict(handle), allow_nan=False)))


def _poll(backend: Backend, jobs: Collection[SubmittedJob]) -> list[Observation]:
    by_token = {job.token: job for job in jobs}
    answer = backend.poll({job.token: job.handle for job in jobs})
    assert answer.keys() <= by_token.keys(), "poll returned tokens that it was not given"
    for token, observation in answer.items():
        job = by_token[token]
        if observation.handle is not None:
            job.handle = through_json(observation.handle)
        ended = bool(job.seen) and job.seen[-1].phase is Phase.ENDED
        assert not ended or observation.phase is Phase.ENDED, "an ended job is no longer ended"
        job.seen.append(observation)
    return list(answer.values())


def _names(jobs: Iterable[SubmittedJob]) -> str:
    return ", ".join(f"{job.token} ({job.seen[-1] if job.seen else 'never seen'})" for job in jobs)
