"""SkyPilot on one machine, for tests and for people at a terminal, without a cloud or containers.

The client, the API server, the managed jobs controllers, the scheduler below them (a private Slurm), ssh, the
runtime on each launched cluster and its jobs are the real ones. In the place of something else are:

- nodes: they are daemons of this machine, with a host name, an address, a /tmp and a home of their own
- uv's installer, and CPython 3.10 that uv would download: the uv and the Python that run here (``shims``)
- the look for a network at 8.8.8.8 and 1.1.1.1: the API server's own address (``netprobe``)
"""

from __future__ import annotations

from ..supervisor import ClusterError as ClusterError
from ..supervisor import Missing as Missing
from .client import SkyPilotClient as SkyPilotClient
from .server import SkyPilotServer as SkyPilotServer
from .sharing import shared_server as shared_server

__all__ = ["SkyPilotServer", "SkyPilotClient", "shared_server", "ClusterError", "Missing"]
