"""What is read out of a rank's log: its last line, whether its command began, or why neither can be known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from typing import cast

import pytest

from pytest_clusterjobs.backends import sentinel
from pytest_clusterjobs.backends.aws_batch import marks
from pytest_clusterjobs.backends.aws_batch.api import Api
from pytest_clusterjobs.backends.aws_batch.detail import Detail
from pytest_clusterjobs.backends.aws_batch.errors import Denied
from pytest_clusterjobs.backends.aws_batch.errors import NotThere
from pytest_clusterjobs.backends.aws_batch.observe import DescribedJob
from pytest_clusterjobs.backends.aws_batch.observe import Told
from pytest_clusterjobs.backends.aws_batch.reader import Reader
from pytest_clusterjobs.backends.protocol import BackendError
from pytest_clusterjobs.model import SentinelReport
from pytest_clusterjobs.model import SentinelWord
from pytest_clusterjobs.model.token import nonce

TOKEN = "cj-20260101t000000-abcdef-0123456789-a1"
BEGUN = f"[clusterjobs {nonce(TOKEN)} begun node=0 restarts=0]"
END = sentinel.line(TOKEN, SentinelReport(SentinelWord.EXITED, 0, 3))
DENIAL = "AWS denies GetLogEvents: User: x is not authorized"
PAGE = 10_000


class CloudWatch:
    """One stream, in pages of so many lines as the real one's."""

    partition, region = "aws", "eu-west-1"

    def __init__(self, *lines: str, fails: Callable[[], Exception] | None = None) -> None:
        self.lines = list(lines)
        self.fails = fails
        self.calls = 0

    def region_of(self, arn: str) -> str:
        return self.region

    def logs(
        self,
        operation: str,
        region: str,
        *,
        startFromHead: bool,
        limit: int = PAGE,
        nextToken: str = "",
        **where: str,
    ) -> dict[str, Any]:
        self.calls += 1
        if self.fails is not None:
            raise self.fails()
        way, _, place = nextToken.partition("/")
        forward = way == "f" if way else startFromHead
        if forward:
            first = int(place or 0)
            last = min(len(self.lines), first + limit)
        else:
            last = int(place or len(self.lines))
            first = max(0, last - limit)
        events = [{"message": line} for line in self.lines[first:last] if line]
        return {"events": events, "nextForwardToken": f"f/{last}", "nextBackwardToken": f"b/{first}"}


def not_there() -> Exception:
    return NotThere("GetLogEvents: The specified log stream does not exist.")


def denied() -> Exception:
    return Denied(DENIAL)


def ended(code: int | None = 3, rank: int = 0, **more: Any) -> Detail:
    start = {"startedAt": 2_000_000, "stoppedAt": 2_010_000}
    container = {"exitCode": code, "logStreamName": "s1"}
    raw = {
        "jobId": f"j{rank}",
        "jobName": TOKEN,
        "status": "FAILED" if code else "SUCCEEDED",
        "attempts": [{"container": container, **start}],
        "nodeDetails": {"nodeIndex": rank},
        "stoppedAt": 2_010_000,
        **more,
    }
    return Detail(raw)


def told(logs: CloudWatch, detail: Detail | None = None, at: float = 3_000.0) -> Told:
    reader = Reader(cast(Api, logs), "/g", settle=30.0, now=lambda: at)
    return reader.last_words(DescribedJob(detail or ended()))[0]


def test_the_last_line_says_how_it_ended() -> None:
    found = told(CloudWatch(BEGUN, "hello", END), at=2_011.0)
    assert found.report is not None and found.report.exit_code == 3
    assert (found.complete, found.unread) == (True, "")


def test_what_another_rank_says_in_this_one_s_log_is_not_this_one_s() -> None:
    other = sentinel.line(TOKEN, SentinelReport(SentinelWord.EXITED, 1, 0))
    found = told(CloudWatch(BEGUN, other))
    assert (found.report, found.begun) == (None, True)
    assert told(CloudWatch(other), ended(rank=1)).report is not None


def test_a_log_that_was_read_to_its_end_tells_whether_the_command_began() -> None:
    assert told(CloudWatch(BEGUN, "hello")).begun is True
    assert told(CloudWatch("usage: entrypoint")).begun is False
    assert told(CloudWatch()).begun is False
    # Half of a mark is none.
    assert told(CloudWatch(f"[clusterjobs {nonce(TOKEN)} begun nod")).begun is False


