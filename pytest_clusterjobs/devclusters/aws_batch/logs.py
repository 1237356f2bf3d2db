"""Send the output of containers to CloudWatch Logs, as the awslogs driver does."""

from __future__ import annotations

import time

from .moto_internals import Logs
from .timers import Timers

MAX_EVENT_BYTES = 256 * 1024 - 26
"""A longer line becomes several events."""


class EmulatedLogStream:
    """One attempt's log. Lines become events; empty ones do not, as with the real driver."""

    def __init__(self, logs: Logs, timers: Timers, stream: tuple[str, str, str, str], delay: float) -> None:
        """``stream``: account, region, group, name.

        It, and each event, becomes readable after ``delay`` seconds.
        """
        self._logs = logs
        self._timers = timers
        self._stream = stream
        self._delay = delay
        self._rest = b""
        self._later(self._open)

    def write(self, data: bytes) -> None:
        """Add output of the container."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        while len(self._rest) >= MAX_EVENT_BYTES:
            lines.append(self._rest[:MAX_EVENT_BYTES])
            self._rest = self._rest[MAX_EVENT_BYTES:]
        self._send(lines)

    def close(self) -> None:
        """Send the last line, if it has no newline."""
        self._send([self._rest])
        self._rest = b""

    def _send(self, lines: list[bytes]) -> None:
        now = int(time.time() * 1000)
        pieces = [
            line[at : at + MAX_EVENT_BYTES] for line in lines for at in range(0, len(line), MAX_EVENT_BYTES)
        ]
        events = [(now, piece.decode(errors="replace")) for piece in pieces]
        if events:
            self._later(lambda: self._put(events))

    def _later(self, call: object) -> None:
        assert callable(call)
        if self._delay:
            self._timers.after(self._delay, call)
        else:
            call()

    def _open(self) -> None:
        self._logs.open(*self._stream)

    def _put(self, events: list[tuple[int, str]]) -> None:
        self._logs.put(*self._stream, events)
