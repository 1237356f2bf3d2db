"""The layout of tables."""

from __future__ import annotations

from pytest_clusterjobs.model.tables import align


def test_columns_are_as_wide_as_their_longest_text() -> None:
    assert list(align([("a", "bb", "c"), ("aaa", "b", "")])) == ["a    bb  c", "aaa  b"]


def test_a_text_beyond_the_limit_moves_only_its_own_line() -> None:
    assert list(align([("a", "b"), ("aaaaa", "b")], limit=3)) == ["a    b", "aaaaa  b"]
