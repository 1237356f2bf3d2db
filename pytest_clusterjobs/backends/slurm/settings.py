"""The site settings of a Slurm backend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

from ..protocol import BackendError
from ..protocol import Capabilities
from .options import EXTRA
from .options import OPTIONS
from .options import problems

GPUS = ("gpus-per-node", "gres")
"""How ``resources.gpus`` can be requested."""

POLL_INTERVAL = 2.0

SETTLE = 5.0
"""Seconds after an end in which files may be late on the shared file system."""

OWN_SETTINGS = frozenset({"folder", "gpus_as", "poll_interval"})
"""Settings other than options of sbatch, which are defaults for all jobs."""

SETTINGS = OWN_SETTINGS | OPTIONS | {EXTRA}


@dataclass(frozen=True, slots=True)
class SlurmSettings:
    """The settings of a site."""

    folder: Path | None = None
    """Holds the jobs' folders, on a file system that all nodes share; ``None``: in the run's folder."""
    gpus_as: str = GPUS[0]
    poll_interval: float = POLL_INTERVAL
    """The least seconds between two queries to Slurm."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Defaults for the options of all jobs."""


def settings_of(raw: Mapping[str, Any]) -> SlurmSettings:
    """Read the settings. Raises BackendError with a one-line message that names the mistake."""
    folder, gpus_as = raw.get("folder"), raw.get("gpus_as", GPUS[0])
    if folder is not None and not (isinstance(folder, str) and folder.startswith("/")):
        raise BackendError(f"folder must be an absolute path that all nodes share, not {folder!r:.60}")
    if gpus_as not in GPUS:
        raise BackendError(f"gpus_as must be one of {', '.join(GPUS)}, not {gpus_as!r:.60}")
    interval = raw.get("poll_interval", POLL_INTERVAL)
    if isinstance(interval, bool) or not isinstance(interval, int | float) or not 0.1 <= interval <= 60:
        raise BackendError(f"poll_interval must be 0.1 to 60 seconds, not {interval!r:.60}")
    options = {name: value for name, value in raw.items() if name not in OWN_SETTINGS}
    for problem in problems(options, {}):
        raise BackendError(problem)
    return SlurmSettings(None if folder is None else Path(folder), gpus_as, float(interval), options)


def capabilities(settings: SlurmSettings) -> Capabilities:
    """The capabilities with these settings; only the cluster knows how many nodes a partition has."""
    return Capabilities(
        ids_per_poll=1000,
        submit_threads=4,
        min_poll_interval=settings.poll_interval,
        find_settle=10.0,
        log_settle=SETTLE,
    )
