"""The runner's end of its connections: requests from clients, answers and notifications."""

from __future__ import annotations

import errno
import json
import os
import resource
import selectors
import socket
import traceback
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from .runner_paths import is_same_user

RESERVED_DESCRIPTORS = 32
"""Descriptors that neither watched processes nor clients may use."""

Answer = Callable[[dict[str, Any]], dict[str, Any]]


def check_descriptor(descriptor: int) -> None:
    """Raise OSError if a new descriptor is one of the last, which all jobs depend on."""
    if descriptor >= resource.getrlimit(resource.RLIMIT_NOFILE)[0] - RESERVED_DESCRIPTORS:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


class Connection:
    """One client."""

    def __init__(self, peer: socket.socket) -> None:
        self.peer = peer
        self.subscribed = False
        self.unread = b""
        self.unsent = b""

    def send(self, message: dict[str, Any]) -> None:
        """Queue a message; what the kernel does not accept now is sent later."""
        self.unsent += json.dumps(message, separators=(",", ":")).encode() + b"\n"

    def lines(self) -> list[bytes] | None:
        """The complete lines that have arrived, or ``None`` at the end of the connection."""
        try:
            data = self.peer.recv(1 << 20)
        except BlockingIOError:
            return []
        except OSError:
            return None
        if not data:
            return None
        *lines, self.unread = (self.unread + data).split(b"\n")
        return lines


class RunnerServer:
    """Accepts clients, and answers each of their requests by the function for its ``op``."""

    def __init__(
        self, listener: socket.socket, selector: selectors.BaseSelector, answers: Mapping[str, Answer]
    ) -> None:
        self._listener = listener
        self._selector = selector
        self._answers = answers
        self._connections: set[Connection] = set()
        selector.register(listener, selectors.EVENT_READ, self._accept)

    @property
    def has_clients(self) -> bool:
        """Whether a client is connected."""
        return bool(self._connections)

    def publish(self, changed: Sequence[str]) -> None:
        """Notify the clients that want it of changed jobs, and send what is queued."""
        for connection in list(self._connections):
            if changed and connection.subscribed:
                connection.send({"changed": changed})
            if connection.unsent:
                self._flush(connection)

    def _accept(self) -> None:
        try:
            peer, _ = self._listener.accept()
        except OSError:
            return
        try:
            check_descriptor(peer.fileno())
        except OSError:
            peer.close()
            return
        if not is_same_user(peer):
            peer.close()
            return
        peer.setblocking(False)
        connection = Connection(peer)
        self._connections.add(connection)
        self._selector.register(peer, selectors.EVENT_READ, lambda: self._serve(connection))

    def _drop(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._selector.unregister(connection.peer)
        connection.peer.close()

    def _serve(self, connection: Connection) -> None:
        self._flush(connection)
        if connection not in self._connections:
            return
        lines = connection.lines()
        if lines is None:
            self._drop(connection)
            return
        for line in lines:
            try:
                message = json.loads(line)
                connection.send({"id": message["id"], **self._answer(connection, message)})
            except (ValueError, LookupError, TypeError):
                # A client of another version must not end the jobs of the others.
                traceback.print_exc()
                self._drop(connection)
                return

    def _answer(self, connection: Connection, message: dict[str, Any]) -> dict[str, Any]:
        if message["op"] == "subscribe":
            connection.subscribed = True
            return {}
        return self._answers[message["op"]](message)

    def _flush(self, connection: Connection) -> None:
        try:
            sent = connection.peer.send(connection.unsent) if connection.unsent else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop(connection)
            return
        connection.unsent = connection.unsent[sent:]
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.unsent else 0)
        key = self._selector.get_key(connection.peer)
        if key.events != events:
            self._selector.modify(connection.peer, events, key.data)
