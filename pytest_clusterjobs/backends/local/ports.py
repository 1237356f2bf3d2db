"""Master ports: no two live jobs of a user on this machine share one."""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile

from ..environment import FIRST_MASTER_PORT
from ..environment import master_port
from ..environment import MASTER_PORT_COUNT


class Ports:
    """Reservations that end with this process.

    A process has only one instance: closing the file of another one would release all reservations.
    """

    def __init__(self) -> None:
        path = os.path.join(tempfile.gettempdir(), f"clusterjobs-ports-{os.getuid()}")
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        self._taken: set[int] = set()

    def reserve(self, token: str) -> int:
        """A free port for ``token``, the same each time if possible. Raises OSError if all are taken."""
        for candidate in range(MASTER_PORT_COUNT):
            port = master_port(token, candidate)
            if port not in self._taken and self._lock(port):
                if _free(port):
                    self._taken.add(port)
                    return port
                self._unlock(port)
        raise OSError(f"no free port between {FIRST_MASTER_PORT} and {FIRST_MASTER_PORT + MASTER_PORT_COUNT}")

    def release(self, port: int) -> None:
        """Make a port available again."""
        self._taken.discard(port)
        self._unlock(port)

    def _lock(self, port: int) -> bool:
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
        except OSError:
            return False
        return True

    def _unlock(self, port: int) -> None:
        fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, port)


def _free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
