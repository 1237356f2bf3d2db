"""Starting, finding and ending processes on Linux."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import time
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ...model.paths import to_bytes

_PR_SET_CHILD_SUBREAPER = 36
# Signals that Python and the runner ignore would stay ignored in the job.
_RESTORED = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGHUP)


_SHELLS = {"sh": "/bin/sh", "bash": "/bin/bash"}
# An earlier start of the job may have put a FIFO or a link there.
_OUTPUT = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK


def shell_for(names: Collection[str]) -> list[str]:
    """The shell of a sentinel: ``sh``, or bash if the job has exported functions, which dash would drop."""
    if any(name.startswith("BASH_FUNC_") for name in names) and os.access(_SHELLS["bash"], os.X_OK):
        # Without -p the sentinel would have the functions, too.
        return ["bash", "-p"]
    return ["sh"]


def append(path: Path, data: bytes) -> None:
    """Append to a job's log. Raises OSError."""
    with open(os.open(path, _OUTPUT, 0o600), "wb") as file:
        file.write(data)


def become_subreaper() -> None:
    """Inherit every orphan among the descendants of this process."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def spawn(argv: list[str], env: Mapping[str, str], log: Path) -> int:
    """Start a shell in a session of its own, output to ``log``.

    Uses posix_spawn, which costs a third of fork and exec because it does not copy this process. The job gets
    UTF-8: Python itself would encode text by this process's locale, and in many locales cannot.
    Raises OSError, or ValueError for text that cannot be passed.
    """
    return os.posix_spawn(
        _SHELLS[argv[0]],
        [to_bytes(word) for word in argv],
        {to_bytes(name): to_bytes(value) for name, value in env.items()},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, _OUTPUT, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigmask=(),
        setsigdef=_RESTORED,
    )


def send(pid: int, number: int) -> None:
    """Send a signal to a process; does nothing if the process is gone."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def orphans(known: Collection[int]) -> list[int]:
    """Children of this process that it did not start, and all their descendants."""
    children: dict[int, list[int]] = {}
    for pid, parent in _parents():
        children.setdefault(parent, []).append(pid)
    found: list[int] = []
    queue = [pid for pid in children.get(os.getpid(), ()) if pid not in known]
    while queue:
        pid = queue.pop()
        found.append(pid)
        queue.extend(children.get(pid, ()))
    return found


@dataclass(frozen=True, slots=True)
class EnvironmentTag:
    """Identifies the processes of one folder's jobs, by a variable of their environment."""

    prefix: bytes

    def token(self, pid: int) -> str | None:
        """The job of a process, by the environment its program started with; ``None`` if it has none."""
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                environ = file.read()
        except OSError:
            return None
        for item in environ.split(b"\0"):
            if item.startswith(self.prefix):
                return item[len(self.prefix) :].split(b".")[0].decode(errors="replace")
        return None

    def all(self) -> dict[int, str]:
        """Every process of these jobs on this machine, with its token."""
        tokens = ((pid, self.token(pid)) for pid in _pids() if pid != os.getpid())
        return {pid: token for pid, token in tokens if token is not None}

    def roots(self) -> dict[int, str]:
        """Those whose parent is not among them: sentinels, and processes that broke away from one."""
        found = self.all()
        parents = dict(_parents())
        return {pid: token for pid, token in found.items() if parents.get(pid) not in found}


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def _parents() -> Iterator[tuple[int, int]]:
    for pid in _pids():
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                stat = file.read()
        except OSError:
            continue
        # The second field is the program's name in parentheses, which may contain anything.
        state, parent = stat[stat.rindex(b")") + 2 :].split(None, 2)[:2]
        if state != b"Z":
            yield pid, int(parent)


def gone(pids: Collection[int], seconds: float) -> bool:
    """Wait until these processes have ended, children or not; ``False`` if time ran out."""
    poller = select.poll()
    pidfds = {pidfd for pidfd in map(_pidfd, pids) if pidfd is not None}
    for pidfd in pidfds:
        poller.register(pidfd, select.POLLIN)
    waiting = set(pidfds)
    deadline = time.monotonic() + seconds
    while waiting and (rest := deadline - time.monotonic()) > 0:
        for pidfd, _ in poller.poll(rest * 1000):
            poller.unregister(pidfd)
            waiting.discard(pidfd)
    for pidfd in pidfds:
        os.close(pidfd)
    return not waiting


def _pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None
