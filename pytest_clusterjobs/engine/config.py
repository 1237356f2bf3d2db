"""The parameters of a run, read once and handed down unchanged."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field
from enum import StrEnum
from pathlib import Path
from typing import Literal

from ..backends.registry import Site
from .clock import Clock
from .clock import SystemClock
from .extensions import Extensions
from .extensions import NoExtensions


class Mode(StrEnum):
    """What a session does with a run."""

    RUN = "run"
    """Submit, wait, and cancel what still runs when the session ends."""
    LAUNCH = "launch"
    """Submit, and leave the jobs running."""
    CHECK = "check"
    """Judge what has ended of an earlier run, and leave the rest running."""
    RESUME = "resume"
    """Continue an earlier run as if it had never stopped."""

    @property
    def leaves_jobs(self) -> bool:
        """Whether jobs continue to run after the session."""
        return self in (Mode.LAUNCH, Mode.CHECK)

    @property
    def is_new(self) -> bool:
        """Whether the session begins the run."""
        return self in (Mode.RUN, Mode.LAUNCH)


@dataclass(frozen=True)
class RunConfig:
    """The parameters of a run. The session reads them; the run, the engine and its threads share them."""

    rootdir: Path
    """The project's folder, absolute."""
    site: Site
    max_jobs: int | None = None
    """The most jobs that are live at the same time."""
    max_nodes: int | None = None
    """The most nodes that the live jobs have together."""
    on_crash: Literal["cancel", "keep"] = "cancel"
    """What the reaper does with the jobs if this process dies."""
    mode: Mode = Mode.RUN
    waits: bool = True
    """Whether the session waits for the ends of jobs, so that one attempt may follow another."""
    cancel_timeout: float = 1.5
    """Seconds to wait at the end for cancelled jobs; the reaper handles what takes longer."""
    clock: Clock = field(default_factory=SystemClock)
    extensions: Extensions = field(default_factory=NoExtensions)
    """The user's own code."""
