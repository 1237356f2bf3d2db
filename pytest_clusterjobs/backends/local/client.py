"""The local backend as the engine sees it: a client of the run's runner."""

from __future__ import annotations

import os
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any

from ...model import Handle
from ...model import JobSpec
from ...model import LogChunk
from ...model import Observation
from ...model import Phase
from ...model.paths import utf8
from ...model.token import Token
from .. import sentinel
from ..environment import inherited
from ..environment import job_variables
from ..environment import secrets_of
from ..logfile import read_rank_log
from ..protocol import BackendContext
from ..protocol import BackendError
from ..protocol import FindAnswer
from ..protocol import Found
from ..protocol import NotSubmitted
from ..protocol import SubmissionRejected
from . import processes
from .records import folder_of
from .records import handle as handle_of
from .records import observe
from .runner_client import RunnerClient
from .runner_client import RunnerFailed
from .runner_paths import RunnerPaths
from .settings import capabilities
from .settings import LocalSettings


class LocalBackend:
    """Jobs as processes of this machine."""

    def __init__(self, context: BackendContext, settings: LocalSettings) -> None:
        self._context = context
        self._slots = settings.slots
        self._folder = context.run_dir / context.name
        self._runs: dict[Path, RunnerClient] = {}
        self._changed: Callable[[Collection[str]], None] | None = None
        self._lock = Lock()
        self.capabilities = capabilities(settings)

    def submit(self, spec: JobSpec, token: str) -> Handle:
        """See :class:`Backend`."""
        run = self._run(self._folder)
        env = {**job_variables(spec, token), **secrets_of(spec)}
        inherits = inherited(os.environ)
        shell = processes.shell_for({*env, *inherits})
        message = {
            "token": token,
            "name": spec.name,
            "nodes": spec.nodes,
            "argv": [
                *shell,
                *sentinel.argv(
                    spec,
                    token,
                    workdir=self._workdir(spec),
                    leader="" if shell[0] == "bash" else sentinel.setsid_command(),
                    inherited=inherits,
                )[1:],
            ],
            "env": env,
            "grace": spec.grace_period,
            "max_restarts": spec.max_restarts,
        }
        try:
            answer = run.call("submit", **message)
        except RunnerFailed as error:
            raise SubmissionRejected(str(error)) from error
        if "rejected" in answer:
            raise SubmissionRejected(answer["rejected"])
        return handle_of(answer["number"], token, run.paths)

    def poll(self, handles: Mapping[str, Handle]) -> Mapping[str, Observation]:
        """See :class:`Backend`."""
        seen: dict[str, Observation] = {}
        for run, tokens in self._by_run(handles).items():
            records = run.records(tokens)
            for token in tokens:
                record = records.get(token)
                seen[token] = observe(record, run.paths) if record else Observation(Phase.ABSENT)
        return seen

    def cancel(self, handles: Mapping[str, Handle]) -> None:
        """See :class:`Backend`."""
        for run, tokens in self._by_run(handles).items():
            run.cancel(tokens)

    def logs(
        self,
        handle: Handle,
        *,
        node: int = 0,
        restart: int | None = None,
        cursor: Any = None,
        tail: int | None = None,
    ) -> LogChunk:
        """See :class:`Backend`.

        A cursor of the last start continues into the next one when the job is restarted.
        """
        run = self._run(folder_of(handle))
        token = handle.data["token"]
        record = run.records([token]).get(token)
        if record is None:
            raise BackendError(f"no job {token} in {run.paths.folder}")
        return read_rank_log(
            lambda start: run.paths.log(token, node, start),
            restart=restart,
            cursor=cursor,
            tail=tail,
            last=record.restarts,
            ended=record.has_ended,
            # Every rank of a job that began has a log.
            must_exist=lambda start: record.started is not None and 0 <= node < record.width,
        )

    def find(self, token: str) -> FindAnswer:
        """See :class:`Backend`."""
        run = self._run(self._folder)
        record = run.records([token]).get(token)
        return Found(handle_of(record.number, token, run.paths)) if record else NotSubmitted()

    def sweep(self, run_id: str) -> Mapping[str, Handle]:
        """See :class:`Backend`."""
        run = self._run(self._folder)
        live = run.live()
        mine = (token for token in live if Token.parse(token).run_id == run_id)
        return {token: handle_of(live[token].number, token, run.paths) for token in mine}

    def subscribe(self, changed: Callable[[Collection[str]], None]) -> None:
        """See :class:`Notifying`."""
        self._changed = changed
        for run in list(self._runs.values()):
            run.subscribe(changed)

    def close(self) -> None:
        """See :class:`Backend`."""
        with self._lock:
            runs, self._runs = self._runs, {}
        for run in runs.values():
            run.close()

    def _workdir(self, spec: JobSpec) -> str:
        return utf8(self._context.rootdir / (spec.workdir or ""))

    def _run(self, folder: Path) -> RunnerClient:
        with self._lock:
            if folder not in self._runs:
                self._runs[folder] = RunnerClient(RunnerPaths(folder), self._slots, self._changed)
            return self._runs[folder]

    def _by_run(self, handles: Mapping[str, Handle]) -> dict[RunnerClient, list[str]]:
        found: dict[RunnerClient, list[str]] = {}
        for token, handle in handles.items():
            found.setdefault(self._run(folder_of(handle)), []).append(token)
        return found
