"""What the engine makes of the logs of a job: reports by rank, beginnings, gaps, and what the job itself
printed."""

from __future__ import annotations

from typing import Any
from typing import cast

import pytest

from pytest_clusterjobs.backends import sentinel
from pytest_clusterjobs.backends.protocol import Backend
from pytest_clusterjobs.backends.protocol import BackendError
from pytest_clusterjobs.engine import logs as engine_logs
from pytest_clusterjobs.engine.hiding import Hiding
from pytest_clusterjobs.engine.logs import LogReader
from pytest_clusterjobs.model import Handle
from pytest_clusterjobs.model import LogChunk
from pytest_clusterjobs.model import NodeState
from pytest_clusterjobs.model import Observation
from pytest_clusterjobs.model import Phase
from pytest_clusterjobs.model import SentinelReport
from pytest_clusterjobs.model import SentinelWord
from pytest_clusterjobs.model.token import nonce
from pytest_clusterjobs.model.token import Token

TOKEN = str(Token.of("run", "matrices/a.yaml::cell", 1))
SIZE = 1000


class Logs:
    """A backend that has logs, and gives them in pieces."""

    def __init__(self, *logs: str | LogChunk | Exception) -> None:
        self._logs = logs
        self.read = 0

    def logs(
        self,
        handle: Handle,
        *,
        node: int,
        restart: int | None = None,
        cursor: int | None = None,
        tail: int | None = None,
    ) -> LogChunk:
        found = self._logs[node]
        if isinstance(found, Exception):
            raise found
        if isinstance(found, LogChunk):
            return found
        start = len(found) - tail if tail is not None else cursor or 0
        text = found[max(0, start) :][: tail or SIZE]
        self.read += len(text)
        return LogChunk(text, max(0, start) + len(text), complete=max(0, start) + len(text) == len(found))


def reader(*logs: str | LogChunk | Exception) -> LogReader:
    return LogReader(cast(Backend, Logs(*logs)), Handle("1"), TOKEN, len(logs))


def ended(code: int = 0, node: int = 0, **fields: Any) -> str:
    report = SentinelReport(SentinelWord.EXITED, node, code, **{"seconds": 1.0, **fields})
    return f"\n{sentinel.report_line(TOKEN, report)}\n"


def nodes(logs: LogReader, *known: NodeState) -> tuple[NodeState, ...]:
    return logs.with_reports(Observation(Phase.ENDED, nodes=known)).nodes


BEGUN = f"[clusterjobs {nonce(TOKEN)} begun node=0 restarts=0]\n"


def test_a_report_counts_for_its_own_rank() -> None:
    log = f"{BEGUN}step\n{ended()}"
    first, second = nodes(reader(log, log))
    assert first.report is not None
    assert (second.report, second.begun) == (None, False)


def test_a_rank_without_a_mark_never_began() -> None:
    (node,) = nodes(reader("srun: error: no such container\n"))
    assert (node.report, node.begun, node.unread) == (None, False, "")


def test_the_mark_is_found_wherever_it_is() -> None:
    for filler in ("x" * (SIZE - 20), "x" * (3 * SIZE)):
        (node,) = nodes(reader(f"{filler}\n{BEGUN}{'y' * 5 * SIZE}"))
        assert node.begun is True


@pytest.mark.parametrize(
    ("log", "unread"),
    [
        (BackendError("AWS denies GetLogEvents: no right"), "AWS denies GetLogEvents: no right"),
        (LogChunk("", gap="the log group is gone"), "the log group is gone"),
        (LogChunk("late", 4), ""),
        (ValueError("boom"), "the backend raised ValueError('boom')"),
    ],
)
def test_a_log_that_cannot_be_read_says_nothing_of_a_beginning(
    log: LogChunk | Exception, unread: str
) -> None:
    logs = reader(log)
    (node,) = nodes(logs)
    assert (node.begun, node.unread) == (None, unread)
    assert logs.missing


def test_what_a_backend_says_stands() -> None:
    report = SentinelReport(SentinelWord.EXITED, 0, 3)
    assert nodes(reader(""), NodeState(0, report=report))[0].report == report
    assert nodes(reader(""), NodeState(0, begun=True))[0].begun is True


@pytest.mark.parametrize(
    ("log", "gap"),
    [
        (f"{BEGUN}step\n{ended()}", ""),
        (f"fine\n{ended()}", "its beginning is gone"),
        (f"{BEGUN}fine\n", "its end is gone"),
        ("fine\n", "its beginning is gone"),
        (f"{BEGUN}fine\n{ended(log_cut=True)}", "could not write all of it"),
    ],
)
def test_a_log_without_its_marks_is_not_complete(log: str, gap: str) -> None:
    logs = reader(log)
    report = SentinelReport(SentinelWord.EXITED, 0, 0, seconds=1.0, log_cut="log=cut" in log)
    logs.know([NodeState(0, report=report)])
    whole = logs.whole(0)
    assert whole.complete == (not gap)
    assert gap in whole.gap
    assert "clusterjobs" not in whole.text


def test_a_log_is_read_to_its_bound_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_logs, "MAX_LOG_CHARACTERS", 5 * SIZE)
    backend = Logs("x" * 100 * SIZE)
    whole = LogReader(cast(Backend, backend), Handle("1"), TOKEN, 1).whole(0)
    assert (len(whole.text), whole.complete) == (5 * SIZE, False)
    assert "longer than" in whole.gap
    assert backend.read <= 7 * SIZE


def test_a_tail_is_of_what_the_job_printed() -> None:
    steps = "step\n" * 1000
    logs = reader(f"{BEGUN}{steps}last words{ended(3)}")
    assert logs.tail(0, 11) == "last words\n"


def test_a_secret_is_in_nothing_that_is_read() -> None:
    log = f"{BEGUN}key hunter2-hunter2\n{ended()}"
    logs = LogReader(cast(Backend, Logs(log)), Handle("1"), TOKEN, 1, Hiding(["hunter2-hunter2"]))
    assert logs.whole(0).text == "key ***\n"
