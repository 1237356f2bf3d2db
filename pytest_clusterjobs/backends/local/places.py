"""Where a runner keeps what, and how it is reached."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .processes import Mark


@dataclass(frozen=True, slots=True)
class Places:
    """The folder of one runner: readable by its owner alone."""

    folder: Path

    def make(self) -> None:
        """Create what is not there yet. Raises OSError."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.joinpath("logs").mkdir(mode=0o700, exist_ok=True)
        self.folder.joinpath("beats").mkdir(mode=0o700, exist_ok=True)

    @property
    def journal(self) -> Path:
        """The journal of all jobs."""
        return self.folder / "journal.jsonl"

    @property
    def notes(self) -> Path:
        """Where the runner's own errors go."""
        return self.folder / "runner.log"

    def log(self, token: str, rank: int, restart: int) -> Path:
        """One node's output in one start."""
        return self.folder / "logs" / f"{token}.{rank}.{restart}.log"

    def heartbeat(self, token: str, rank: int, restart: int) -> Path:
        """The file that a node touches to stay alive."""
        return self.folder / "beats" / f"{token}.{rank}.{restart}"

    @property
    def mark(self) -> Mark:
        """What the processes of this folder's jobs are known by."""
        return Mark(os.fsencode(f"CLUSTERJOBS_HEARTBEAT_FILE={self.folder}/beats/"))

    def hostfile(self, nodes: int) -> Path:
        """The list of hosts, one a line, for every job of so many nodes."""
        return self.folder / f"hosts.{nodes}"

    def lock(self) -> int | None:
        """Take the folder for this process's life: a descriptor to keep, or ``None`` if another runner has it."""
        fd = os.open(self.folder / "runner.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        return fd

    @contextmanager
    def address(self) -> Iterator[str]:
        """The socket's path by way of a descriptor: short, however deep the folder (Linux allows 107 bytes)."""
        fd = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield f"/proc/self/fd/{fd}/socket"
        finally:
            os.close(fd)

    def listen(self) -> socket.socket:
        """Bind the runner's socket, for its owner alone. Raises OSError."""
        self.folder.joinpath("socket").unlink(missing_ok=True)
        server = socket.socket(socket.AF_UNIX)
        mask = os.umask(0o177)
        try:
            with self.address() as address:
                server.bind(address)
        finally:
            os.umask(mask)
        server.listen(128)
        server.setblocking(False)
        return server

    def connect(self) -> socket.socket | None:
        """A connection to the runner, or ``None`` if there is none."""
        peer = socket.socket(socket.AF_UNIX)
        try:
            with self.address() as address:
                peer.connect(address)
        except (FileNotFoundError, ConnectionRefusedError):
            peer.close()
            return None
        return peer
