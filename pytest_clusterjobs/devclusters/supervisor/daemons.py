"""The client of the supervisor process: start and end the daemons of one cluster."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import select
import sys
import time
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from .errors import ClusterError

SUPERVISOR = Path(__file__).with_name("supervise.py")
ANSWER_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 60.0
"""For the end of all processes of a cluster."""


class Lifeline:
    """Keeps a cluster alive: each process that uses it holds one until it leaves or dies."""

    def __init__(self, folder: Path) -> None:
        """Join the cluster in ``folder``. Raises ClusterError if none runs there."""
        self._fifo = folder / "run" / "lifeline"
        try:
            self.descriptor = os.open(self._fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            raise ClusterError(f"no cluster runs in {folder}") from error
        os.set_blocking(self.descriptor, True)
        self._users = os.open(folder / "run" / "users", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._users, fcntl.LOCK_SH)

    def release(self) -> bool:
        """Leave the cluster. The last process to leave waits for its end, and gets ``True``.

        Raises ClusterError if a process of the cluster remains.
        """
        os.close(self.descriptor)
        try:
            fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(self._users)
        deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
        while self._has_reader():
            if time.monotonic() > deadline:
                raise ClusterError(f"the cluster in {self._fifo.parents[1]} does not end")
            time.sleep(0.01)
        return True

    def _has_reader(self) -> bool:
        try:
            os.close(os.open(self._fifo, os.O_WRONLY | os.O_NONBLOCK))
        except OSError as error:
            if error.errno in (errno.ENXIO, errno.ENOENT):
                return False
            raise
        return True


class Daemons:
    """The daemons of a cluster, by name. The supervisor starts and ends them."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        """Start the supervisor."""
        self._folder = folder
        self._environment = dict(environment)
        fifo = folder / "run" / "lifeline"
        os.mkfifo(fifo, 0o600)
        # Opening a FIFO blocks until its other end is open. This process opens both ends until the
        # supervisor has its own.
        both = os.open(fifo, os.O_RDWR)
        answers, theirs = os.pipe()
        self._pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", str(SUPERVISOR)],
            {},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, str(fifo), os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, theirs, 1),
                (
                    os.POSIX_SPAWN_OPEN,
                    2,
                    str(folder / "log" / "supervisor.out"),
                    os.O_WRONLY | os.O_CREAT,
                    0o600,
                ),
            ],
            setsid=True,
        )
        self._lifeline = Lifeline(folder)
        os.close(both)
        os.close(theirs)
        self._answers = os.fdopen(answers, "rb")

    def start(
        self,
        name: str,
        argv: Sequence[str],
        environment: Mapping[str, str] | None = None,
        cgroup: str | None = None,
    ) -> None:
        """Start a daemon that stays in the foreground.

        ``cgroup`` is the name of the cgroups that it leaves behind in /sys/fs/cgroup.
        """
        env = {**self._environment, **(environment or {})}
        log = str(self._folder / "log" / f"{name}.out")
        self._ask("start", name=name, argv=list(argv), env=env, log=log, cgroup=cgroup)

    def stop(self, name: str) -> None:
        """Send TERM to a daemon; return when it and its descendants are gone. Raises ClusterError."""
        self._end(name, "T")

    def kill(self, name: str) -> None:
        """Kill a daemon and its descendants; return when they are gone. Raises ClusterError."""
        self._end(name, "K")

    def _end(self, name: str, how: str) -> None:
        if not self._ask("end", name=name, how=how):
            raise ClusterError(f"{name} does not run")

    def remove_at_end(self, folder: Path) -> None:
        """Have the supervisor remove this folder, instead of an earlier one, after the end of all daemons."""
        self._ask("remove", folders=[str(folder)])

    def dead(self) -> list[str]:
        """The daemons that have ended by themselves since the last call."""
        found: list[str] = self._ask("dead")
        return found

    def close(self) -> None:
        """Leave the cluster: all daemons end, unless other processes use it."""
        self._answers.close()
        if self._lifeline.release():
            os.waitpid(self._pid, 0)

    def _ask(self, order: str, **arguments: Any) -> Any:
        line = json.dumps({"do": order, **arguments}).encode() + b"\n"
        answer = b""
        with suppress(BrokenPipeError):
            os.write(self._lifeline.descriptor, line)
        if select.select([self._answers], [], [], ANSWER_TIMEOUT_SECONDS)[0]:
            answer = self._answers.readline()
        if not answer:
            raise ClusterError(
                f"the supervisor does not answer; see {self._folder / 'log' / 'supervisor.out'}"
            )
        return json.loads(answer)
