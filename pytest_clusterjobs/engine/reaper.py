"""The reaper: a process of its own session that ends a run's jobs when the run's owner dies.

``kill -9``, ``os._exit`` and a crash of the interpreter skip every hook of pytest. The reaper watches
the owner's pidfd, which the kernel makes readable at the owner's death, at whatever instant. It
imports nothing heavy until then, and is told beforehand what it has to know of the run: the ledger
may be out of reach by then.
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
from .liveness import EVERY

FACTS = ("run_id", "rootdir", "backends", "path", "on_crash", "session")
"""What it is told of the run, by the ledger's names."""

RELEASE = "release"
"""The owner closed the run in order; nothing is left."""

CANCEL = "cancel"
"""The owner leaves jobs whose cancellation takes long."""


class Reaper:
    """The owner's end."""

    def __init__(self, process: subprocess.Popen[bytes], line: socket.socket) -> None:
        self._process = process
        self._line = line

    def uses(self, backend: str) -> None:
        """Say that jobs are about to be submitted to this NAME."""
        self._say(uses=backend)

    def release(self, *, cancel: bool) -> None:
        """Let go: with ``cancel`` it ends what is live of the run, else it ends itself at once."""
        self._say(word=CANCEL if cancel else RELEASE)
        self._line.close()
        if not cancel:
            self._process.wait()
        else:
            # It is meant to outlive us; nobody waits for it any more.
            self._process.returncode = 0

    def _say(self, **words: Any) -> None:
        # Somebody may have killed it: no reason to end the session, whose own end still ends its jobs.
        with contextlib.suppress(OSError):
            self._line.sendall(json.dumps(words).encode() + b"\n")


def start_reaper(folder: Path, meta: Mapping[str, Any]) -> Reaper:
    """Start the reaper of the run in ``folder``, of which the ledger says ``meta``. Raises OSError."""
    ours, theirs = socket.socketpair()
    module = "pytest_clusterjobs.engine.reaper"
    command = [sys.executable, "-m", module, str(folder), str(theirs.fileno()), str(os.getpid())]
    with theirs, (folder / "reaper.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
            cwd="/",
        )
    reaper = Reaper(process, ours)
    reaper._say(facts={name: meta[name] for name in FACTS if name in meta})
    return reaper


def main(folder: str, descriptor: str, owner: str) -> None:
    """Wait for the owner's end or its word, then do what is left to do."""
    with socket.socket(fileno=int(descriptor)) as line:
        said = _listen(line, int(owner), Path(folder))
    word = next((each["word"] for each in said if "word" in each), None)
    if word == RELEASE:
        return
    from .reap import reap

    facts: dict[str, Any] = next((each["facts"] for each in said if "facts" in each), {})
    names = {each["uses"] for each in said if "uses" in each}
    reap(Path(folder), facts, names, died=word != CANCEL)


def _listen(line: socket.socket, owner: int, folder: Path) -> list[dict[str, Any]]:
    """All that the owner says until its last word or its death."""
    heard = b""
    waiting = [line.fileno()]
    with contextlib.suppress(OSError):
        # Children that the owner forked may hold its end of the socket; its pidfd is its own.
        waiting.append(os.pidfd_open(owner))
    while True:
        over = len(waiting) == 1 or os.getppid() != owner
        if not over:
            beat(folder)
            ready, _, _ = select.select(waiting, [], [], EVERY)
            over = waiting[1] in ready
        piece, closed = _received(line)
        heard += piece
        # What comes last was cut off by the owner's death, or is empty.
        said: list[dict[str, Any]] = [json.loads(text) for text in heard.split(b"\n")[:-1]]
        if over or closed or any("word" in each for each in said):
            return said


def _received(line: socket.socket) -> tuple[bytes, bool]:
    """What has arrived, and whether nothing more can."""
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
