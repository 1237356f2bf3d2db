"""A job whose logs cannot be read for a while is not reported until they can, or until a time limit."""

from __future__ import annotations

from typing import Any
from typing import cast

import pytest

from pytest_clusterjobs.backends import sentinel
from pytest_clusterjobs.backends.protocol import BackendError
from pytest_clusterjobs.backends.skypilot.records import QueuedJob
from pytest_clusterjobs.backends.skypilot.sdk import Sky
from pytest_clusterjobs.backends.skypilot.watcher import WatchedJob
from pytest_clusterjobs.backends.skypilot.watcher import Watcher
from pytest_clusterjobs.model import Handle
from pytest_clusterjobs.model import Phase
from pytest_clusterjobs.model import SentinelReport
from pytest_clusterjobs.model import SentinelWord
from tests.backends.skypilot.scenarios import token_of

TOKEN = token_of("fails")


END = sentinel.report_line(TOKEN, SentinelReport(SentinelWord.EXITED, 0, 7))


class Logs:
    """Logs that are unreadable at first."""

    def __init__(self) -> None:
        self.readable = False

    def log(self, job_id: int, **wanted: Any) -> str:
        if not self.readable:
            raise BackendError("503")
        return END


def known(status: str, recoveries: int = 0) -> WatchedJob:
    row = QueuedJob(1, TOKEN, status, "DONE", recoveries, started=1.0, ended=2.0)
    return WatchedJob(TOKEN, Handle("1", {"token": TOKEN, "nodes": 1, "restarts": 1}), row)


@pytest.mark.parametrize("recoveries", [0, 1])
def test_an_end_is_reported_when_its_log_is_readable(recoveries: int) -> None:
    logs = Logs()
    watcher = Watcher(cast(Sky, logs), teardown=60.0)
    job = known("FAILED", recoveries)
    assert watcher.observe(job) is None
    logs.readable = True
    seen = watcher.observe(job)
    assert seen is not None and seen.phase is Phase.ENDED and seen.log_complete


def test_an_end_is_reported_without_a_log_after_the_teardown_time() -> None:
    watcher = Watcher(cast(Sky, Logs()), teardown=0.0)
    seen = watcher.observe(known("FAILED"))
    assert seen is not None and seen.phase is Phase.ENDED and not seen.log_complete
    assert [(node.begun, node.unread) for node in seen.nodes] == [
        (None, "SkyPilot does not return its log: 503")
    ]


def test_an_unreadable_log_does_not_end_a_job() -> None:
    seen = Watcher(cast(Sky, Logs()), teardown=60.0).observe(known("RUNNING", recoveries=1))
    assert seen is not None and seen.phase is Phase.RUNNING
    # The log is read again at the next poll.
    assert seen.handle is not None and "looked" not in seen.handle.data


def test_a_limit_stored_by_another_version_is_read() -> None:
    """Its handle may be in a ledger that this version reads."""
    old = {"word": "max_runtime_reached", "node": 1, "exit_code": None, "restarts": 0, "heartbeats": 2}
    for more in ({}, {"begun": True, "seconds": 3.0, "of_a_newer_one": [1]}):
        job = known("CANCELLED")
        handle = Handle("1", {**job.handle.data, "limit": {**old, **more}})
        limit = WatchedJob(TOKEN, handle, job.row).limit
        assert limit is not None and (limit.word, limit.node) == (SentinelWord.MAX_RUNTIME_REACHED, 1)
        assert limit.begun is (True if more else None)
