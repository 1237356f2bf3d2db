"""What a job's command does: a part of the ground truth that is chosen with the cell."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class RankBehaviour:
    """One rank in one start. Durations are seconds in which the job is not suspended."""

    setup_seconds: float = 0.0
    setup_fails: bool = False
    run_seconds: float | None = 1.0
    """``None``: the command runs until it is stopped."""
    exit_code: int = 0
    """The code of a command that ends by itself; 128+n for signal n."""
    beats_until: float | None = None
    """The command touches the heartbeat file until so many seconds after its begin; ``None``: never."""
    ignores_term: bool = False
    """Whether only KILL, after the grace period, ends the command."""


@dataclass(slots=True)
class Behaviour:
    """All ranks of a job in all its starts."""

    starts: list[list[RankBehaviour]]
    """By start (the last one repeats), then by rank (the last one repeats)."""
    lines: list[str]
    """What rank 0 prints at its begin."""

    def rank(self, start: int, rank: int) -> RankBehaviour:
        """What one rank does in one start."""
        ranks = self.starts[min(start, len(self.starts) - 1)]
        return ranks[min(rank, len(ranks) - 1)]


def simple(
    run_seconds: float | None = 1.0, exit_code: int = 0, *, lines: list[str] | None = None
) -> Behaviour:
    """A job whose ranks all run for ``run_seconds`` and end with ``exit_code``."""
    return Behaviour([[RankBehaviour(run_seconds=run_seconds, exit_code=exit_code)]], lines or [])
