"""Learn the players' ratings from the results of their matches: synchronous data-parallel SGD.

Each rank has its own matches. In each step the gradients of all ranks are summed, so all ranks have the same
ratings. ``PRECISION`` (``fp64``, ``fp32``, ``bf16``) rounds the numbers that ranks exchange. ``SEED`` selects
the matches.
"""

from __future__ import annotations

import math
import os
import random
import struct
import sys
from collections.abc import Iterator
from typing import Any

from group import Group
from job import Job
from loop import main

STRENGTHS = [0.6 * (player - 3.5) for player in range(8)]
"""The values to learn: the log odds of a match are the difference of two strengths."""
BATCH = 64
LEARNING_RATE = 6.0


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def matches(seed: str, count: int) -> Iterator[tuple[int, int, bool]]:
    """``count`` matches: two players each, and whether the first one won."""
    rng = random.Random(seed)
    for _ in range(count):
        one, other = rng.sample(range(len(STRENGTHS)), 2)
        yield one, other, rng.random() < sigmoid(STRENGTHS[one] - STRENGTHS[other])


def rounded(value: float, precision: str) -> float:
    """``value`` rounded to this precision; bf16 is the upper half of an fp32."""
    if precision == "fp64":
        return value
    size = {"fp32": 4, "bf16": 2}[precision]
    return float(struct.unpack(">f", struct.pack(">f", value)[:size].ljust(4, b"\0"))[0])


class Arena:
    """The ratings, and one rank's part of the training."""

    def __init__(self, job: Job, group: Group) -> None:
        self._job = job
        self._group = group
        self._seed = os.environ.get("SEED", "1")
        self._precision = os.environ.get("PRECISION", "fp64")
        if self._precision not in ("fp64", "fp32", "bf16"):
            raise SystemExit(f"arena: PRECISION must be fp64, fp32 or bf16, not {self._precision!r}")
        self._ratings = [0.0] * len(STRENGTHS)

    def step(self, number: int) -> float:
        """One batch on every rank, one allreduce, one update."""
        loss = 0.0
        gradient = [0.0] * len(STRENGTHS)
        for one, other, won in matches(f"{self._seed} {self._job.rank} {number}", BATCH):
            error = sigmoid(self._ratings[one] - self._ratings[other]) - won
            loss -= math.log(1 - abs(error))
            gradient[one] += error
            gradient[other] -= error
        mine = [rounded(value, self._precision) for value in (loss, *gradient)]
        loss, *gradient = (value / (BATCH * self._job.world) for value in self._group.allreduce(mine, sum))
        self._ratings = [
            rating - LEARNING_RATE * slope for rating, slope in zip(self._ratings, gradient, strict=True)
        ]
        return loss

    def state(self) -> Any:
        """The ratings."""
        return self._ratings

    def restore(self, state: Any) -> None:
        """Continue with these ratings."""
        self._ratings = state

    def summary(self) -> str:
        """The loss on matches that are not used in training."""
        held_out = list(matches("held out", 500))
        losses = [
            -math.log(sigmoid((self._ratings[a] - self._ratings[b]) * (1 if won else -1)))
            for a, b, won in held_out
        ]
        return f"held_out_loss={sum(losses) / len(losses):.4f}"


if __name__ == "__main__":
    sys.exit(main("arena", __doc__, Arena))
