"""Slurm, AWS Batch and SkyPilot on this machine (``clusterjobs dev``). No other part of the package imports this."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import attributes

if TYPE_CHECKING:
    from .aws_batch.client import BatchClient as BatchClient
    from .aws_batch.fixture import local_batch as local_batch
    from .aws_batch.local_batch import LocalBatch as LocalBatch
    from .skypilot.client import SkyPilotClient as SkyPilotClient
    from .skypilot.server import SkyPilotServer as SkyPilotServer
    from .slurm.client import SlurmClient as SlurmClient
    from .slurm.cluster import SlurmCluster as SlurmCluster
    from .supervisor.errors import ClusterError as ClusterError
    from .supervisor.errors import Missing as Missing
else:
    __getattr__ = attributes(
        __name__,
        {
            "BatchClient": ".aws_batch.client",
            "local_batch": ".aws_batch.fixture",
            "LocalBatch": ".aws_batch.local_batch",
            "SkyPilotClient": ".skypilot.client",
            "SkyPilotServer": ".skypilot.server",
            "SlurmClient": ".slurm.client",
            "SlurmCluster": ".slurm.cluster",
            "ClusterError": ".supervisor.errors",
            "Missing": ".supervisor.errors",
        },
    )

__all__ = [
    "local_batch",
    "LocalBatch",
    "BatchClient",
    "SlurmCluster",
    "SlurmClient",
    "SkyPilotServer",
    "SkyPilotClient",
    "ClusterError",
    "Missing",
]
