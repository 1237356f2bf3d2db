"""A plugin of SkyPilot's API server; copied beside it, and imported from there without this package.

SkyPilot checks its network connection with 8.8.8.8 and 1.1.1.1 before each status check. Without an answer it
waits, and a job that has ended stays RUNNING. The clusters here need only the network of this machine.
"""

from __future__ import annotations

from typing import Any

from sky.server import plugins


class NetProbe(plugins.BasePlugin):  # type: ignore[misc, unused-ignore]  # SkyPilot need not be installed
    """Lets SkyPilot check its connection with ``url``, its own API server."""

    def __init__(self, url: str) -> None:
        self.url = url

    def install(self, extension_context: Any) -> None:
        """Replace the addresses. SkyPilot calls this in each process of the server."""
        from sky.backends import backend_utils

        backend_utils._TEST_IP_LIST = [self.url]
