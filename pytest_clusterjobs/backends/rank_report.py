"""Reads the report of a rank's sentinel from the end of its log file."""

from __future__ import annotations

from pathlib import Path

from ..model import SentinelReport
from ..model.token import nonce
from . import sentinel
from .logfile import read_tail


def read_report(log: Path, token: str, rank: int) -> SentinelReport | None:
    """The report in a log file; ``None`` if the file has none or cannot be read."""
    tail = read_tail(log, sentinel.REPORT_TAIL_BYTES).decode(errors="replace")
    return sentinel.last_report(tail, nonce(token), rank)
