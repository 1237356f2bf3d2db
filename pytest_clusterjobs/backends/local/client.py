"""The local backend as the engine sees it: a client of the run's runner."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any

from ...model import Handle
from ...model import JobSpec
from ...model import LogChunk
from ...model import Observation
from ...model import Phase
from ...model.paths import to_bytes
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
from .channel import Channel
from .channel import ChannelClosed
from .crash_recovery import machine
from .crash_recovery import settle
from .journal import read
from .records import folder_of
from .records import from_wire
from .records import handle as handle_of
from .records import JobRecord
from .records import observe
from .runner_paths import RunnerPaths
from .settings import capabilities
from .settings import LocalSettings

START_TIMEOUT = 20.0
"""Seconds that a runner may take to start."""
TRIES = 5
"""How often a call is repeated after the runner died during it."""


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
        return handle_of(answer["number"], token, run.places)

    def poll(self, handles: Mapping[str, Handle]) -> Mapping[str, Observation]:
        """See :class:`Backend`."""
        seen: dict[str, Observation] = {}
        for run, tokens in self._by_run(handles).items():
            records = run.records(tokens)
            for token in tokens:
                record = records.get(token)
                seen[token] = observe(record, run.places) if record else Observation(Phase.ABSENT)
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
            raise BackendError(f"no job {token} in {run.places.folder}")
        return read_rank_log(
            lambda start: run.places.log(token, node, start),
            restart=restart,
            cursor=cursor,
            tail=tail,
            last=record.restarts,
            ended=record.over,
            # Every rank of a job that began has a log.
            must_exist=lambda start: record.started is not None and 0 <= node < record.width,
        )

    def find(self, token: str) -> FindAnswer:
        """See :class:`Backend`."""
        run = self._run(self._folder)
        record = run.records([token]).get(token)
        return Found(handle_of(record.number, token, run.places)) if record else NotSubmitted()

    def sweep(self, run_id: str) -> Mapping[str, Handle]:
        """See :class:`Backend`."""
        run = self._run(self._folder)
        live = run.live()
        mine = (token for token in live if Token.parse(token).run_id == run_id)
        return {token: handle_of(live[token].number, token, run.places) for token in mine}

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


class RunnerFailed(BackendError):
    """A runner that was started ended at once, as the next one would."""


class RunnerClient:
    """One folder of local jobs: its runner if there is one, otherwise its journal."""

    def __init__(
        self, places: RunnerPaths, slots: int, changed: Callable[[Collection[str]], None] | None
    ) -> None:
        self.places = places
        self._slots = slots
        self._changed = changed
        self._channel: Channel | None = None
        self._lock = Lock()
        self._over: dict[str, JobRecord] = {}
        self._was_there = False
        """Whether its folder has ever had a runner."""

    def call(self, op: str, **message: Any) -> dict[str, Any]:
        """Call the runner, starting it if necessary, and again if it died meanwhile. Raises BackendError."""
        for _ in range(TRIES):
            try:
                return self._connected().call(op, **message)
            except ChannelClosed:
                # A dying process closes its connections before its address: give it time to end.
                time.sleep(0.02)
            except TimeoutError:
                raise BackendError(f"the local runner does not answer, see {self.places.notes}") from None
        raise BackendError(f"the local runner died, see {self.places.notes}")

    def records(self, tokens: Iterable[str]) -> dict[str, JobRecord]:
        """What is known of these jobs; ends are settled even if their runner died. Raises BackendError."""
        tokens = list(tokens)
        found = {token: self._over[token] for token in tokens if token in self._over}
        asked = [token for token in tokens if token not in found]
        if asked:
            fresh = self._fresh(asked)
            self._over.update((token, record) for token, record in fresh.items() if record.over)
            found.update(fresh)
        return found

    def _fresh(self, tokens: list[str]) -> dict[str, JobRecord]:
        if not self._reachable():
            written, runner = read(self.places.journal)
            known = {token: written[token] for token in tokens if token in written}
            if all(record.over for record in known.values()):
                return known
            self._check_machine(runner)
        try:
            answer = self.call("poll", tokens=tokens)
        except RunnerFailed:
            # No runner will record how these jobs ended.
            written, _ = read(self.places.journal)
            settle(self.places, written)
            return {token: written[token] for token in tokens if token in written}
        return {record.token: record for record in map(from_wire, answer["records"])}

    def live(self) -> dict[str, JobRecord]:
        """All jobs that have not ended. Raises BackendError."""
        if not self._reachable():
            written, _ = read(self.places.journal)
            tokens = [token for token, record in written.items() if not record.over]
        else:
            tokens = self.call("live")["tokens"]
        return {token: record for token, record in self.records(tokens).items() if not record.over}

    def cancel(self, tokens: list[str]) -> None:
        """End those of these jobs that are still live. Raises BackendError."""
        if any(not record.over for record in self.records(tokens).values()):
            self.call("cancel", tokens=tokens)

    def subscribe(self, changed: Callable[[Collection[str]], None]) -> None:
        """Pass on the changes that the runner reports."""
        self._changed = changed
        if self._channel is not None:
            # If the runner is gone, the subscription is made when the next one is reached.
            with suppress(ChannelClosed):
                self._channel.subscribe(changed)

    def close(self) -> None:
        """Close the connection to the runner."""
        if self._channel is not None:
            self._channel.close()

    def _check_machine(self, runner: Mapping[str, Any]) -> None:
        here = machine()["host"]
        if runner.get("host", here) != here:
            raise BackendError(f"these jobs run on {runner['host']}, not here ({here})")

    def _reachable(self) -> bool:
        with self._lock:
            return self._attached() is not None

    def _attached(self) -> Channel | None:
        if self._channel is None or self._channel.closed:
            if self._channel is not None:
                self._channel.discard()
            self._channel = self._attach()
        return self._channel

    def _attach(self) -> Channel | None:
        peer = self.places.connect() if self.places.folder.is_dir() else None
        if peer is None:
            return None
        self._was_there = True
        channel = Channel(peer)
        try:
            if self._changed is not None:
                channel.subscribe(self._changed)
        except ChannelClosed:
            channel.close()
            return None
        return channel

    def _connected(self) -> Channel:
        with self._lock:
            deadline = time.monotonic() + START_TIMEOUT
            while time.monotonic() < deadline:
                channel = self._attached()
                if channel is not None:
                    return channel
                said = self._launch()
                if said == "taken":
                    # Another client's runner has the folder and is about to listen, or about to end.
                    time.sleep(0.02)
                elif said == "late":
                    break
                elif said != "ready":
                    raise RunnerFailed(f"the local runner does not start: {self._last_note()}")
        raise BackendError(f"the local runner does not start, see {self.places.notes}")

    def _last_note(self) -> str:
        """The last line that it printed: for a Python process ended by an exception, that exception."""
        lines = self.places.notes.read_bytes().decode(errors="replace").split("\n")
        words = next((line.strip() for line in reversed(lines) if line.strip()), "it says nothing")
        return f"{words[:300]} (see {self.places.notes})"

    def _launch(self) -> str:
        """Start the runner: ``ready``, ``taken``, ``late``, or its own message. Raises RunnerFailed."""
        if self._was_there and not self.places.folder.is_dir():
            # The folder was removed on purpose: do not create it again.
            raise RunnerFailed(f"{self.places.folder} was removed or moved")
        try:
            self.places.make()
            return self._start()
        except OSError as error:
            raise RunnerFailed(f"the local runner does not start: {error}") from error

    def _start(self) -> str:
        command = [
            sys.executable,
            "-P",
            "-m",
            f"{__package__}.runner",
            str(self.places.folder),
            str(self._slots),
        ]
        with open(self.places.notes, "ab") as notes:
            try:
                done = subprocess.run(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=notes,
                    env={to_bytes(name): to_bytes(value) for name, value in inherited(os.environ).items()},
                    cwd="/",
                    timeout=START_TIMEOUT,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                return "late"
        return done.stdout.decode().strip()
