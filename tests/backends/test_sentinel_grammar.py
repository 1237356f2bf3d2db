"""Reading a sentinel's last line out of what a cluster makes of a log."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies

from pytest_clusterjobs.backends import sentinel
from pytest_clusterjobs.jobs import SentinelReport
from pytest_clusterjobs.jobs import SentinelWord
from pytest_clusterjobs.jobs.token import nonce
from pytest_clusterjobs.jobs.token import Token

TOKEN = str(Token.of("run", "matrices/a.yaml::cell", 1))
MARK = nonce(TOKEN)
REPORT = SentinelReport(SentinelWord.EXITED, 2, 137, 1, 40)
LINE = sentinel.line(TOKEN, REPORT)

reports = strategies.builds(
    SentinelReport,
    word=strategies.sampled_from(SentinelWord),
    node=strategies.integers(0, 9999),
    exit_code=strategies.none() | strategies.integers(0, 255),
    restarts=strategies.integers(0, 99),
    heartbeats=strategies.integers(0, 10**6),
)


@given(reports, strategies.text(), strategies.text())
def test_a_line_is_read_back_whatever_is_around_it(report: SentinelReport, before: str, after: str) -> None:
    text = f"{before}\n{sentinel.line(TOKEN, report)}\n{after}"
    assert sentinel.parse(text, MARK) == report


@pytest.mark.parametrize(
    "text",
    [
        LINE,
        f"(head, rank=0, pid=7) {LINE}",
        f"\x1b[36m(worker1, rank=1, pid=19, ip=10.0.0.1)\x1b[0m \x1b[1m{LINE}\x1b[0m\r\n",
        f"Epoch 3: 100%|####|{LINE}glued behind",
        f"\x00\xff�{LINE}\x00",
        f"\r\r{LINE}\r",
        LINE.replace(" exited", " \x1b[32mexited\x1b[0m"),
        f"{LINE}\n" + "torch: SignalException\n" * 300,
    ],
)
def test_what_clusters_do_to_lines_is_undone(text: str) -> None:
    assert sentinel.parse(text, MARK) == REPORT


@pytest.mark.parametrize(
    "text",
    [
        "",
        LINE.replace(MARK, "0" * 12),
        LINE.replace(MARK, ""),
        LINE.replace("exited", "won"),
        LINE.replace("137", "-9"),
        LINE.replace("137", "1" * 40),
        LINE[:-1],
        LINE[1:],
        f"the mark alone: {MARK}",
    ],
)
def test_what_is_no_line_is_none(text: str) -> None:
    assert sentinel.parse(text, MARK) is None


def test_the_last_line_counts() -> None:
    first = sentinel.line(TOKEN, SentinelReport(SentinelWord.EXITED, 0, 0))
    assert sentinel.parse(f"{first}\n{LINE}\n", MARK) == REPORT


@pytest.mark.parametrize(
    ("timeout", "interval", "looks"),
    [
        (0.5, "0.100", "5"),
        (1.0, "0.125", "8"),
        (3.0, "0.375", "8"),
        (60.0, "0.500", "120"),
        (0.05, "0.100", "1"),
    ],
)
def test_a_timeout_is_noticed_within_half_a_second(timeout: float, interval: str, looks: str) -> None:
    assert sentinel.beat_clock(timeout) == (interval, looks)
    assert float(interval) * int(looks) >= timeout


@pytest.mark.parametrize(
    ("value", "text"), [(7200.0, "7200"), (0.5, "0.500"), (1e6, "1000000"), (1e-3, "0.001")]
)
def test_durations_are_written_as_sleep_takes_them(value: float, text: str) -> None:
    assert sentinel.seconds(value) == text
