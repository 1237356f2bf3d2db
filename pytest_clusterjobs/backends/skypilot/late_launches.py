"""Launches without a timely response: each is tracked until its end.

SkyPilot's client continues a call after its caller has stopped waiting: it uploads a workdir, however long
that takes, and retries for ten minutes if a server does not respond (``sky.server.rest``). Such a launch may
arrive at the server after all callers have given up.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field


@dataclass(slots=True)
class _Launch:
    request: str | None = None
    """The id of its request, once the launch has arrived."""
    claimed: threading.Event = field(default_factory=threading.Event)


class LateLaunches:
    """The launches whose callers have stopped waiting, by their jobs' names.

    Methods may be called from any thread. A launch that arrives is claimed by the next call of
    :meth:`claim`. If there is none within ``claim_timeout`` seconds, ``cancel(name, request)`` is called.
    """

    def __init__(self, cancel: Callable[[str, str], None], claim_timeout: float) -> None:
        self._cancel = cancel
        self._claim_timeout = claim_timeout
        self._launches: dict[str, _Launch] = {}

    def expect(self, name: str) -> None:
        """Track this launch, whose caller has stopped waiting."""
        self._launches[name] = _Launch()

    def arrived(self, name: str, request: str) -> None:
        """Handle the arrival of a launch: return when it is claimed, or when it has been cancelled."""
        launch = self._launches[name]
        launch.request = request
        if not launch.claimed.wait(self._claim_timeout):
            self._cancel(name, request)

    def failed(self, name: str) -> None:
        """Stop tracking a launch that has failed."""
        del self._launches[name]

    def is_pending(self, name: str) -> bool:
        """Whether the launch may still arrive."""
        launch = self._launches.get(name)
        return launch is not None and launch.request is None

    def claim(self, name: str) -> str | None:
        """Claim a launch that has arrived: the id of its request; ``None`` if there is none."""
        launch = self._launches.get(name)
        if launch is None or launch.request is None:
            return None
        launch.claimed.set()
        return launch.request
