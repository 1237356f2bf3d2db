"""Reads the report of a rank's sentinel from the end of its log."""

from __future__ import annotations

from ...model import SentinelReport
from ...model.token import nonce
from .. import sentinel
from ..logfile import read_piece
from ..protocol import BackendError
from .runner_paths import RunnerPaths


def read_report(paths: RunnerPaths, token: str, rank: int, restart: int) -> SentinelReport | None:
    """The sentinel's own line, from the end of a node's log."""
    try:
        piece = read_piece(paths.log(token, rank, restart), tail=sentinel.REPORT_TAIL_BYTES)
    except BackendError:
        return None
    if piece is None:
        return None
    return sentinel.last_report(piece.data.decode(errors="replace"), nonce(token), rank)
