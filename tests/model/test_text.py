"""Text of jobs for regular expressions and for people; the format of durations."""

from __future__ import annotations

import time
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies

from pytest_clusterjobs.model.notation import format_duration
from pytest_clusterjobs.model.text import clean
from pytest_clusterjobs.model.text import escaped
from pytest_clusterjobs.model.text import one_line
from pytest_clusterjobs.model.text import printable
from pytest_clusterjobs.model.text import quoted
from pytest_clusterjobs.model.text import quoted_output


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("(head, rank=0, pid=2618) [SUMMARY] x\n", "[SUMMARY] x\n"),
        ("(worker1, rank=1, pid=1987, ip=172.31.10.228) x\n", "x\n"),
        ("(sky-cmd, pid=12) x", "x"),
        ("\x1b[36m(head, rank=0, pid=7)\x1b[0m x", "x"),
        ("a\n(head, rank=0, pid=7) b\n(head, rank=0, pid=7) c", "a\nb\nc"),
        ("(head, rank=0) x (pid=7) y", "(head, rank=0) x (pid=7) y"),
        ("x (head, rank=0, pid=7) y", "x (head, rank=0, pid=7) y"),
        ("10%\r20%\r30%\r\ndone\r\r\n", "10%\n20%\n30%\ndone\n"),
        ("\x1b[1;31mred\x1b[m \x9b2Kgone \x1b(Bplain", "red gone plain"),
        ("\x1b]0;title\x07a \x1b]8;;http://x\x1b\\b", "a b"),
        ("\x1b]0;no end in sight FATAL\n", "0;no end in sight FATAL\n"),
        ("\x1b[12\nFATAL", "12\nFATAL"),
    ],
)
def test_text_for_patterns_is_without_sequences_and_prefixes(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


@pytest.mark.parametrize(
    "line", ["(" * 200_000, "(a pid=" * 50_000, "\x1b[" * 100_000, "\x1b]" * 100_000, "\r" * 200_000]
)
def test_cleaning_hostile_text_takes_time_in_proportion(line: str) -> None:
    began = time.process_time()
    clean(line + " pid=1")
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("üñí 漢字 ✓", "üñí 漢字 ✓"),
        ("\x1b[2J\x00\x07\r\x7f\x85\x9b", r"\x1b[2J\x00\x07\x0d\x7f\x85\x9b"),
        ("\u202egnp.exe\u2066\u200b\u2028", r"\u202egnp.exe\u2066\u200b\u2028"),
        ("\ud800\ufffe\uffff\ufdd0\U0001fffe", r"\ud800\ufffe\uffff\ufdd0\U0001fffe"),
    ],
)
def test_printable_text_has_no_control_characters(text: str, shown: str) -> None:
    assert printable(text, 100) == shown


def test_printable_keeps_the_requested_side() -> None:
    assert printable("0123456789abcdef", 10) == "01234[...]"
    assert printable("0123456789abcdef", 10, keep="end") == "[...]bcdef"
    assert printable("0123456789", 10) == "0123456789"


@given(
    strategies.text(strategies.characters()),
    strategies.integers(5, 60),
    strategies.sampled_from(["start", "end"]),
)
def test_printable_is_bounded_and_fits_into_xml(text: str, limit: int, keep: str) -> None:
    shown = printable(text, limit, keep="start" if keep == "start" else "end")
    assert len(shown) <= limit
    escaped = shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert ElementTree.fromstring(f"<x>{escaped}</x>").text in {shown, None}
    assert not any(ord(char) < 32 and char not in "\n\t" for char in shown)


def test_one_line_and_quoted_stay_on_one_line() -> None:
    assert one_line("  a\n\n b\r\nc\x1b[2J ") == r"a b c\x1b[2J"
    assert quoted_output('say "x"\n\\') == r'"say \"x\"\n\\"'
    assert quoted_output("x" * 200, 20) == f'"{"x" * 15}[...]"'


def test_escaped_stays_on_one_line() -> None:
    assert escaped("a\n\tb\x1b[2J\u202e ü") == r"a\n\tb\x1b[2J\u202e ü"
    assert quoted("it's\n") == repr("it's\n")
    assert quoted("x" * 100, 20) == f"'{'x' * 17}...'"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "-"),
        (-3.0, "0.0s"),
        (0.64, "0.6s"),
        (119.9, "119.9s"),
        (120.0, "2m00s"),
        (725.2, "12m05s"),
        (7199.6, "2h00m"),
        (43200.0, "12h00m"),
    ],
)
def test_a_duration_has_one_format_for_people(seconds: float | None, shown: str) -> None:
    assert format_duration(seconds) == shown
