"""Launches that take longer than anybody waits for: what becomes of one is somebody's business until its end.

SkyPilot's client goes on with a call that nobody waits for any more: it uploads a workdir for as long as that takes, and
asks a server that is not there again for ten minutes (``sky.server.rest``). Its launch may arrive when all have given up.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field


@dataclass(slots=True)
class _Launch:
    request: str | None = None
    """By which it has arrived."""
    wanted: threading.Event = field(default_factory=threading.Event)


class LateLaunches:
    """The launches whose answers were not waited for, by their jobs' names. Methods may be called from any thread.

    One that arrives is ``found`` by whoever still asks; if nobody does for ``patience`` seconds, ``end(name, request)`` ends it.
    """

    def __init__(self, end: Callable[[str, str], None], patience: float) -> None:
        self._end = end
        self._patience = patience
        self._launches: dict[str, _Launch] = {}

    def expect(self, name: str) -> None:
        """Nobody waits for this launch any more."""
        self._launches[name] = _Launch()

    def arrived(self, name: str, request: str) -> None:
        """It has arrived after all. Returns when somebody wants it, or when it has been told to end."""
        launch = self._launches[name]
        launch.request = request
        if not launch.wanted.wait(self._patience):
            self._end(name, request)

    def failed(self, name: str) -> None:
        """It has come to nothing."""
        del self._launches[name]

    def is_under_way(self, name: str) -> bool:
        """Whether it may still arrive."""
        launch = self._launches.get(name)
        return launch is not None and launch.request is None

    def found(self, name: str) -> str | None:
        """The request by which it has arrived, for who wants it; ``None`` if there is none."""
        launch = self._launches.get(name)
        if launch is None or launch.request is None:
            return None
        launch.wanted.set()
        return launch.request
