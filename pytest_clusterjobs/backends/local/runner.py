"""The runner: the detached process that owns one run's local jobs.

Started by the first submission as ``python -P -m pytest_clusterjobs.backends.local.runner FOLDER SLOTS``.
It ends when it has had neither jobs nor clients for a while.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys
import time
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
from .runner_paths import RunnerPaths
from .scheduler import LocalScheduler
from .scheduler import too_wide
from .server import check_descriptor
from .server import RunnerServer

IDLE_TIMEOUT_SECONDS = 1.0
"""Seconds without jobs and clients after which the runner ends."""
MAX_FOLDER_CHECK_SECONDS = 2.0
"""The most seconds between two checks for its own folder."""


class Runner:
    """The event loop. Nothing in it sleeps, and every end is an event; only its folder is polled."""

    def __init__(self, paths: RunnerPaths, slots: int) -> None:
        self._paths = paths
        self._folder = os.open(paths.folder, os.O_PATH)
        self._is_folder_gone = False
        self._selector = selectors.EpollSelector()
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
        answers = {"submit": self._submit, "poll": self._poll, "live": self._live, "cancel": self._cancel}
        self._server = RunnerServer(paths.listen(), self._selector, answers)
        self._must_reap = False
        self._watch_children()

    def _watch_children(self) -> None:
        writer, reader = socket.socketpair()
        writer.setblocking(False)
        reader.setblocking(False)
        self._wakeup = writer
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        self._selector.register(reader, selectors.EVENT_READ, lambda: self._child_ended(reader))

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
        if self._server.has_clients or self._scheduler.jobs:
            self._idle_since = time.monotonic()
            return False
        return time.monotonic() - self._idle_since >= IDLE_TIMEOUT_SECONDS

    def _timeout(self) -> float | None:
        alarm = self._scheduler.alarms.next
        wait = None if alarm is None else max(0.0, alarm - time.monotonic())
        if self._server.has_clients or self._scheduler.jobs:
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
            check_descriptor(pidfd)
            self._selector.register(pidfd, selectors.EVENT_READ, lambda: self._ended(pidfd))
        except OSError:
            os.close(pidfd)
            raise
        self._pidfds[pidfd] = (pid, token)

    def _ended(self, pidfd: int) -> None:
        pid, token = self._pidfds.pop(pidfd)
        self._selector.unregister(pidfd)
        os.close(pidfd)
        _, status = os.waitpid(pid, 0)
        self._scheduler.node_ended(token, pid, status)

    def _child_ended(self, reader: socket.socket) -> None:
        while True:
            try:
                reader.recv(4096)
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

    def _publish(self) -> None:
        """Write all events durably, and only then notify clients."""
        self._journal.flush()
        changed = sorted(self._scheduler.changed)
        self._scheduler.changed.clear()
        self._server.publish(changed)

    def _submit(self, message: dict[str, Any]) -> dict[str, Any]:
        if message["nodes"] < 1:
            return {"rejected": f"a job has at least 1 node, not {message['nodes']}"}
        if self._is_folder_gone:
            return {"rejected": f"{self._paths.folder} was removed or moved"}
        if message["nodes"] > self._scheduler.slots:
            return {"rejected": too_wide(message["nodes"], self._scheduler.slots)}
        return {"number": self._scheduler.submit(message).number}

    def _poll(self, message: dict[str, Any]) -> dict[str, Any]:
        records = self._scheduler.records
        return {"records": [to_wire(records[token]) for token in message["tokens"] if token in records]}

    def _live(self, message: dict[str, Any]) -> dict[str, Any]:
        return {"tokens": list(self._scheduler.jobs)}

    def _cancel(self, message: dict[str, Any]) -> dict[str, Any]:
        self._scheduler.cancel(message["tokens"])
        return {}


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
    with open(paths.error_log, "ab", buffering=0) as errors:
        os.dup2(errors.fileno(), 1)
        os.dup2(errors.fileno(), 2)
    runner.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
