"""Splits sequences into batches."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def batched(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The items in as few slices as possible, of at most ``size`` items each.

    ``itertools.batched`` needs Python 3.12, and returns tuples.
    """
    for start in range(0, len(items), size):
        yield items[start : start + size]
