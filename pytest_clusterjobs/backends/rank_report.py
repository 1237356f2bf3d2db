"""Reads the report of a rank's sentinel from the end of its log file."""

from __future__ import annotations

from pathlib import Path

from ..model import SentinelReport
from ..model.token import nonce
from . import sentinel
from .logfile import read_tail

MAX_LOG_TAIL_BYTES = 16_384
"""Bytes of a log's end that are searched for the sentinel's line."""


def read_report(log: Path, token: str, rank: int) -> SentinelReport | None:
    """The report in a log file; ``None`` if the file has none or cannot be read."""
    return sentinel.parse(read_tail(log, MAX_LOG_TAIL_BYTES).decode(errors="replace"), nonce(token), rank)
