"""When a backend may be given another submission: its own rate, and its word that it takes none for now."""

from __future__ import annotations

from dataclasses import dataclass

LONGEST_PAUSE = 30.0
"""Seconds between two tries at a cluster that takes no submission."""


@dataclass(slots=True)
class Gate:
    """The way in to one backend. Times are the clock's monotonic seconds; guarded by the engine's lock."""

    rate: float | None
    """Submissions a second; ``None``: no limit."""
    words: str = ""
    """Why the cluster takes none now; empty while it does."""
    _free_at: float = 0.0
    _refusals: int = 0
    _idle_since: float | None = None
    """Since when it takes none although it has no job of this run."""

    def pause(self, now: float) -> float:
        """Seconds until it may be asked again; takes the slot when it is 0."""
        if self._free_at > now:
            return self._free_at - now
        if self.rate is not None:
            self._free_at = max(now, self._free_at) + 1.0 / self.rate
        return 0.0

    def is_shut(self, now: float) -> bool:
        """Whether the cluster has said a moment ago that it takes none."""
        return bool(self.words) and self._free_at > now

    def shut(self, words: str, now: float, *, holds_jobs: bool) -> None:
        """The cluster takes none, for the reason in ``words``; ``holds_jobs``: it has jobs of this run, whose ends may change that."""
        if not self.is_shut(now):
            self._free_at = now + min(LONGEST_PAUSE, 2.0**self._refusals)
            self._refusals = min(self._refusals + 1, 10)
        self.words = words
        self._idle_since = None if holds_jobs else now if self._idle_since is None else self._idle_since

    def open(self) -> None:
        """It has taken one."""
        self.words, self._refusals, self._idle_since = "", 0, None

    def waited(self, now: float) -> float:
        """Seconds for which it has taken none, and no job of this run was the reason."""
        return 0.0 if self._idle_since is None else now - self._idle_since

    @property
    def free_at(self) -> float:
        """When it may be asked again."""
        return self._free_at
