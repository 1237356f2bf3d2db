"""A client of one folder of local jobs: of its runner if there is one, otherwise of its journal."""

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
from threading import Lock
from typing import Any

from ...model.paths import to_bytes
from ..environment import inherited
from ..protocol import BackendError
from .channel import Channel
from .channel import ChannelClosed
from .crash_recovery import machine
from .crash_recovery import settle
from .journal import read
from .records import from_wire
from .records import JobRecord
from .runner_paths import RunnerPaths

START_TIMEOUT_SECONDS = 20.0
"""How long a runner may take to start."""

MAX_CALLS = 5
"""How often a call is made in all if the runner dies during it."""

MAX_MESSAGE_CHARACTERS = 300
"""Characters of a runner's last error that a message keeps."""


class RunnerFailed(BackendError):
    """A runner that was started ended at once, as the next one would."""


class RunnerClient:
    """One folder of local jobs: its runner if there is one, otherwise its journal."""

    def __init__(
        self, paths: RunnerPaths, slots: int, changed: Callable[[Collection[str]], None] | None
    ) -> None:
        self.paths = paths
        self._slots = slots
        self._changed = changed
        self._channel: Channel | None = None
        self._lock = Lock()
        self._ended: dict[str, JobRecord] = {}
        self._was_there = False
        """Whether its folder has ever had a runner."""

    def call(self, op: str, **message: Any) -> dict[str, Any]:
        """Call the runner, starting it if necessary, and again if it died meanwhile. Raises BackendError."""
        for _ in range(MAX_CALLS):
            try:
                return self._connected().call(op, **message)
            except ChannelClosed:
                # A dying process closes its connections before its address: give it time to end.
                time.sleep(0.02)
            except TimeoutError:
                raise BackendError(f"the local runner does not answer, see {self.paths.error_log}") from None
        raise BackendError(f"the local runner died, see {self.paths.error_log}")

    def records(self, tokens: Iterable[str]) -> dict[str, JobRecord]:
        """What is known of these jobs; ends are settled even if their runner died. Raises BackendError."""
        tokens = list(tokens)
        found = {token: self._ended[token] for token in tokens if token in self._ended}
        unknown = [token for token in tokens if token not in found]
        if unknown:
            fresh = self._fresh(unknown)
            self._ended.update((token, record) for token, record in fresh.items() if record.has_ended)
            found.update(fresh)
        return found

    def _fresh(self, tokens: list[str]) -> dict[str, JobRecord]:
        if not self._reachable():
            written, runner = read(self.paths.journal)
            known = {token: written[token] for token in tokens if token in written}
            if all(record.has_ended for record in known.values()):
                return known
            self._check_machine(runner)
        try:
            answer = self.call("poll", tokens=tokens)
        except RunnerFailed:
            # No runner will record how these jobs ended.
            written, _ = read(self.paths.journal)
            settle(self.paths, written)
            return {token: written[token] for token in tokens if token in written}
        return {record.token: record for record in map(from_wire, answer["records"])}

    def live(self) -> dict[str, JobRecord]:
        """All jobs that have not ended. Raises BackendError."""
        if not self._reachable():
            written, _ = read(self.paths.journal)
            tokens = [token for token, record in written.items() if not record.has_ended]
        else:
            tokens = self.call("live")["tokens"]
        return {token: record for token, record in self.records(tokens).items() if not record.has_ended}

    def cancel(self, tokens: list[str]) -> None:
        """End those of these jobs that are still live. Raises BackendError."""
        if any(not record.has_ended for record in self.records(tokens).values()):
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
            raise BackendError(f"these jobs run on {runner['host']}, not on {here}: run the command there")

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
        peer = self.paths.connect() if self.paths.folder.is_dir() else None
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
            deadline = time.monotonic() + START_TIMEOUT_SECONDS
            while time.monotonic() < deadline:
                channel = self._attached()
                if channel is not None:
                    return channel
                answer = self._launch()
                if answer == "taken":
                    # Another client's runner has the folder and is about to listen, or about to end.
                    time.sleep(0.02)
                elif answer == "late":
                    break
                elif answer != "ready":
                    raise RunnerFailed(f"the local runner does not start: {self._last_error()}")
        raise BackendError(f"the local runner does not start, see {self.paths.error_log}")

    def _last_error(self) -> str:
        """The last line that it printed: for a Python process ended by an exception, that exception."""
        lines = self.paths.error_log.read_bytes().decode(errors="replace").split("\n")
        message = next((line.strip() for line in reversed(lines) if line.strip()), "it printed no message")
        return f"{message[:MAX_MESSAGE_CHARACTERS]} (see {self.paths.error_log})"

    def _launch(self) -> str:
        """Start the runner: ``ready``, ``taken``, ``late``, or its own message. Raises RunnerFailed."""
        if self._was_there and not self.paths.folder.is_dir():
            # The folder was removed on purpose: do not create it again.
            raise RunnerFailed(f"{self.paths.folder} was removed or moved")
        try:
            self.paths.make()
            return self._start()
        except OSError as error:
            raise RunnerFailed(f"the local runner does not start: {error}") from error

    def _start(self) -> str:
        command = [
            sys.executable,
            "-P",
            "-m",
            f"{__package__}.runner",
            str(self.paths.folder),
            str(self._slots),
        ]
        with open(self.paths.error_log, "ab") as notes:
            try:
                done = subprocess.run(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=notes,
                    env={to_bytes(name): to_bytes(value) for name, value in inherited(os.environ).items()},
                    cwd="/",
                    timeout=START_TIMEOUT_SECONDS,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                return "late"
        return done.stdout.decode().strip()
