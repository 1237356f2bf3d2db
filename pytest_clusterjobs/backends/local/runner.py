"""The runner: the detached process that owns one run's local jobs.

Started by the first submission as ``python -P -m pytest_clusterjobs.backends.local.runner FOLDER SLOTS``.
It ends when it has had neither jobs nor clients for a while.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...model.paths import is_still_at
from ..environment import inherited
from . import watchdog
from .crash_recovery import machine
from .crash_recovery import settle
from .journal import Journal
from .journal import read
from .records import to_wire
from .runner_paths import is_ours
from .runner_paths import RunnerPaths
from .scheduler import LocalScheduler
from .scheduler import too_wide

IDLE_TIMEOUT_SECONDS = 1.0
"""Seconds without jobs and clients after which the runner ends."""
RESERVED_DESCRIPTORS = 32
"""Descriptors that are reserved: neither watched processes nor clients may use them."""

MAX_FOLDER_CHECK_SECONDS = 2.0
"""The most seconds between two checks for its own folder."""


class Connection:
    """One client."""

    def __init__(self, peer: socket.socket) -> None:
        self.peer = peer
        self.subscribed = False
        self.unread = b""
        self.unsent = b""

    def send(self, message: dict[str, Any]) -> None:
        """Queue a message; what the kernel does not accept now is sent later."""
        self.unsent += json.dumps(message, separators=(",", ":")).encode() + b"\n"

    def lines(self) -> list[bytes] | None:
        """The complete lines that have arrived, or ``None`` at the end of the connection."""
        try:
            data = self.peer.recv(1 << 20)
        except BlockingIOError:
            return []
        except OSError:
            return None
        if not data:
            return None
        *lines, self.unread = (self.unread + data).split(b"\n")
        return lines


class Runner:
    """The event loop. Nothing in it sleeps, and every end is an event; only its folder is polled."""

    def __init__(self, paths: RunnerPaths, slots: int) -> None:
        self._paths = paths
        self._folder = os.open(paths.folder, os.O_PATH)
        self._is_folder_gone = False
        self._selector = selectors.EpollSelector()
        self._connections: set[Connection] = set()
        journal = Journal(paths.journal)
        records, _ = read(paths.journal)
        journal.add({"e": "runner", "pid": os.getpid(), "at": time.time(), **machine()})
        for event in settle(paths, records):
            journal.add(event)
        journal.flush()
        self._journal = journal
        self._pidfds: dict[int, tuple[int, str]] = {}
        self._idle_since = time.monotonic()
        self._scheduler = LocalScheduler(
            paths,
            records,
            journal,
            slots=slots,
            environ=inherited(os.environ),
            watch=self._watch,
            announce_grace=self._announce_grace,
        )
        self._start_watchdog()
        self._server = paths.listen()
        self._selector.register(self._server, selectors.EVENT_READ, self._accept)
        self._must_reap = False
        self._listen_to_children()

    def _listen_to_children(self) -> None:
        waker, sleeper = socket.socketpair()
        waker.setblocking(False)
        sleeper.setblocking(False)
        self._wakeup = waker
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        self._selector.register(sleeper, selectors.EVENT_READ, lambda: self._orphans(sleeper))

    def run(self) -> None:
        """Serve until there are neither jobs nor clients."""
        while not self._done():
            # The kernel lists ready pidfds in the order in which their processes ended.
            for key, _ in self._selector.select(self._timeout()):
                key.data()
            if self._must_reap:
                self._reap()
            self._scheduler.alarms.tick()
            self._check_folder()
            self._publish()

    def _check_folder(self) -> None:
        """End all jobs once the folder is gone: neither they nor their logs could be found any more."""
        if not self._is_folder_gone and not is_still_at(self._paths.folder, self._folder):
            self._is_folder_gone = True
            self._scheduler.cancel(list(self._scheduler.jobs))

    def _done(self) -> bool:
        if self._is_folder_gone:
            return not self._scheduler.jobs
        if self._connections or self._scheduler.jobs:
            self._idle_since = time.monotonic()
            return False
        return time.monotonic() - self._idle_since >= IDLE_TIMEOUT_SECONDS

    def _timeout(self) -> float | None:
        alarm = self._scheduler.alarms.next
        wait = None if alarm is None else max(0.0, alarm - time.monotonic())
        if self._connections or self._scheduler.jobs:
            return MAX_FOLDER_CHECK_SECONDS if wait is None else min(wait, MAX_FOLDER_CHECK_SECONDS)
        idle = max(0.0, self._idle_since + IDLE_TIMEOUT_SECONDS - time.monotonic())
        return idle if wait is None else min(wait, idle)

    # Processes

    def _start_watchdog(self) -> None:
        """Start a watchdog, and another one if it is killed."""
        pid, self._lifeline = watchdog.start(self._paths.tag)
        self._longest_grace = watchdog.DEFAULT_GRACE_SECONDS
        pidfd = os.pidfd_open(pid)

        def restart() -> None:
            grace = self._longest_grace
            self._selector.unregister(pidfd)
            os.close(pidfd)
            os.close(self._lifeline)
            os.waitpid(pid, 0)
            self._start_watchdog()
            self._announce_grace(grace)

        self._scheduler.own.clear()
        self._scheduler.own.add(pid)
        self._selector.register(pidfd, selectors.EVENT_READ, restart)

    def _announce_grace(self, grace: float) -> None:
        if grace > self._longest_grace:
            self._longest_grace = grace
            os.write(self._lifeline, b"%f\n" % grace)

    def _watch(self, token: str, pid: int) -> None:
        """Watch for the end of a sentinel. Raises OSError if that is impossible."""
        pidfd = os.pidfd_open(pid)
        try:
            self._check_descriptor(pidfd)
            self._selector.register(pidfd, selectors.EVENT_READ, lambda: self._ended(pidfd))
        except OSError:
            os.close(pidfd)
            raise
        self._pidfds[pidfd] = (pid, token)

    def _check_descriptor(self, descriptor: int) -> None:
        """Raise OSError if a new descriptor is one of the last, which all jobs depend on."""
        if descriptor >= resource.getrlimit(resource.RLIMIT_NOFILE)[0] - RESERVED_DESCRIPTORS:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    def _ended(self, pidfd: int) -> None:
        pid, token = self._pidfds.pop(pidfd)
        self._selector.unregister(pidfd)
        os.close(pidfd)
        _, status = os.waitpid(pid, 0)
        self._scheduler.node_ended(token, pid, status)

    def _orphans(self, sleeper: socket.socket) -> None:
        while True:
            try:
                sleeper.recv(4096)
            except BlockingIOError:
                break
        self._must_reap = True

    def _reap(self) -> None:
        """Collect adopted processes that have ended, and leave the runner's own sentinels to their pidfds."""
        own = self._scheduler.own | {pid for pid, _ in self._pidfds.values()}
        found = False
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                ended = None
            if ended is not None and ended.si_pid in own:
                # Its pidfd is ready; the loop returns here after serving it.
                break
            if ended is None:
                self._must_reap = False
                break
            os.waitpid(ended.si_pid, 0)
            found = True
        if found:
            self._scheduler.orphan_ended()

    # Clients

    def _accept(self) -> None:
        try:
            peer, _ = self._server.accept()
        except OSError:
            return
        try:
            self._check_descriptor(peer.fileno())
        except OSError:
            peer.close()
            return
        if not is_ours(peer):
            peer.close()
            return
        peer.setblocking(False)
        connection = Connection(peer)
        self._connections.add(connection)
        self._selector.register(peer, selectors.EVENT_READ, lambda: self._serve(connection))

    def _drop(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._selector.unregister(connection.peer)
        connection.peer.close()

    def _serve(self, connection: Connection) -> None:
        self._flush(connection)
        if connection not in self._connections:
            return
        lines = connection.lines()
        if lines is None:
            self._drop(connection)
            return
        for line in lines:
            try:
                message = json.loads(line)
                answer = _ANSWERS[message["op"]](self, connection, message)
                connection.send({"id": message["id"], **answer})
            except (ValueError, LookupError, TypeError):
                # A client of another version must not end the jobs of the others.
                traceback.print_exc()
                self._drop(connection)
                return

    def _submit(self, connection: Connection, message: dict[str, Any]) -> dict[str, Any]:
        if message["nodes"] < 1:
            return {"rejected": f"a job has at least 1 node, not {message['nodes']}"}
        if self._is_folder_gone:
            return {"rejected": f"{self._paths.folder} was removed or moved"}
        if message["nodes"] > self._scheduler.slots:
            return {"rejected": too_wide(message["nodes"], self._scheduler.slots)}
        return {"number": self._scheduler.submit(message).number}

    def _poll(self, connection: Connection, message: dict[str, Any]) -> dict[str, Any]:
        records = self._scheduler.records
        return {"records": [to_wire(records[token]) for token in message["tokens"] if token in records]}

    def _live(self, connection: Connection, message: dict[str, Any]) -> dict[str, Any]:
        return {"tokens": list(self._scheduler.jobs)}

    def _cancel(self, connection: Connection, message: dict[str, Any]) -> dict[str, Any]:
        self._scheduler.cancel(message["tokens"])
        return {}

    def _subscribe(self, connection: Connection, message: dict[str, Any]) -> dict[str, Any]:
        connection.subscribed = True
        return {}

    def _publish(self) -> None:
        """Write all events durably, and only then notify clients."""
        self._journal.flush()
        changed, self._scheduler.changed = self._scheduler.changed, set()
        for connection in list(self._connections):
            if changed and connection.subscribed:
                connection.send({"changed": sorted(changed)})
            if connection.unsent:
                self._flush(connection)

    def _flush(self, connection: Connection) -> None:
        try:
            sent = connection.peer.send(connection.unsent) if connection.unsent else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop(connection)
            return
        connection.unsent = connection.unsent[sent:]
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.unsent else 0)
        key = self._selector.get_key(connection.peer)
        if key.events != events:
            self._selector.modify(connection.peer, events, key.data)


Answer = Callable[[Runner, Connection, dict[str, Any]], dict[str, Any]]
_ANSWERS: dict[str, Answer] = {
    "submit": Runner._submit,
    "poll": Runner._poll,
    "live": Runner._live,
    "cancel": Runner._cancel,
    "subscribe": Runner._subscribe,
}


def main(folder: str, slots: str) -> None:
    """Detach, take the folder, print ``ready`` (or ``taken``) on standard output, and serve."""
    if os.fork():
        os._exit(0)
    os.setsid()
    paths = RunnerPaths(Path(folder))
    paths.make()
    lock = paths.lock()
    if lock is None:
        print("taken", flush=True)
        return
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    runner = Runner(paths, int(slots))
    print("ready", flush=True)
    with open(paths.error_log, "ab", buffering=0) as notes:
        os.dup2(notes.fileno(), 1)
        os.dup2(notes.fileno(), 2)
    runner.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
