"""What a cell asks a backend to run, in no backend's own terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from typing import Any
from typing import Literal


@dataclass(frozen=True, slots=True)
class Resources:
    """What each node must offer; ``None`` leaves it to the cluster."""

    gpus: int | None = None
    cpus: int | None = None
    memory: int | None = None
    """Bytes."""


@dataclass(frozen=True, slots=True)
class JobSpec:
    """One job, the same on every backend.

    Durations are seconds. ``run`` is complete: where the matrix format appends ``"$@"``, it has
    been appended already.
    """

    run: str
    name: str = "job"
    """The cell's id, for ``CLUSTERJOBS_CELL`` and for people; untrusted text within ``[A-Za-z0-9._+-]``."""
    recipe: str = ""
    condition: str = ""
    nodes: int = 1
    shell: Literal["bash", "sh"] = "bash"
    """``bash`` runs the script with ``bash -eo pipefail``, ``sh`` with ``sh -e``."""
    setup: str | None = None
    args: tuple[str, ...] = ()
    """The script's positional parameters."""
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    """Names of variables of the caller's environment; their values are never in a spec."""
    workdir: str | None = None
    image: str | None = None
    resources: Resources = Resources()
    heartbeat_timeout: float | None = None
    max_runtime: float = 7200.0
    """Per start, ``setup`` included."""
    queue_timeout: float = 43200.0
    grace_period: float = 10.0
    max_restarts: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    """What ``options`` says for the chosen backend: its type's entries, its name's on top."""
    owner: str | None = None
    description: str | None = None
