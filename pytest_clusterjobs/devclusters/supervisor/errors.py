"""What keeps a cluster of this machine from running."""

from __future__ import annotations


class ClusterError(Exception):
    """A cluster of this machine, or a command on it, failed; the message is one line."""


class Missing(ClusterError):
    """A program or a library is not installed here; ``how`` is the command that installs it."""

    def __init__(self, program: str, how: str) -> None:
        super().__init__(f"{program} is not installed; {how}")
        self.program = program


def from_debian(packages: str) -> str:
    """How to install Debian packages, for :class:`Missing`."""
    return f"on Debian: apt-get install --no-install-recommends {packages}"


def from_extra(extra: str) -> str:
    """How to install an extra of this project, for :class:`Missing`."""
    return f"pip install 'pytest-clusterjobs[{extra}]'"
