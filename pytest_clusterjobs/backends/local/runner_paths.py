"""The files of a runner, and its address."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from .processes import EnvironmentTag

# Bound at import: a plugin such as pytest-socket replaces them while other tests run.
_Socket = socket.socket
_connect = socket.socket.connect


@dataclass(frozen=True, slots=True)
class RunnerPaths:
    """The folder of one runner: readable by its owner alone."""

    folder: Path

    def make(self) -> None:
        """Create what is missing. Raises OSError."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.joinpath("logs").mkdir(mode=0o700, exist_ok=True)
        self.folder.joinpath("beats").mkdir(mode=0o700, exist_ok=True)

    @property
    def journal(self) -> Path:
        """The journal of all jobs."""
        return self.folder / "journal.jsonl"

    @property
    def error_log(self) -> Path:
        """The log of the runner's own errors."""
        return self.folder / "runner.log"

    def log(self, token: str, rank: int, restart: int) -> Path:
        """One node's output in one start."""
        return self.folder / "logs" / f"{token}.{rank}.{restart}.log"

    def heartbeat(self, token: str, rank: int, restart: int) -> Path:
        """The file that a node touches to stay alive."""
        return self.folder / "beats" / f"{token}.{rank}.{restart}"

    @property
    def tag(self) -> EnvironmentTag:
        """Identifies the processes of this folder's jobs."""
        return EnvironmentTag(os.fsencode(f"CLUSTERJOBS_HEARTBEAT_FILE={self.folder}/beats/"))

    def hostfile(self, nodes: int) -> Path:
        """The list of hosts, one a line, for every job with this number of nodes."""
        return self.folder / f"hosts.{nodes}"

    def lock(self) -> int | None:
        """Take the folder for this process's life.

        Returns a descriptor to keep, or ``None`` if another runner has it.
        """
        fd = os.open(self.folder / "runner.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        return fd

    def listen(self) -> socket.socket:
        """A socket for the runner's clients; its address is a secret of the folder. Raises OSError.

        It is in the abstract namespace: no file is left for tools that copy or pack folders to fail on.
        """
        server = _Socket(socket.AF_UNIX)
        name = token_hex(16)
        server.bind(_address(name))
        server.listen(128)
        server.setblocking(False)
        draft = self.folder / "address.new"
        draft.touch(0o600)
        draft.write_text(name)
        draft.replace(self.folder / "address")
        return server

    def connect(self) -> socket.socket | None:
        """A connection to the runner, or ``None`` if there is none."""
        try:
            name = self.folder.joinpath("address").read_text()
        except FileNotFoundError:
            return None
        peer = _Socket(socket.AF_UNIX)
        try:
            _connect(peer, _address(name))
        except ConnectionRefusedError:
            peer.close()
            return None
        return peer


def _address(name: str) -> bytes:
    return b"\0clusterjobs-" + name.encode()


def is_same_user(peer: socket.socket) -> bool:
    """Whether the connected process runs as the user of this process, or as root."""
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    return uid in (0, os.getuid())
