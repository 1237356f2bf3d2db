"""Logs as SkyPilot prints them: by rank, and by start."""

from __future__ import annotations

import io

from pytest_clusterjobs.backends.skypilot.logs import chunk
from pytest_clusterjobs.backends.skypilot.logs import failed_starts
from pytest_clusterjobs.backends.skypilot.logs import of_rank
from pytest_clusterjobs.backends.skypilot.observe import without_time_marks

CYAN, END = "\x1b[36m", "\x1b[0m"
SEVERAL = (
    "├── Waiting for task resources on 2 nodes.\n"
    "└── Job started. Streaming logs... (Ctrl-C to exit log streaming; job will not be killed)\n"
    f"{CYAN}(setup pid=11){END} installing\n"
    f"{CYAN}(head, rank=0, pid=12){END} one (of, pid=3)\n"
    f"{CYAN}(worker1, rank=1, pid=12, ip=10.0.0.2){END} \x1b[31mtwo{END}\r\n"
    f"{CYAN}(head, rank=0, pid=12){END} \n"
    "(head, rank=0, pid=12)   indented\n"
    "ERROR: Job 1 failed with return code list: [3]\n"
)


def test_the_lines_of_a_rank_are_unchanged() -> None:
    assert of_rank(SEVERAL, 0) == "one (of, pid=3)\n\n  indented\n"
    assert of_rank(SEVERAL, 1) == f"\x1b[31mtwo{END}\r\n"
    assert of_rank(SEVERAL, 2) == ""


def test_the_prefix_of_a_single_node_is_the_name_of_its_job() -> None:
    assert (
        of_rank(f"{CYAN}(cj-x-a1, pid=7){END} hello\n✓ Job finished (status: SUCCEEDED).\n", 0) == "hello\n"
    )


def test_only_newlines_and_carriage_returns_end_a_line() -> None:
    printed = "a form feed \f, a \x1c, a \x85 and a \u2028 are text\n10%\r"
    text = "".join(f"(cj-x-a1, pid=7) {line}" for line in io.StringIO(printed, newline=""))
    assert of_rank(text, 0) == without_time_marks(of_rank(text, 0)) == printed


def test_text_after_a_carriage_return_belongs_to_the_same_rank() -> None:
    ray = "(head, rank=0, pid=1) 10%\r20%\rERROR: NaN\nERROR: Job 1 failed\n(worker1, rank=1, pid=2, ip=10.0.0.2) one\n"
    assert of_rank(ray, 0) == "10%\r20%\rERROR: NaN\n"
    assert of_rank(ray, 1) == "one\n"


def test_numbers_that_are_too_long_are_ignored() -> None:
    assert of_rank(f"(head, rank={'1' * 5000}, pid=1) no rank\n", 0) == ""
    assert without_time_marks(clock := f"[clusterjobs 0123456789ab ended node={'1' * 5000} at=1]\n") == clock


def test_failed_starts_are_read_from_the_controller_s_log() -> None:
    text = (
        "I 11-24 controller.py:1] The user job failed (FAILED). Please check the logs below.\n"
        "== Logs of the user job (ID: 4) ==\n\n"
        "(job, pid=1) first\n(job, pid=1) == End of logs (ID: 4) ==\n"
        "I 11-24 controller.py:2] \n== End of logs (ID: 4) ==\n"
        "I 11-24 controller.py:3] Starting recovery\n"
        "== Logs of the user job (ID: 4) ==\n(job, pid=1) second\n== End of logs (ID: 4) ==\n"
        "== Logs of the user job (ID: 4) ==\n(job, pid=1) not yet whole\n"
    )
    assert [of_rank(each, 0) for each in failed_starts(text)] == [
        "first\n== End of logs (ID: 4) ==\n",
        "second\n",
    ]


def test_a_cursor_continues_where_it_ended() -> None:
    first = chunk("abc", cursor=None, tail=None, complete=False)
    assert (first.text, first.complete) == ("abc", False)
    assert chunk("abcdef", cursor=first.cursor, tail=None, complete=True).text == "def"
    assert chunk("", cursor=first.cursor, tail=None, complete=False).cursor == first.cursor
    assert chunk("abä", cursor=None, tail=2, complete=True).text == "ä"


def test_the_log_of_an_ended_job_that_has_become_shorter_has_a_gap() -> None:
    assert chunk("abc", cursor=5, tail=None, complete=False).gap == ""
    shrunk = chunk("abc", cursor=5, tail=None, complete=True)
    assert "shorter" in shrunk.gap and not shrunk.complete


def test_a_log_with_a_gap_is_never_complete() -> None:
    for tail in (None, 2):
        found = chunk("abc", cursor=None, tail=tail, complete=True, gap="its log is lost")
        assert (found.complete, found.gap) == (False, "its log is lost")
