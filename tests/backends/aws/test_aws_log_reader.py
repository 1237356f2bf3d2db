"""What a rank's log shows: its last line, whether its command began, or why neither is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from typing import cast

import pytest

from pytest_clusterjobs.backends import sentinel
from pytest_clusterjobs.backends.aws_batch.api import Api
from pytest_clusterjobs.backends.aws_batch.errors import AccessDenied
from pytest_clusterjobs.backends.aws_batch.errors import LogStreamNotFound
from pytest_clusterjobs.backends.aws_batch.job_detail import JobDetail
from pytest_clusterjobs.backends.aws_batch.log_reader import CloudWatchReader
from pytest_clusterjobs.backends.aws_batch.mark_search import MAX_SEARCHED_PAGES
from pytest_clusterjobs.backends.aws_batch.observe import DescribedJob
from pytest_clusterjobs.backends.aws_batch.observe import RankLog
from pytest_clusterjobs.backends.protocol import BackendError
from pytest_clusterjobs.model import SentinelReport
from pytest_clusterjobs.model import SentinelWord
from pytest_clusterjobs.model.token import nonce

TOKEN = "cj-20260101t000000-abcdef-0123456789-a1"
BEGUN = f"[clusterjobs {nonce(TOKEN)} begun node=0 restarts=0]"
END = sentinel.report_line(TOKEN, SentinelReport(SentinelWord.EXITED, 0, 3))
DENIAL = "AWS denies GetLogEvents: User: x is not authorized"
PAGE = 10_000


class CloudWatch:
    """One stream, in pages as large as the real ones."""

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
    return LogStreamNotFound("GetLogEvents: The specified log stream does not exist.")


def denied() -> Exception:
    return AccessDenied(DENIAL)


def ended(code: int | None = 3, rank: int = 0, **more: Any) -> JobDetail:
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
    return JobDetail(raw)


def rank_log(logs: CloudWatch, detail: JobDetail | None = None, at: float = 3_000.0) -> RankLog:
    reader = CloudWatchReader(cast(Api, logs), "/g", settle=30.0, now=lambda: at)
    return reader.rank_logs(DescribedJob(detail or ended()))[0]


def test_the_last_line_reports_the_end() -> None:
    found = rank_log(CloudWatch(BEGUN, "hello", END), at=2_011.0)
    assert found.report is not None and found.report.exit_code == 3
    assert (found.complete, found.unread) == (True, "")


def test_a_report_of_another_rank_is_ignored() -> None:
    other = sentinel.report_line(TOKEN, SentinelReport(SentinelWord.EXITED, 1, 0))
    found = rank_log(CloudWatch(BEGUN, other))
    assert (found.report, found.begun) == (None, True)
    assert rank_log(CloudWatch(other), ended(rank=1)).report is not None


def test_a_complete_log_shows_whether_the_command_began() -> None:
    assert rank_log(CloudWatch(BEGUN, "hello")).begun is True
    assert rank_log(CloudWatch("usage: entrypoint")).begun is False
    assert rank_log(CloudWatch()).begun is False
    # Half of a mark does not count.
    assert rank_log(CloudWatch(f"[clusterjobs {nonce(TOKEN)} begun nod")).begun is False


def test_nothing_is_known_while_lines_may_arrive() -> None:
    for lines in ((), ("usage: entrypoint",), (BEGUN,)):
        found = rank_log(CloudWatch(*lines), at=2_020.0)
        assert (found.complete, found.begun, found.unread) == (False, None, "")


@pytest.mark.parametrize("size", [100, 3 * PAGE, 40 * PAGE])
def test_a_mark_at_the_head_is_found(size: int) -> None:
    logs = CloudWatch("setup", BEGUN, *["y"] * size)
    assert rank_log(logs).begun is True


def test_a_report_is_found_before_the_output_of_a_daemon() -> None:
    found = rank_log(CloudWatch(BEGUN, END, *["y"] * (5 * PAGE)))
    assert found.report is not None and found.report.exit_code == 3


def test_a_log_that_is_too_large_is_not_a_failed_start() -> None:
    logs = CloudWatch(*["y"] * (70 * PAGE))
    found = rank_log(logs)
    assert found.begun is None and "too large" in found.unread
    assert logs.calls <= 3 * MAX_SEARCHED_PAGES


def test_a_denied_log_is_reported_with_the_denial() -> None:
    for at in (2_011.0, 3_000.0):
        found = rank_log(CloudWatch(fails=denied), at=at)
        assert (found.begun, found.complete, found.unread) == (None, False, DENIAL)


def test_a_log_that_is_denied_after_its_first_page() -> None:
    logs = CloudWatch(BEGUN, *["y"] * (3 * PAGE))
    read = logs.logs

    def page(operation: str, region: str, **more: Any) -> dict[str, Any]:
        if logs.calls:
            raise denied()
        return read(operation, region, **more)

    logs.logs = page  # type: ignore[method-assign]
    found = rank_log(logs)
    assert (found.begun, found.unread) == (None, DENIAL)


def test_a_stream_is_missing_only_after_the_settle_time() -> None:
    assert rank_log(CloudWatch(fails=not_there), at=2_020.0) == RankLog(page=rank_log(CloudWatch()).page)
    found = rank_log(CloudWatch(fails=not_there))
    assert (found.begun, found.complete) == (None, False)
    assert found.unread.startswith(
        "its log does not exist: GetLogEvents: The specified log stream does not exist."
    )
    assert "stream s1 in group /g" in found.unread


def test_a_job_that_never_ran_needs_no_stream() -> None:
    never = ended(None, attempts=[{"container": {"logStreamName": "s1"}}])
    assert rank_log(CloudWatch(fails=not_there), never).begun is False
    assert rank_log(CloudWatch(fails=not_there), ended(None, attempts=[])).begun is False


def test_a_log_without_a_stream_names_the_log_driver() -> None:
    container = {"logConfiguration": {"logDriver": "splunk"}}
    attempt = {"container": {"exitCode": 3}, "startedAt": 2_000_000, "stoppedAt": 2_010_000}
    found = rank_log(CloudWatch(), ended(container=container, attempts=[attempt]))
    assert (found.begun, found.complete) == (None, False)
    assert found.unread == "AWS Batch names no log stream for it: its log driver is splunk"


def test_a_log_that_disappears_while_it_is_read_has_a_gap() -> None:
    logs = CloudWatch(BEGUN, "hello")
    reader = CloudWatchReader(cast(Api, logs), "/g", settle=30.0, now=lambda: 2_011.0)
    first = reader.read(ended(), restart=None, cursor=None, tail=None)
    logs.fails = not_there
    rest = reader.read(ended(), restart=None, cursor=first.cursor, tail=None)
    assert not first.complete and not rest.complete
    assert rest.gap.startswith("its log no longer exists")


def test_reading_a_denied_log_raises() -> None:
    reader = CloudWatchReader(cast(Api, CloudWatch(fails=denied)), "/g", settle=30.0)
    for tail in (None, 100):
        with pytest.raises(BackendError, match="AWS denies GetLogEvents"):
            reader.read(ended(), restart=None, cursor=None, tail=tail)


def test_a_denied_log_is_requested_once() -> None:
    logs = CloudWatch(fails=denied)
    reader = CloudWatchReader(cast(Api, logs), "/g", settle=30.0, now=lambda: 2_011.0)
    job = DescribedJob(ended())
    for _ in range(3):
        assert reader.rank_logs(job)[0].unread == DENIAL
        with pytest.raises(BackendError, match="AWS denies GetLogEvents"):
            reader.read(ended(), restart=None, cursor=None, tail=100)
    assert logs.calls == 1
    # Another stream may be permitted.
    other = ended(attempts=[{"container": {"exitCode": 3, "logStreamName": "s2"}}])
    with pytest.raises(BackendError):
        reader.read(other, restart=None, cursor=None, tail=100)
    assert logs.calls == 2


def test_the_log_of_another_tool_is_not_searched() -> None:
    logs = CloudWatch(*["y"] * (3 * PAGE))
    found = rank_log(logs, ended(jobName="theirs"))
    assert (found.complete, found.begun) == (True, None)
    # No more calls than for the tail.
    assert logs.calls < 20


def test_a_complete_log_is_read_once() -> None:
    logs = CloudWatch("usage: entrypoint")
    reader = CloudWatchReader(cast(Api, logs), "/g", settle=30.0, now=lambda: 3_000.0)
    first = reader.rank_logs(DescribedJob(ended()))
    calls = logs.calls
    assert reader.rank_logs(DescribedJob(ended())) == first and logs.calls == calls