def test_nothing_is_known_as_long_as_lines_may_come() -> None:
    for lines in ((), ("usage: entrypoint",), (BEGUN,)):
        found = told(CloudWatch(*lines), at=2_020.0)
        assert (found.complete, found.begun, found.unread) == (False, None, "")


@pytest.mark.parametrize("size", [100, 3 * PAGE, 40 * PAGE])
def test_a_mark_at_the_head_is_found_whatever_follows(size: int) -> None:
    logs = CloudWatch("setup", BEGUN, *["y"] * size)
    assert told(logs).begun is True


def test_a_last_line_is_found_below_what_a_daemon_printed_after_it() -> None:
    found = told(CloudWatch(BEGUN, END, *["y"] * (5 * PAGE)))
    assert found.report is not None and found.report.exit_code == 3


def test_a_log_too_large_to_be_read_whole_is_no_failed_start() -> None:
    logs = CloudWatch(*["y"] * (70 * PAGE))
    found = told(logs)
    assert found.begun is None and "larger than that" in found.unread
    assert logs.calls <= 3 * marks.PAGES


def test_a_denied_log_names_the_denial() -> None:
    for at in (2_011.0, 3_000.0):
        found = told(CloudWatch(fails=denied), at=at)
        assert (found.begun, found.complete, found.unread) == (None, False, DENIAL)


def test_a_log_that_is_denied_in_the_middle_of_it() -> None:
    logs = CloudWatch(BEGUN, *["y"] * (3 * PAGE))
    read = logs.logs

    def page(operation: str, region: str, **more: Any) -> dict[str, Any]:
        if logs.calls:
            raise denied()
        return read(operation, region, **more)

    logs.logs = page  # type: ignore[method-assign]
    found = told(logs)
    assert (found.begun, found.unread) == (None, DENIAL)


def test_a_stream_that_is_not_there_may_come_and_then_is_missing() -> None:
    assert told(CloudWatch(fails=not_there), at=2_020.0) == Told(page=told(CloudWatch()).page)
    found = told(CloudWatch(fails=not_there))
    assert (found.begun, found.complete) == (None, False)
    assert found.unread.startswith(
        "its log is not there: GetLogEvents: The specified log stream does not exist."
    )
    assert "stream s1 in group /g" in found.unread


def test_a_job_that_never_ran_needs_no_stream() -> None:
    never = ended(None, attempts=[{"container": {"logStreamName": "s1"}}])
    assert told(CloudWatch(fails=not_there), never).begun is False
    assert told(CloudWatch(fails=not_there), ended(None, attempts=[])).begun is False


def test_a_log_driver_that_cloudwatch_is_not_told_of() -> None:
    container = {"logConfiguration": {"logDriver": "splunk"}}
    attempt = {"container": {"exitCode": 3}, "startedAt": 2_000_000, "stoppedAt": 2_010_000}
    found = told(CloudWatch(), ended(container=container, attempts=[attempt]))
    assert (found.begun, found.complete) == (None, False)
    assert found.unread == "AWS Batch names no log stream of it, its log driver is splunk"


def test_a_log_that_goes_away_while_it_is_read_is_a_gap() -> None:
    logs = CloudWatch(BEGUN, "hello")
    reader = Reader(cast(Api, logs), "/g", settle=30.0, now=lambda: 2_011.0)
    first = reader.read(ended(), restart=None, cursor=None, tail=None)
    logs.fails = not_there
    rest = reader.read(ended(), restart=None, cursor=first.cursor, tail=None)
    assert not first.complete and not rest.complete
    assert rest.gap.startswith("its log was there and is gone")


def test_whoever_asks_for_a_denied_log_is_told() -> None:
    reader = Reader(cast(Api, CloudWatch(fails=denied)), "/g", settle=30.0)
    for tail in (None, 100):
        with pytest.raises(BackendError, match="AWS denies GetLogEvents"):
            reader.read(ended(), restart=None, cursor=None, tail=tail)


def test_a_job_of_somebody_else_is_not_searched() -> None:
    logs = CloudWatch(*["y"] * (3 * PAGE))
    found = told(logs, ended(jobName="theirs"))
    assert (found.complete, found.begun) == (True, None)
    # No more than the tail took.
    assert logs.calls < 20


def test_what_is_known_is_not_asked_for_again() -> None:
    logs = CloudWatch("usage: entrypoint")
    reader = Reader(cast(Api, logs), "/g", settle=30.0, now=lambda: 3_000.0)
    first = reader.last_words(DescribedJob(ended()))
    calls = logs.calls
    assert reader.last_words(DescribedJob(ended())) == first and logs.calls == calls
