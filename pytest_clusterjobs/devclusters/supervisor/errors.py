"""Errors of clusters on this machine."""

from __future__ import annotations

from collections.abc import Sequence


class ClusterError(Exception):
    """A cluster on this machine, or a command on it, failed; the message is one line."""


class Missing(ClusterError):
    """A program or a library is not installed here; ``hint`` is the command that installs it."""

    def __init__(self, program: str, hint: str) -> None:
        super().__init__(f"{program} is not installed; {hint}")
        self.program = program


class TimedOut(ClusterError):
    """A condition was not met in time, or a command took too long."""


class CommandFailed(ClusterError):
    """A command ended with a code other than 0."""

    def __init__(self, argv: Sequence[str], code: int, stderr: str) -> None:
        super().__init__(f"{' '.join(argv)} ended with {code}: {' '.join(stderr.split())[:400]}")
        self.code = code
        self.stderr = stderr


def from_debian(packages: str) -> str:
    """How to install Debian packages, as the hint of :class:`Missing`."""
    return f"on Debian: apt-get install --no-install-recommends {packages}"


def from_extra(extra: str) -> str:
    """How to install an extra of this project, as the hint of :class:`Missing`."""
    return f"pip install 'pytest-clusterjobs[{extra}]'"
