"""Launches that are not answered in time: each is tracked until its end.

SkyPilot's client continues a call after its caller has stopped waiting: it uploads a workdir for as long as
that takes, and retries for ten minutes if a server does not answer (``sky.server.rest``). Such a launch may
arrive after all callers have given up.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field


@dataclass(slots=True)
class _Launch:
    request: str | None = None
    """The id of its request, once it has arrived."""
    wanted: threading.Event = field(default_factory=threading.Event)


class LateLaunches:
    """The launches whose answers were not waited for, by their jobs' names.

    Methods may be called from any thread. A launch that arrives is ``found`` by a caller that still asks for
    it. If none does for ``patience`` seconds, ``end(name, request)`` ends it.
    """

    def __init__(self, end: Callable[[str, str], None], patience: float) -> None:
        self._end = end
        self._patience = patience
        self._launches: dict[str, _Launch] = {}

    def expect(self, name: str) -> None:
        """Track this launch, whose caller has stopped waiting."""
        self._launches[name] = _Launch()

    def arrived(self, name: str, request: str) -> None:
        """The launch has arrived after all. Returns when a caller claims it, or when it has been ended."""
        launch = self._launches[name]
        launch.request = request
        if not launch.wanted.wait(self._patience):
            self._end(name, request)

    def failed(self, name: str) -> None:
        """The launch has failed."""
        del self._launches[name]

    def is_under_way(self, name: str) -> bool:
        """Whether the launch may still arrive."""
        launch = self._launches.get(name)
        return launch is not None and launch.request is None

    def found(self, name: str) -> str | None:
        """The id of the launch's request once it has arrived, for its caller; ``None`` if there is none."""
        launch = self._launches.get(name)
        if launch is None or launch.request is None:
            return None
        launch.wanted.set()
        return launch.request
