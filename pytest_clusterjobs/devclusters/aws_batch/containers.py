"""Runs the containers of the local AWS Batch: processes without isolation, which end with their main process.

This is a script; it imports nothing of this package. Orders and events are JSON datagrams on standard input,
which is a socket. An order to run carries the descriptor of the container's output. When the other end of the
socket is closed, all containers end.

Each container has a guard: a fork of this process that is the subreaper of the container's processes.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Iterable
from collections.abc import Iterator
from ctypes import CDLL
from typing import Any
from typing import NoReturn

PR_SET_CHILD_SUBREAPER = 36
ORPHAN_POLL_MILLISECONDS = 50
MAX_ORDER_BYTES = 1 << 18
MEMORY_POLL_SECONDS = 0.05
"""A shorter peak of a container's memory may not be noticed."""
MEMORY_POLL_PAUSE_FACTOR = 20
"""The pause after a memory check is at least the duration of the check times this."""
STOP_TIMEOUT_SECONDS = 10.0
DEFAULT_SIGNALS = (
    signal.SIGCHLD,
    signal.SIGPIPE,
    signal.SIGXFSZ,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGTERM,
)
OUT_OF_MEMORY = b"M"


class ContainerGuards:
    """The guards by the numbers of their containers."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel
        self.guards: dict[int, tuple[int, int]] = {}
        self.limits: dict[int, int] = {}
        self._next_memory_check = 0.0

    def serve(self) -> None:
        """Carry out orders until the socket is closed."""
        poller = select.poll()
        poller.register(self.channel, select.POLLIN)
        while True:
            if poller.poll(MEMORY_POLL_SECONDS * 1000 if self.limits else 500):
                order, descriptors = self._receive()
                if not order:
                    return
                getattr(self, order.pop("do"))(*descriptors, **order)
            self._reap()
            self._watch_memory()

    def _receive(self) -> tuple[dict[str, Any], list[int]]:
        space = socket.CMSG_LEN(array.array("i").itemsize)
        data, ancillary, _, _ = self.channel.recvmsg(MAX_ORDER_BYTES, space)
        found = array.array("i")
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                found.frombytes(content[: len(content) - len(content) % found.itemsize])
        return (json.loads(data) if data else {}), list(found)

    def run(self, output: int, *, number: int, memory: int | None, **container: Any) -> None:
        """Start a container."""
        listen, orders = os.pipe()
        pid = os.fork()
        if pid == 0:
            _guard(listen, output, self.channel.fileno(), number, **container)
        os.close(listen)
        os.close(output)
        self.guards[number] = (pid, orders)
        if memory is not None:
            self.limits[number] = memory

    def signal(self, *, number: int, signal: int) -> None:
        """Send a signal to a container's main process; after SIGKILL the whole container ends."""
        self._send(number, bytes([signal]))

    def close(self) -> None:
        """End all containers at once."""
        for _, orders in self.guards.values():
            os.close(orders)
        for pid, _ in self.guards.values():
            os.waitpid(pid, 0)
        end_descendants(time.monotonic() + STOP_TIMEOUT_SECONDS)

    def _send(self, number: int, what: bytes) -> None:
        if number in self.guards:
            with contextlib.suppress(BrokenPipeError):
                os.write(self.guards[number][1], what)

    def _reap(self) -> None:
        gone = set(reap())
        for number, (pid, orders) in list(self.guards.items()):
            if pid in gone:
                os.close(orders)
                del self.guards[number]
                self.limits.pop(number, None)

    def _watch_memory(self) -> None:
        started = time.monotonic()
        if not self.limits or started < self._next_memory_check:
            return
        children = family()
        for number, limit in list(self.limits.items()):
            if sum(map(memory_of, descendants(self.guards[number][0], children))) > limit:
                self._send(number, OUT_OF_MEMORY)
                del self.limits[number]
        took = time.monotonic() - started
        self._next_memory_check = started + max(MEMORY_POLL_SECONDS, MEMORY_POLL_PAUSE_FACTOR * took)


