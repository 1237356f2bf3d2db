"""Slicing into batches."""

from __future__ import annotations

import pytest

from pytest_clusterjobs.model.batches import batched


@pytest.mark.parametrize(
    ("size", "expected"), [(1, ["a", "b", "c"]), (2, ["ab", "c"]), (3, ["abc"]), (9, ["abc"])]
)
def test_batches_are_as_few_as_possible(size: int, expected: list[str]) -> None:
    assert list(batched("abc", size)) == expected


def test_nothing_makes_no_batch() -> None:
    assert list(batched([], 3)) == []
