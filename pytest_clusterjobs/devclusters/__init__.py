"""Slurm, AWS Batch and SkyPilot on this machine (``clusterjobs dev``); nothing else imports it."""

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
            ".aws_batch.client": "BatchClient",
            ".aws_batch.fixture": "local_batch",
            ".aws_batch.local_batch": "LocalBatch",
            ".skypilot.client": "SkyPilotClient",
            ".skypilot.server": "SkyPilotServer",
            ".slurm.client": "SlurmClient",
            ".slurm.cluster": "SlurmCluster",
            ".supervisor.errors": "ClusterError Missing",
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
