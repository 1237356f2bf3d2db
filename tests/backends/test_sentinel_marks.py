"""Reading the sentinel's marks from logs as clusters store them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies

from pytest_clusterjobs.backends import sentinel
from pytest_clusterjobs.model import SentinelReport
from pytest_clusterjobs.model import SentinelWord
from pytest_clusterjobs.model.token import nonce
from pytest_clusterjobs.model.token import Token

TOKEN = str(Token.of("run", "matrices/a.yaml::cell", 1))
NONCE = nonce(TOKEN)
REPORT = SentinelReport(SentinelWord.EXITED, 2, 137, 1, 40)
LINE = sentinel.report_line(TOKEN, REPORT)

reports = strategies.builds(
    SentinelReport,
    word=strategies.sampled_from(SentinelWord),
    node=strategies.integers(0, 9999),
    exit_code=strategies.none() | strategies.integers(0, 255),
    restarts=strategies.integers(0, 99),
    heartbeats=strategies.integers(0, 10**6),
    begun=strategies.sampled_from([True, False, None]),
    seconds=strategies.none() | strategies.integers(0, 10**8).map(lambda ticks: ticks / 100),
    log_cut=strategies.booleans(),
)


@given(reports, strategies.text(), strategies.text())
def test_a_report_is_read_among_other_text(report: SentinelReport, before: str, after: str) -> None:
    text = f"{before}\n{sentinel.report_line(TOKEN, report)}\n{after}"
    assert sentinel.last_report(text, NONCE) == report


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
        LINE.replace(" exited", " \x9b32mexited\x1bPq\x1b\\"),
        f"{LINE}\n" + "torch: SignalException\n" * 300,
    ],
)
def test_a_report_is_read_despite_prefixes_and_colours(text: str) -> None:
    assert sentinel.last_report(text, NONCE) == REPORT


@pytest.mark.parametrize(
    "text",
    [
        "",
        LINE.replace(NONCE, "0" * 12),
        LINE.replace(NONCE, ""),
        LINE.replace("exited", "won"),
        LINE.replace("137", "-9"),
        LINE.replace("137", "1" * 40),
        LINE[:-1],
        LINE[1:],
        f"the nonce alone: {NONCE}",
    ],
)
def test_other_text_is_not_a_report(text: str) -> None:
    assert sentinel.last_report(text, NONCE) is None


def test_the_last_report_counts() -> None:
    first = sentinel.report_line(TOKEN, SentinelReport(SentinelWord.EXITED, 0, 0))
    assert sentinel.last_report(f"{first}\n{LINE}\n", NONCE) == REPORT


@pytest.mark.parametrize(
    ("timeout", "interval", "checks"),
    [
        (0.5, 10, 5),
        (1.0, 12, 9),
        (3.0, 38, 8),
        (60.0, 50, 120),
        (0.05, 10, 1),
    ],
)
def test_a_timeout_is_noticed_within_half_a_second(timeout: float, interval: int, checks: int) -> None:
    assert sentinel.heartbeat_checks(timeout) == (interval, checks)
    assert interval * checks >= 100 * timeout


@pytest.mark.parametrize(
    ("value", "text"), [(7200.0, "7200"), (0.5, "0.500"), (1e6, "1000000"), (1e-3, "0.001")]
)
def test_durations_are_written_as_sleep_accepts_them(value: float, text: str) -> None:
    assert sentinel.seconds(value) == text


def begun(node: int = 0, restarts: int = 0) -> str:
    return f"[clusterjobs {NONCE} begun node={node} restarts={restarts}]\n"


def ended(code: int = 0, node: int = 0) -> str:
    return f"\n{sentinel.report_line(TOKEN, SentinelReport(SentinelWord.EXITED, node, code))}\n"


def test_a_report_counts_for_the_rank_that_it_names() -> None:
    text = f"{begun(0)}step\n{ended(3, node=0)}"
    assert sentinel.last_report(text, NONCE, 0) == SentinelReport(SentinelWord.EXITED, 0, 3)
    assert sentinel.last_report(text, NONCE, 1) is None
    assert not sentinel.read(text, NONCE, 1).begun


def test_a_report_of_an_earlier_start_does_not_count() -> None:
    """A log may have several starts, one after the other."""
    assert sentinel.last_report(f"{begun()}{ended(0)}{begun(restarts=1)}step", NONCE, 0) is None
    assert sentinel.last_report(
        f"{begun()}{ended(0)}{begun(restarts=1)}{ended(5)}", NONCE, 0
    ) == SentinelReport(SentinelWord.EXITED, 0, 5)


def test_a_note_is_the_cause_of_a_failed_start() -> None:
    report = SentinelReport(SentinelWord.START_FAILED, 0, 126, begun=False, note="no workdir /x")
    assert sentinel.last_report(f"a\n{sentinel.report_line(TOKEN, report)}\nb", NONCE) == report


def test_fields_of_a_later_version_are_ignored() -> None:
    assert sentinel.last_report(LINE.replace("begun=", "injected=preempted begun="), NONCE) == REPORT


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        (f"{begun()}hello\n{ended()}", "hello\n"),
        (f"{begun()}hello{ended()}", "hello\n"),
        (f"set-up\n\n{begun()}hello\n\n{ended()}", "set-up\nhello\n\n"),
        (f"{begun()}{ended()}", ""),
        (
            f"\n{sentinel.report_line(TOKEN, SentinelReport(SentinelWord.START_FAILED, 0, 1, note='no bash'))}\n",
            "",
        ),
        (
            f"(head, rank=0, pid=7) {begun()}(head, rank=0, pid=7) hi\n(head, rank=0, pid=7) {LINE}\n",
            "(head, rank=0, pid=7) hi\n",
        ),
        (f"glued{LINE}glued\n", "gluedglued\n"),
        (f"jobs {NONCE} exited exit_code=0 node=0]\nhi\n", "hi\n"),
        (
            "[clusterjobs 000000000000 exited exit_code=0 node=0]\n",
            "[clusterjobs 000000000000 exited exit_code=0 node=0]\n",
        ),
    ],
)
def test_marks_are_removed_from_the_output(text: str, printed: str) -> None:
    assert sentinel.without_marks(text, NONCE) == printed