def _guard(
    orders: int, output: int, events: int, number: int, argv: list[str], env: dict[str, str], cwd: str
) -> NoReturn:
    """Run one container, and report its end after that of all its processes."""
    try:
        os.setsid()
        adopt_orphans()
        orders, output, events = _keep_only(orders, output, events)
        event: dict[str, Any] = {"number": number}
        try:
            pid = _spawn(argv, env, cwd, output)
        except (OSError, ValueError) as error:
            event["start_error"] = str(error)
        else:
            event |= _watch(pid, orders)
        os.close(output)
        end_descendants(time.monotonic() + STOP_TIMEOUT_SECONDS)
        os.write(events, json.dumps(event).encode())
    finally:
        os._exit(0)


def _keep_only(*descriptors: int) -> Iterator[int]:
    """Close the descriptors of other containers, so that the end of their output is noticed."""
    null = os.open(os.devnull, os.O_RDWR)
    kept = [os.dup(descriptor) for descriptor in descriptors]
    os.dup2(null, 0)
    low = 3
    for descriptor in sorted(kept):
        os.closerange(low, descriptor)
        low = descriptor + 1
    os.closerange(low, 1 << 20)
    return iter(kept)


def _spawn(argv: list[str], env: dict[str, str], cwd: str, output: int) -> int:
    os.chdir(cwd)
    os.environ["PATH"] = env["PATH"]
    return os.posix_spawnp(
        argv[0],
        argv,
        env,
        file_actions=[(os.POSIX_SPAWN_DUP2, output, 1), (os.POSIX_SPAWN_DUP2, output, 2)],
        setsid=True,
        setsigmask=(),
        setsigdef=DEFAULT_SIGNALS,
    )


def _watch(pid: int, orders: int) -> dict[str, Any]:
    """Wait for the main process and carry out orders meanwhile; return its end."""
    pidfd = os.pidfd_open(pid)
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    poller.register(orders, select.POLLIN)
    memory = False
    while True:
        ready = [descriptor for descriptor, _ in poller.poll(ORPHAN_POLL_MILLISECONDS)]
        _reap_orphans(pid)
        if not ready:
            continue
        if pidfd in ready:
            return {"code": _code(os.waitpid(pid, 0)[1]), "out_of_memory": memory}
        order = os.read(orders, 1)
        memory = memory or order == OUT_OF_MEMORY
        if order in (b"", OUT_OF_MEMORY):
            poller.unregister(orders)
        os.kill(pid, signal.SIGKILL if order in (b"", OUT_OF_MEMORY) else order[0])


def _reap_orphans(main: int) -> None:
    """Reap ended orphans, as the main process of a real container does with its process id 1."""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
            if ended.si_pid == main:
                return
            os.waitpid(ended.si_pid, 0)


def _code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def adopt_orphans() -> None:
    """Become the parent of all orphans among the descendants of this process."""
    CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap() -> Iterator[int]:
    """Reap children that have ended."""
    with contextlib.suppress(ChildProcessError):
        while pid := os.waitpid(-1, os.WNOHANG)[0]:
            yield pid


def end_descendants(deadline: float) -> None:
    """Kill all descendants, repeatedly until there is none."""
    while time.monotonic() < deadline and _has_children():
        for pid in descendants(os.getpid(), family()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.002)


def _has_children() -> bool:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def family() -> dict[int, list[int]]:
    """The children of every process of this machine."""
    children: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
            stat = file.read()
            # The second field is the program's name in parentheses; it may contain any character.
            children.setdefault(int(stat[stat.rindex(b")") + 2 :].split(None, 2)[1]), []).append(int(name))
    return children


def descendants(pid: int, children: dict[int, list[int]]) -> Iterable[int]:
    """The descendants of a process."""
    queue = list(children.get(pid, ()))
    while queue:
        each = queue.pop()
        yield each
        queue.extend(children.get(each, ()))


def memory_of(pid: int) -> int:
    """The bytes of memory that only this process uses, without mapped files; 0 if it has ended."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/statm", "rb") as file:
        _, resident, shared, *_ = map(int, file.read().split())
        return (resident - shared) * os.sysconf("SC_PAGE_SIZE")
    return 0


def main() -> None:
    """Run containers until the other end of the socket is closed."""
    adopt_orphans()
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    host = ContainerGuards(socket.socket(fileno=os.dup(sys.stdin.fileno())))
    try:
        host.serve()
    finally:
        host.close()


if __name__ == "__main__":
    main()
