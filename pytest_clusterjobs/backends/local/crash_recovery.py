"""Settles the jobs of a runner that died: done once, by the next runner, before it serves."""

from __future__ import annotations

import platform
import time
from pathlib import Path
from typing import Any

from ...model import SentinelWord
from ..rank_report import read_report
from .records import apply
from .records import CANCELLED
from .records import ENDED
from .records import Event
from .records import JobRecord
from .records import NODE_FAILED
from .records import packed
from .runner_paths import RunnerPaths
from .watchdog import end_all

STOP_TIMEOUT_SECONDS = 5.0
"""Seconds before a dead runner's processes, which its watchdog also stops, are killed."""


def machine() -> dict[str, str]:
    """Identifies this boot of this machine."""
    return {
        "host": platform.node(),
        "boot": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
    }


def settle(paths: RunnerPaths, records: dict[str, JobRecord]) -> list[Event]:
    """Give every job without an end one: its runner is dead, and after this call so are its processes.

    Returns the events for the journal.
    """
    unended = {token: record for token, record in records.items() if not record.has_ended}
    if unended:
        end_all(paths.tag, STOP_TIMEOUT_SECONDS)
    events: list[Event] = []
    for token, record in unended.items():
        for fields in _last_events(paths, record):
            events.append({"token": token, "at": round(time.time(), 6), **fields})
            apply(records, events[-1])
    return events


def _last_events(paths: RunnerPaths, record: JobRecord) -> list[Event]:
    if not record.nodes:
        return [_end(record, "the local runner died before this job started")]
    events: list[Event] = []
    codes: list[Any] = [node.code for node in record.nodes]
    ends = [node.report[0] if node.report else None for node in record.nodes]
    for rank, node in enumerate(record.nodes):
        if node.ended is not None:
            continue
        report = read_report(paths.log(record.token, rank, record.restarts), record.token, rank)
        codes[rank] = _code(report.word, report.exit_code) if report else None
        ends[rank] = report.word if report else None
        events.append({"e": "node", "rank": rank, "code": codes[rank], "report": packed(report)})
    if all(word not in (None, SentinelWord.STOPPED) for word in ends):
        code = next((code for code in codes if code), 0)
        return [*events, {"e": "end", "state": ENDED, "why": "", "code": code}]
    return [*events, _end(record, "the local runner died while this job ran")]


def _code(word: SentinelWord, exit_code: int | None) -> int:
    if exit_code is not None:
        return exit_code
    return 143 if word is SentinelWord.STOPPED else 124


def _end(record: JobRecord, why: str) -> Event:
    if record.cancelled:
        return {"e": "end", "state": CANCELLED, "why": record.why, "code": None}
    return {"e": "end", "state": NODE_FAILED, "why": why, "code": None}
