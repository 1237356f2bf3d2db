"""The reaper: a process in a session of its own that cancels a run's jobs when the run's owner dies.

``kill -9``, ``os._exit`` and a crash of the interpreter skip every hook of pytest. The reaper watches
the owner's pidfd, which the kernel makes readable whenever the owner dies. Until then it imports
nothing heavy. It gets the facts that it needs about the run beforehand, because the ledger may be
inaccessible by then.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .liveness import beat
from .liveness import BEAT_INTERVAL_SECONDS

FACTS = ("run_id", "rootdir", "backends", "path", "on_crash", "session")
"""The facts about the run that it receives, by their names in the ledger."""

RELEASE = "release"
"""The owner closed the run normally; nothing is left to do."""

CANCEL = "cancel"
"""The owner leaves behind jobs whose cancellation takes long."""


class Reaper:
    """The owner's end of the connection to the reaper process."""

    def __init__(self, process: subprocess.Popen[bytes], line: socket.socket) -> None:
        self._process = process
        self._line = line

    def uses(self, backend: str) -> None:
        """Report that jobs are about to be submitted to the backend NAME."""
        self._send(uses=backend)

    def release(self, *, cancel: bool) -> None:
        """Release the reaper. With ``cancel`` it cancels the run's live jobs, else it exits immediately."""
        self._send(final=CANCEL if cancel else RELEASE)
        self._line.close()
        if not cancel:
            self._process.wait()
        else:
            # The reaper outlives this process, which does not wait for it.
            self._process.returncode = 0

    def _send(self, **message: Any) -> None:
        # The reaper may have been killed. The session continues, and still cancels its jobs at its own end.
        with contextlib.suppress(OSError):
            self._line.sendall(json.dumps(message).encode() + b"\n")


def start_reaper(folder: Path, meta: Mapping[str, Any]) -> Reaper:
    """Start the reaper of the run in ``folder``; ``meta`` is the ledger's. Raises OSError."""
    own_end, reaper_end = socket.socketpair()
    module = "pytest_clusterjobs.engine.reaper"
    command = [sys.executable, "-m", module, str(folder), str(reaper_end.fileno()), str(os.getpid())]
    with reaper_end, (folder / "reaper.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[reaper_end.fileno()],
            start_new_session=True,
            cwd="/",
        )
    reaper = Reaper(process, own_end)
    reaper._send(facts={name: meta[name] for name in FACTS if name in meta})
    return reaper


def main(folder: str, descriptor: str, owner: str) -> None:
    """Wait for the owner's death or its final message, then cancel jobs if necessary."""
    with socket.socket(fileno=int(descriptor)) as line:
        messages = _listen(line, int(owner), Path(folder))
    final = next((each["final"] for each in messages if "final" in each), None)
    if final == RELEASE:
        return
    from .reap import reap

    facts: dict[str, Any] = next((each["facts"] for each in messages if "facts" in each), {})
    names = {each["uses"] for each in messages if "uses" in each}
    reap(Path(folder), facts, names, died=final != CANCEL)


def _listen(line: socket.socket, owner: int, folder: Path) -> list[dict[str, Any]]:
    """All messages of the owner up to its final message or its death."""
    received = b""
    waiting = [line.fileno()]
    with contextlib.suppress(OSError):
        # Forked children of the owner may keep its end of the socket open, so the pidfd is needed too.
        waiting.append(os.pidfd_open(owner))
    while True:
        over = len(waiting) == 1 or os.getppid() != owner
        if not over:
            beat(folder)
            ready, _, _ = select.select(waiting, [], [], BEAT_INTERVAL_SECONDS)
            over = waiting[1] in ready
        piece, closed = _received(line)
        received += piece
        # The last piece is empty, or was cut off by the owner's death.
        messages: list[dict[str, Any]] = [json.loads(text) for text in received.split(b"\n")[:-1]]
        if over or closed or any("final" in each for each in messages):
            return messages


def _received(line: socket.socket) -> tuple[bytes, bool]:
    """The data that has arrived, and whether the connection is closed."""
    pieces = []
    try:
        while piece := line.recv(1 << 16, socket.MSG_DONTWAIT):
            pieces.append(piece)
    except BlockingIOError:
        return b"".join(pieces), False
    except OSError:
        pass
    return b"".join(pieces), True


if __name__ == "__main__":
    os.chdir("/")
    main(*sys.argv[1:])
