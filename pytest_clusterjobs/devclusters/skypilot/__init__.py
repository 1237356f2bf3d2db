"""SkyPilot on this machine, for tests and for manual trials, without a cloud or containers.

The client, the API server, the managed jobs controllers, the scheduler below them (a private Slurm), ssh, the
runtime on each launched cluster and its jobs are the real ones. These are replaced:

- machines: each node is a slurmd of this machine, with a host name, an address, a /tmp and a home of its own
- uv's installer, and CPython 3.10, which uv would download: the uv and the Python of this machine (``shims``)
- the connection check with 8.8.8.8 and 1.1.1.1: the API server's own address (``netprobe``)
"""

from __future__ import annotations

from .client import SkyPilotClient as SkyPilotClient
from .server import SkyPilotServer as SkyPilotServer

__all__ = ["SkyPilotServer", "SkyPilotClient"]
