"""Starting, finding and ending processes on Linux."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping

from ..environment import TOKEN_VARIABLE

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_MARK = TOKEN_VARIABLE.encode() + b"="
# What Python and the runner ignore would stay ignored in the job.
_RESTORED = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGHUP)


def prctl() -> Callable[[int, int], int]:
    """The system call of that name. Looked up before a fork, since a lookup after it may deadlock."""
    call = ctypes.CDLL(None, use_errno=True).prctl
    return lambda option, value: int(call(option, value, 0, 0, 0))


def become_subreaper(call: Callable[[int, int], int]) -> None:
    """Inherit every orphan among our descendants."""
    call(_PR_SET_CHILD_SUBREAPER, 1)


def spawn(
    argv: list[str],
    env: Mapping[str, str],
    *,
    log: str,
    cwd: str,
    call: Callable[[int, int], int],
    failed: Callable[[OSError], str],
) -> int:
    """Start a process in a session of its own that gets TERM when we die; output goes to ``log``.

    Where it cannot be started, ``failed`` says what its log shall hold, and it ends with 126.
    """
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        _become(argv, env, log, cwd, call, parent, failed)
    finally:
        os._exit(126)


def _become(
    argv: list[str],
    env: Mapping[str, str],
    log: str,
    cwd: str,
    call: Callable[[int, int], int],
    parent: int,
    failed: Callable[[OSError], str],
) -> None:
    os.setsid()
    call(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(143)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    for number in _RESTORED:
        signal.signal(number, signal.SIG_DFL)
    try:
        os.chdir(cwd)
        os.execve("/bin/sh", argv, env)
    except OSError as error:
        os.write(1, failed(error).encode())


def send(pid: int, number: int) -> None:
    """Signal a process, or nobody if it is gone."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def orphans(known: Collection[int]) -> list[int]:
    """Our children that we did not start, and all that descends from them."""
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


def marked(tokens: Collection[str] | None = None) -> dict[int, str]:
    """Every process that carries one of ``tokens`` in its environment (``None``: any), by pid."""
    found = {}
    for pid in _pids():
        token = token_of(pid)
        if token and (tokens is None or token in tokens):
            found[pid] = token
    return found


def token_of(pid: int) -> str | None:
    """The token in a process's environment, as it was when its program began; ``None`` if it is not to be had."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            environ = file.read()
    except OSError:
        return None
    for item in environ.split(b"\0"):
        if item.startswith(_MARK):
            return item[len(_MARK) :].decode(errors="replace")
    return None


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def _parents() -> Iterator[tuple[int, int]]:
    for pid in _pids():
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                stat = file.read()
        except OSError:
            continue
        # The second field is the program's name in parentheses, and may hold anything.
        state, parent = stat[stat.rindex(b")") + 2 :].split(None, 2)[:2]
        if state != b"Z":
            yield pid, int(parent)
