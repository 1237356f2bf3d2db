"""What the conformance suite needs to know about a backend and the cluster behind it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from pkgutil import resolve_name
from typing import Any
from typing import TYPE_CHECKING

from ..backends.protocol import BackendType
from ..model import Reason

if TYPE_CHECKING:
    from .cluster import Cluster
    from .cluster import SubmittedJob


@dataclass(frozen=True, slots=True, kw_only=True)
class Harness:
    """The backend under test, and what the suite cannot determine by itself.

    Tests that need a value that is not given are skipped with a message.
    """

    backend: str | BackendType
    """Its type: ``module:NAME`` as in the entry point, so that a new process can open it too."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Site settings for opening it; JSON-serialisable."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """``options`` of every job."""
    max_nodes: int = 3
    """Nodes that one job can have; the backend's own limit applies too."""
    slots: int | None = None
    """One-node jobs that run at the same time; ``None`` if a test cannot fill the cluster."""
    many: int = 200
    """The most jobs for a test that submits or cancels hundreds at once."""
    start_seconds: float = 10.0
    """The longest time of an idle cluster from a submission to the command's first line."""
    scale: float = 1.0
    """Factor on every duration of the tests; above 1 for a slow or distant cluster."""
    shared: Path | None = None
    """A folder that jobs and tests both see."""
    same_host: bool = False
    """Whether jobs are processes of this machine, so that tests can check leaks and process lists."""
    live_logs: bool = True
    """Whether the log of a running job can be read."""
    python: str = sys.executable
    """A Python 3 on the nodes."""
    refused: Mapping[str, Any] | None = None
    """Fields of a JobSpec that make the cluster reject the submission."""
    silence: str | None = None
    """Shell text with which a command ends its node's sentinel without a report."""
    provoke: Mapping[Reason, Callable[[Cluster], SubmittedJob]] = field(default_factory=dict)
    """Reasons that need an action on the cluster, each with a function that submits a job, performs the
    action and returns the job."""
    lacks: Mapping[str, str] = field(default_factory=dict)
    """Tests that do not apply, by function name, and why."""

    @property
    def type(self) -> BackendType:
        """The backend's type, imported. Raises TypeError if the name is not that of a BackendType."""
        found = resolve_name(self.backend) if isinstance(self.backend, str) else self.backend
        if not isinstance(found, BackendType):
            raise TypeError(f"{self.backend} is not a BackendType")
        return found
