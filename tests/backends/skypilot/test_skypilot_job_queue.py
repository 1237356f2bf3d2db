"""The job of each token: duplicates are cancelled, and a recently read row is not read again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from pytest_clusterjobs.backends.skypilot.job_queue import JobQueue
from pytest_clusterjobs.backends.skypilot.records import QueuedJob
from pytest_clusterjobs.backends.skypilot.sdk import Sky
from tests.backends.skypilot.scenarios import token_of

FIRST, SECOND = token_of("a"), token_of("b")


class Server:
    """A queue with fixed rows that records the calls."""

    def __init__(self, *rows: QueuedJob) -> None:
        self.rows = rows
        self.reads: list[str] = []
        self.cancelled: list[int] = []

    def queue(self, name: str) -> list[QueuedJob]:
        self.reads.append(name)
        return [row for row in self.rows if name in row.name]

    def cancel(self, job_ids: Sequence[int]) -> None:
        self.cancelled.extend(job_ids)


def queue_of(server: Server, poll_interval: float = 60.0) -> JobQueue:
    return JobQueue(cast(Sky, server), poll_interval)


def test_a_younger_duplicate_is_cancelled_once() -> None:
    server = Server(
        QueuedJob(1, FIRST, "RUNNING"), QueuedJob(2, FIRST, "RUNNING"), QueuedJob(3, FIRST, "SUCCEEDED")
    )
    queue = queue_of(server)
    for _ in range(2):
        assert queue.rows([FIRST])[FIRST].job_id == 1
    assert server.cancelled == [2]


def test_the_jobs_of_a_run_are_read_in_one_call() -> None:
    server = Server(QueuedJob(1, FIRST, "RUNNING"), QueuedJob(2, SECOND, "RUNNING"))
    found = queue_of(server).rows([FIRST, SECOND])
    assert {token: row.job_id for token, row in found.items()} == {FIRST: 1, SECOND: 2}
    assert len(server.reads) == 1


def test_a_row_is_read_again_after_the_poll_interval_unless_it_has_ended() -> None:
    server = Server(QueuedJob(1, FIRST, "RUNNING"), QueuedJob(2, SECOND, "FAILED"))
    recent, expired = queue_of(server), queue_of(server, poll_interval=0.0)
    for queue in (recent, expired):
        assert queue.last_seen(FIRST) is None
        for token in (FIRST, SECOND) * 2:
            assert queue.row(token) is not None
    assert server.reads == [FIRST, SECOND, FIRST, SECOND, FIRST]
