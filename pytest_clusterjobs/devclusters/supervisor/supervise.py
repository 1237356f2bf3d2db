"""The supervisor: runs the daemons of one cluster, and ends them with the last process that uses the cluster.

This is a script; it imports nothing of this package, and starts fast. It reads orders, one JSON object a
line, from standard input, a FIFO, and answers each with a line. When the FIFO has no writer any more, all
daemons end, even after a ``kill -9``.

Each daemon has a guard: a fork of this process that is the subreaper of the daemon's descendants. slurmstepd
and jobs are daemons themselves, and no pid file names them.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from ctypes import CDLL
from glob import glob
from typing import Any
from typing import NoReturn

PR_SET_CHILD_SUBREAPER = 36
CGROUPS = "/sys/fs/cgroup"
STOP_TIMEOUT_SECONDS = 10.0
"""For a daemon to end after TERM, and for processes to vanish after KILL."""
TERM, KILL = b"T", b"K"
PROCESS_POLL_SECONDS = 0.005
DEFAULT_SIGNALS = (
    signal.SIGCHLD,
    signal.SIGPIPE,
    signal.SIGXFSZ,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGTERM,
)


class Supervisor:
    """The guards by the names of their daemons. Its public methods are the orders."""

    def __init__(self) -> None:
        self.guards: dict[str, tuple[int, int]] = {}
        self.folders: list[str] = []

    def start(self, name: str, **daemon: Any) -> None:
        """Start a daemon."""
        listen, orders = os.pipe()
        pid = os.fork()
        if pid == 0:
            for other in [orders, *(line for _, line in self.guards.values())]:
                os.close(other)
            _guard(listen, **daemon)
        os.close(listen)
        self.guards[name] = (pid, orders)

    def end(self, name: str, how: str) -> bool:
        """End a daemon and its descendants; return when they are gone, or ``False`` if it does not run."""
        if name not in self.guards:
            return False
        pid, orders = self.guards.pop(name)
        with contextlib.suppress(BrokenPipeError):
            os.write(orders, how.encode())
        os.close(orders)
        os.waitpid(pid, 0)
        return True

    def dead(self) -> list[str]:
        """The daemons that have ended by themselves since the last call."""
        gone = [name for name, (pid, _) in self.guards.items() if os.waitpid(pid, os.WNOHANG)[0]]
        for name in gone:
            os.close(self.guards.pop(name)[1])
        return gone

    def remove(self, folders: list[str]) -> None:
        """Remove these folders at the end."""
        self.folders = folders

    def close(self) -> None:
        """End all daemons at once."""
        for _, orders in self.guards.values():
            os.close(orders)
        for pid, _ in self.guards.values():
            os.waitpid(pid, 0)
        _end_descendants(time.monotonic() + STOP_TIMEOUT_SECONDS)
        if self.folders:
            import shutil

            for folder in self.folders:
                shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Carry out orders until the FIFO has no writer any more."""
    _adopt_orphans()
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    supervisor = Supervisor()
    try:
        for line in sys.stdin.buffer:
            order = json.loads(line)
            answer = getattr(supervisor, order.pop("do"))(**order)
            # The process that sent the order may be gone, while others still use the cluster.
            with contextlib.suppress(OSError):
                os.write(1, json.dumps(answer).encode() + b"\n")
    finally:
        supervisor.close()


def _guard(orders: int, argv: list[str], env: dict[str, str], log: str, cgroup: str | None) -> NoReturn:
    try:
        os.setsid()
        _adopt_orphans()
        woken = _wake_on_child()
        daemon = _spawn(argv, env, log)
        if _watch(daemon, orders, woken) == TERM:
            os.kill(daemon, signal.SIGTERM)
            _await(daemon, time.monotonic() + STOP_TIMEOUT_SECONDS)
        _thaw(cgroup)
        _end_descendants(time.monotonic() + STOP_TIMEOUT_SECONDS)
        _remove(cgroup)
    except OSError as error:
        os.write(2, f"fatal: {error}\n".encode())
    finally:
        os._exit(0)


def _adopt_orphans() -> None:
    CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _wake_on_child() -> int:
    woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return woken


def _spawn(argv: list[str], env: dict[str, str], log: str) -> int:
    # Only the supervisor keeps the FIFO and the answers open: their users must notice its end.
    null = os.open(os.devnull, os.O_RDONLY)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, target in ((null, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    return os.posix_spawn(argv[0], argv, env, setsid=True, setsigmask=(), setsigdef=DEFAULT_SIGNALS)


def _watch(daemon: int, orders: int, woken: int) -> bytes:
    """Reap children until the daemon ends or an order comes; return the order, or nothing."""
    poller = select.poll()
    poller.register(orders, select.POLLIN)
    poller.register(woken, select.POLLIN)
    while True:
        ready = [descriptor for descriptor, _ in poller.poll()]
        if woken in ready:
            os.read(woken, 4096)
            if daemon in _reap():
                return b""
        if orders in ready:
            return os.read(orders, 1)


def _reap() -> Iterator[int]:
    """Reap children that have ended."""
    with contextlib.suppress(ChildProcessError):
        while pid := os.waitpid(-1, os.WNOHANG)[0]:
            yield pid


def _await(daemon: int, deadline: float) -> None:
    while daemon not in _reap() and time.monotonic() < deadline:
        time.sleep(PROCESS_POLL_SECONDS)


def _end_descendants(deadline: float) -> None:
    """Kill all descendants, repeatedly until there is none.

    They are stopped first, so that none can report the end of another: a lost machine reports nothing.
    """
    while time.monotonic() < deadline and (left := list(_descendants())):
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        time.sleep(PROCESS_POLL_SECONDS)
        list(_reap())


def _descendants() -> Iterator[int]:
    children: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
            stat = file.read()
            # The second field is the program's name in parentheses; it may contain any character.
            children.setdefault(int(stat[stat.rindex(b")") + 2 :].split(None, 2)[1]), []).append(int(name))
    queue = children.get(os.getpid(), [])
    while queue:
        pid = queue.pop()
        yield pid
        queue.extend(children.get(pid, ()))


def _thaw(cgroup: str | None) -> None:
    """Thaw the cgroup's processes, because a frozen process does not die."""
    for path in glob(f"{CGROUPS}/freezer/{cgroup}/**/freezer.state", recursive=True) if cgroup else ():
        with contextlib.suppress(OSError), open(path, "w") as file:
            file.write("THAWED")


def _remove(cgroup: str | None) -> None:
    """Remove the daemon's cgroups of every controller; the kernel may take a moment to report them empty."""
    deadline = time.monotonic() + 1
    while cgroup and (left := glob(f"{CGROUPS}/*/{cgroup}")) and time.monotonic() < deadline:
        for top in left:
            for folder, _, _ in os.walk(top, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)


if __name__ == "__main__":
    main()
