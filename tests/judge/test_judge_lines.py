"""Lines of a log from either end, and only those that contain a text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies

from pytest_clusterjobs.judge.lines import lines
from pytest_clusterjobs.judge.lines import lines_from_the_end
from pytest_clusterjobs.judge.patterns import compiled
from pytest_clusterjobs.judge.patterns import literal
from pytest_clusterjobs.judge.patterns import parts

TEXTS = strategies.text("ab\n", max_size=12)
PATTERNS = strategies.sampled_from(
    ["a", "ab", "a|b", "ab?", "(?:ab)?b", "(a)b", "a{0}b", "a{2}", r"\[a", "[a]b", "a.b", "^ab$", "(?i)A", "(?x) a b", "(?=ab)a", "(?<!a)b"]
)  # fmt: skip


@given(TEXTS, strategies.sampled_from(["", "a", "ab"]))
def test_lines_come_in_order_from_either_end(text: str, holding: str) -> None:
    whole = text.removesuffix("\n").split("\n") if text else []
    wanted = [line for line in whole if holding in line]
    assert list(lines(text, holding)) == wanted
    assert list(lines_from_the_end(text, holding)) == wanted[::-1]


@given(TEXTS, PATTERNS)
def test_a_match_contains_the_literal_text_of_its_pattern(text: str, pattern: str) -> None:
    whole = compiled(pattern)
    needed = literal(parts(pattern), whole.flags)
    assert all(needed in line for line in text.split("\n") if whole.search(line))


def test_the_literal_text_is_the_longest() -> None:
    assert [
        literal(parts(each), 0) for each in (r"\[SUMMARY\] Exit code:\s*x", "a.bcd?", "(abc)d", "a|b")
    ] == [
        "[SUMMARY] Exit code:",
        "bc",
        "d",
        "",
    ]
