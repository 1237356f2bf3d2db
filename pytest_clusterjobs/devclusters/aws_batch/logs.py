"""What containers print, on its way to CloudWatch Logs as the awslogs driver sends it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from .moto_seams import Logs
from .timers import Timers

LONGEST = 256 * 1024 - 26
"""Bytes of one event; a longer line becomes several."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A stream of one account and region."""

    account: str
    region: str
    group: str
    stream: str


class EmulatedLogStream:
    """One attempt's log. Lines become events; empty ones do not, as with the real driver."""

    def __init__(self, logs: Logs, timers: Timers, to: Destination, delay: float) -> None:
        """``delay`` are the seconds after which the stream, and each event, can be seen."""
        self._logs = logs
        self._timers = timers
        self._to = to
        self._delay = delay
        self._rest = b""
        self._later(self._open)

    def write(self, data: bytes) -> None:
        """Take what was printed."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        while len(self._rest) >= LONGEST:
            lines.append(self._rest[:LONGEST])
            self._rest = self._rest[LONGEST:]
        self._send(lines)

    def close(self) -> None:
        """What was printed without a newline is a line too."""
        self._send([self._rest])
        self._rest = b""

    def _send(self, lines: list[bytes]) -> None:
        now = int(time.time() * 1000)
        pieces = [line[at : at + LONGEST] for line in lines for at in range(0, len(line), LONGEST)]
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
        to = self._to
        self._logs.open(to.account, to.region, to.group, to.stream)

    def _put(self, events: list[tuple[int, str]]) -> None:
        to = self._to
        self._logs.put(to.account, to.region, to.group, to.stream, events)
