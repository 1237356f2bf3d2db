"""What keeps SkyPilot from running on this machine."""

from __future__ import annotations

from ..supervisor import ClusterError

EXTRA = "skypilot-local"


class Missing(ClusterError):
    """A program or a library is not installed here."""

    def __init__(self, program: str, package: str = "") -> None:
        how = (
            f"on Debian: apt-get install --no-install-recommends {package}"
            if package
            else f"pip install 'pytest-clusterjobs[{EXTRA}]'"
        )
        super().__init__(f"{program} is not installed; {how}")
        self.program = program
