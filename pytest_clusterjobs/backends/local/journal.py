"""The journal: one append-only file of JSON lines that outlives its writer."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from .records import apply
from .records import Event
from .records import JobRecord


class Journal:
    """The writing end.

    One write a batch: what was flushed survives the death of this process, not of the machine.
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        self._lines: list[str] = []
        if os.fstat(self._fd).st_size and os.pread(self._fd, 1, os.fstat(self._fd).st_size - 1) != b"\n":
            os.write(self._fd, b"\n")

    def add(self, event: Event) -> None:
        """Note an event; it must not be reported to clients before :meth:`flush`."""
        self._lines.append(json.dumps(event, separators=(",", ":")))

    def flush(self) -> None:
        """Write everything noted to the kernel. Raises OSError (a full disk)."""
        if not self._lines:
            return
        data = ("\n".join(self._lines) + "\n").encode()
        self._lines.clear()
        while data:
            data = data[os.write(self._fd, data) :]


def read(path: Path) -> tuple[dict[str, JobRecord], Event]:
    """Every job of a journal, and the last runner's own entry (empty without one).

    Ignores an incomplete line.
    """
    records: dict[str, JobRecord] = {}
    runner: Event = {}
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return records, runner
    for line in lines:
        event = _event(line)
        if event.get("e") == "runner":
            runner = event
        elif event:
            apply(records, event)
    return records, runner


def _event(line: bytes) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}
