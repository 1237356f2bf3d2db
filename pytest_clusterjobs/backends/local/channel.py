"""A connection to the runner: calls from any thread, and notifications from the runner."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from collections.abc import Collection
from concurrent.futures import Future
from contextlib import suppress
from itertools import count
from threading import current_thread
from threading import Lock
from threading import Thread
from typing import Any

CALL_TIMEOUT_SECONDS = 60.0
"""Seconds after which a runner that does not answer is considered lost."""

Changed = Callable[[Collection[str]], None]


class ChannelClosed(Exception):
    """The runner is gone; it is unknown whether it received the last call."""


class Channel:
    """Calls are answered in any order; one thread reads."""

    def __init__(self, peer: socket.socket) -> None:
        self.closed = False
        self._peer = peer
        self._changed: Changed | None = None
        self._polled: set[str] = set()
        self._lock = Lock()
        self._numbers = count(1)
        self._waiting: dict[int, Future[dict[str, Any]]] = {}
        self._reader = Thread(target=self._read, name="clusterjobs-local", daemon=True)
        self._reader.start()

    def subscribe(self, changed: Changed) -> None:
        """Have ``changed`` called when jobs change, and for all polled jobs when the runner dies.

        Raises ChannelClosed.
        """
        self._changed = changed
        self.call("subscribe")

    def call(self, op: str, **message: Any) -> dict[str, Any]:
        """Send a request and wait for the answer. Raises ChannelClosed, TimeoutError."""
        answer: Future[dict[str, Any]] = Future()
        with self._lock:
            if self.closed:
                raise ChannelClosed
            number = next(self._numbers)
            self._waiting[number] = answer
            self._polled.update(message.get("tokens", [message["token"]] if "token" in message else []))
            try:
                self._peer.sendall(json.dumps({"id": number, "op": op, **message}).encode() + b"\n")
            except OSError:
                self._waiting.pop(number, None)
                raise ChannelClosed from None
        return answer.result(CALL_TIMEOUT_SECONDS)

    def close(self) -> None:
        """Close the connection and wait for the reading thread."""
        self._changed = None
        self._disconnect()
        if self._reader is not current_thread():
            self._reader.join()
        self._peer.close()

    def discard(self) -> None:
        """Drop a connection that is already closed, without waiting."""
        self._peer.close()

    def _read(self) -> None:
        with self._peer.makefile("rb") as lines:
            try:
                for line in lines:
                    self._receive(json.loads(line))
            except (OSError, ValueError):
                pass
        self._disconnect()
        if self._changed is not None and self._polled:
            self._changed(sorted(self._polled))

    def _receive(self, message: dict[str, Any]) -> None:
        if "changed" in message:
            if self._changed is not None:
                self._changed(message["changed"])
            return
        waiting = self._waiting.pop(message["id"], None)
        if waiting is not None:
            waiting.set_result(message)

    def _disconnect(self) -> None:
        with self._lock:
            self.closed = True
            waiting, self._waiting = self._waiting, {}
        with suppress(OSError):
            self._peer.shutdown(socket.SHUT_RDWR)
        for answer in waiting.values():
            answer.set_exception(ChannelClosed())
