"""What is said of a job whose logs cannot be read for a while: nothing yet, rather than half of it."""

from __future__ import annotations

from typing import Any
from typing import cast

import pytest

from pytest_clusterjobs.backends.protocol import BackendError
from pytest_clusterjobs.backends.skypilot.sdk import Row
from pytest_clusterjobs.backends.skypilot.sdk import Sky
from pytest_clusterjobs.backends.skypilot.watcher import Known
from pytest_clusterjobs.backends.skypilot.watcher import Watcher
from pytest_clusterjobs.jobs import Handle
from pytest_clusterjobs.jobs import Phase
from tests.backends.skypilot.scenarios import token_of

TOKEN = token_of("fails")


class Logs:
    """Logs that cannot be read until they can."""

    def __init__(self) -> None:
        self.readable = False

    def log(self, job_id: int, **wanted: Any) -> str:
        if not self.readable:
            raise BackendError("503")
        return ""


def known(status: str, recoveries: int = 0) -> Known:
    row = Row(1, TOKEN, status, "DONE", recoveries, started=1.0, ended=2.0)
    return Known(TOKEN, Handle("1", {"token": TOKEN, "nodes": 1, "restarts": 1}), row)


@pytest.mark.parametrize("recoveries", [0, 1])
def test_an_end_waits_for_its_log(recoveries: int) -> None:
    logs = Logs()
    watcher = Watcher(cast(Sky, logs), teardown=60.0)
    job = known("FAILED", recoveries)
    assert watcher.observe(job) is None
    logs.readable = True
    seen = watcher.observe(job)
    assert seen is not None and seen.phase is Phase.ENDED and seen.log_complete


def test_not_for_ever() -> None:
    watcher = Watcher(cast(Sky, Logs()), teardown=0.0)
    seen = watcher.observe(known("FAILED"))
    assert seen is not None and seen.phase is Phase.ENDED and not seen.log_complete


def test_a_job_lives_whatever_its_log_says() -> None:
    seen = Watcher(cast(Sky, Logs()), teardown=60.0).observe(known("RUNNING", recoveries=1))
    assert seen is not None and seen.phase is Phase.RUNNING
    # It is looked at again: nothing was learned.
    assert seen.handle is not None and "looked" not in seen.handle.data
