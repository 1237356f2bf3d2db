"""What keeps a cluster from running."""

from __future__ import annotations

from collections.abc import Sequence

from ..supervisor import ClusterError

PACKAGES = (
    "slurm-wlm slurm-client slurm-wlm-basic-plugins munge slurmdbd slurm-wlm-mysql-plugin mariadb-server"
)


class TimedOut(ClusterError):
    """Something did not come to pass in time."""


class Missing(ClusterError):
    """A program is not installed here."""

    def __init__(self, program: str) -> None:
        super().__init__(
            f"{program} is not installed; on Debian: apt-get install --no-install-recommends {PACKAGES}"
        )
        self.program = program


class CommandFailed(ClusterError):
    """A command of Slurm did not end with 0."""

    def __init__(self, argv: Sequence[str], code: int, stderr: str) -> None:
        super().__init__(f"{' '.join(argv)} ended with {code}: {' '.join(stderr.split())[:400]}")
        self.code = code
        self.stderr = stderr
