"""The only randomness of the simulation: a generator that can be split by name."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

_UNIT_BITS = 53
_UNIT = 1 << _UNIT_BITS


class Rng:
    """Random numbers that depend on the seed only.

    All draws use ``getrandbits``, so they are the same in all Python versions.
    """

    __slots__ = ("_source", "seed")

    def __init__(self, seed: int | str) -> None:
        self.seed = str(seed)
        self._source: random.Random | None = None

    def split(self, name: str) -> Rng:
        """An independent generator; draws from one do not shift those of another."""
        return Rng(hashlib.sha256(f"{self.seed}/{name}".encode()).hexdigest()[:32])

    def bits(self, n: int) -> int:
        """A whole number of ``n`` random bits."""
        if self._source is None:
            # Seeding takes microseconds, and many generators are never used.
            digest = hashlib.sha256(self.seed.encode()).digest()
            self._source = random.Random(int.from_bytes(digest[:16], "big"))
        return self._source.getrandbits(n)

    def below(self, n: int) -> int:
        """A whole number from 0 to ``n`` - 1."""
        size = n.bit_length()
        while (value := self.bits(size)) >= n:
            pass
        return value

    def chance(self, p: float) -> bool:
        """True with probability ``p``. Draws nothing if ``p`` is 0 or 1."""
        if p <= 0.0:
            return False
        return p >= 1.0 or self.bits(_UNIT_BITS) < p * _UNIT

    def uniform(self, low: float, high: float) -> float:
        """A number from ``low`` to ``high``."""
        return low + (high - low) * (self.bits(_UNIT_BITS) / _UNIT)

    def pick(self, items: Sequence[T]) -> T:
        """One of the items."""
        return items[self.below(len(items))]

    def weighted(self, items: Sequence[tuple[T, int]]) -> T:
        """One of the items, each given with its weight."""
        at = self.below(sum(weight for _, weight in items))
        for item, weight in items:
            at -= weight
            if at < 0:
                return item
        raise ValueError("the weights are not positive")

    def shuffled(self, items: Iterable[T]) -> list[T]:
        """The items in random order."""
        found = list(items)
        for last in range(len(found) - 1, 0, -1):
            other = self.below(last + 1)
            found[last], found[other] = found[other], found[last]
        return found
