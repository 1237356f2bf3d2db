"""All ranks of a job, joined over TCP in a star around rank 0.

Ranks may start in any order and minutes apart. All other ranks notice a rank that has died at their next
exchange, and a rank that hangs after the peer timeout.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from typing import Any

from job import Job

MAX_MESSAGE_BYTES = 1 << 20
RETRY_SECONDS = 0.05
RESPONSE_TIMEOUT_SECONDS = 5.0
GREETING_TIMEOUT_SECONDS = 1.0
"""Shorter, so that a silent connection from elsewhere does not keep other ranks waiting."""


class PeerLost(Exception):
    """Another rank of the job has ended or never connected; the message names it."""


class Channel:
    """A connection to one other rank, for JSON values, one per line."""

    def __init__(self, sock: socket.socket, peer: int, timeout: float) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(timeout)
        self.peer = peer
        self.host: str = sock.getsockname()[0]
        """The address by which this side is reached."""
        self._sock = sock
        self._lines = sock.makefile("rb")

    def send(self, value: Any) -> None:
        """Raises PeerLost."""
        try:
            self._sock.sendall(json.dumps(value).encode() + b"\n")
        except OSError as error:
            raise PeerLost(f"lost rank {self.peer}: {error}") from error

    def receive(self) -> Any:
        """Wait for the peer's next value. Raises PeerLost."""
        try:
            line = self._lines.readline(MAX_MESSAGE_BYTES)
        except OSError as error:
            raise PeerLost(f"lost rank {self.peer}: {error}") from error
        if not line.endswith(b"\n"):
            raise PeerLost(f"lost rank {self.peer}: it closed the connection")
        return json.loads(line)

    def close(self) -> None:
        """Close the connection; the peer notices at its next exchange."""
        self._lines.close()
        self._sock.close()


def connect(job: Job, peer: int, address: tuple[str, int], *, until: float, timeout: float) -> Channel:
    """Connect to the listening rank ``peer``; retry until the monotonic time ``until``.

    Another program, or this job's previous start, may have the port. Only the right response to the greeting
    counts. Raises PeerLost.
    """
    while True:
        try:
            sock = socket.create_connection(address, timeout=RESPONSE_TIMEOUT_SECONDS)
            if _is_accepted(job, sock):
                return Channel(sock, peer, timeout)
            sock.close()
            error = "another program listens on this port"
        except OSError as problem:
            error = str(problem)
        if time.monotonic() > until:
            raise PeerLost(f"no connection to rank {peer} at {address[0]}:{address[1]}: {error}")
        job.beat()
        time.sleep(RETRY_SECONDS)


def _is_accepted(job: Job, sock: socket.socket) -> bool:
    sock.sendall(f"{job.start} {job.rank}\n".encode())
    if sock.recv(1) != b"+":
        return False
    sock.sendall(b"!")
    return True


def listen(job: Job, address: tuple[str, int], *, until: float) -> socket.socket:
    """Listen at ``address``; retry until ``until`` if the port is in use. Raises PeerLost."""
    while True:
        try:
            server = socket.create_server(address, backlog=job.world)
            server.settimeout(RETRY_SECONDS)
            return server
        except OSError as error:
            if time.monotonic() > until:
                raise PeerLost(f"cannot listen at {address[0]}:{address[1]}: {error}") from error
        job.beat()
        time.sleep(RETRY_SECONDS)


def accept(
    job: Job, server: socket.socket, wanted: set[int], *, until: float, timeout: float
) -> list[Channel]:
    """Accept connections of the ranks ``wanted``, sorted by rank, and close all others. Raises PeerLost."""
    channels: dict[int, Channel] = {}
    while missing := wanted - set(channels):
        if time.monotonic() > until:
            raise PeerLost(f"rank {min(missing)} did not connect")
        job.beat()
        try:
            sock, _ = server.accept()
        except OSError:
            continue
        peer = _greeted(job, sock)
        if peer in missing:
            channels[peer] = Channel(sock, peer, timeout)
        else:
            sock.close()
    return [channels[rank] for rank in sorted(channels)]


def _greeted(job: Job, sock: socket.socket) -> int:
    """The rank at the other end; -1 if it is not of this job, or has closed the connection."""
    sock.settimeout(GREETING_TIMEOUT_SECONDS)
    try:
        with sock.makefile("rb") as lines:
            start, _, rank = lines.readline(1000).decode().strip().partition(" ")
        peer = int(rank)
        if start != job.start:
            return -1
        sock.sendall(b"+")
        return peer if sock.recv(1) == b"!" else -1
    except (OSError, ValueError):
        return -1


class Group:
    """Collective calls: every rank makes the same calls in the same order. They raise PeerLost."""

    def __init__(self, job: Job, *, join_timeout: float, peer_timeout: float) -> None:
        until = time.monotonic() + join_timeout
        self.job = job
        self.until = until
        self.peer_timeout = peer_timeout
        if job.world == 1:
            self._channels = []
        elif job.rank:
            self._channels = [connect(job, 0, job.master, until=until, timeout=peer_timeout)]
        else:
            wanted = set(range(1, job.world))
            with listen(job, job.master, until=until) as server:
                self._channels = accept(job, server, wanted, until=until, timeout=peer_timeout)

    @property
    def host(self) -> str:
        """The address by which the other ranks reach this one."""
        return self._channels[0].host if self._channels else self.job.master[0]

    def gather(self, value: Any) -> list[Any]:
        """The values of all ranks in their order, on rank 0; an empty list on other ranks."""
        if self.job.rank == 0:
            return [value, *(channel.receive() for channel in self._channels)]
        self._channels[0].send(value)
        return []

    def broadcast(self, value: Any) -> Any:
        """Rank 0's value, on every rank."""
        if self.job.rank:
            return self._channels[0].receive()
        for channel in self._channels:
            channel.send(value)
        return value

    def allreduce(self, values: list[float], combine: Callable[[tuple[float, ...]], float]) -> list[float]:
        """Combine each position over all ranks (``sum``, ``max``); all ranks get the same result."""
        rows = self.gather(values)
        return [
            float(value) for value in self.broadcast([combine(column) for column in zip(*rows, strict=True)])
        ]

    def close(self) -> None:
        """Leave the group."""
        for channel in self._channels:
            channel.close()
