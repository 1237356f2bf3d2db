"""A plugin of SkyPilot's API server; copied beside it, and imported from there without this package.

SkyPilot looks for a network at 8.8.8.8 and 1.1.1.1 before it asks how a job is. Without an answer it waits, and a job
that has long ended is RUNNING for ever. The clusters here are on this machine, and so is the only network that matters.
"""

from __future__ import annotations

from typing import Any

from sky.server import plugins


class NetProbe(plugins.BasePlugin):  # type: ignore[misc, unused-ignore]  # SkyPilot need not be installed
    """Has SkyPilot ask ``url``, its own API server, whether there is a network."""

    def __init__(self, url: str) -> None:
        self.url = url

    def install(self, extension_context: Any) -> None:
        """Called in each process of the server."""
        from sky.backends import backend_utils

        backend_utils._TEST_IP_LIST = [self.url]
