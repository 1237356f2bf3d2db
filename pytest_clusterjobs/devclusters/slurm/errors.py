"""What keeps a cluster from running."""

from __future__ import annotations

from collections.abc import Sequence

from ..supervisor import ClusterError


class TimedOut(ClusterError):
    """Something did not come to pass in time."""


class CommandFailed(ClusterError):
    """A command of Slurm did not end with 0."""

    def __init__(self, argv: Sequence[str], code: int, stderr: str) -> None:
        super().__init__(f"{' '.join(argv)} ended with {code}: {' '.join(stderr.split())[:400]}")
        self.code = code
        self.stderr = stderr
