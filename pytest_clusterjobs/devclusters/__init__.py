"""Slurm, AWS Batch and SkyPilot on this machine (``clusterjobs dev``); no other module imports it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import attributes
from .._lazy import names

_MODULES = {
    ".aws_batch.fixture": ["local_batch"],
    ".aws_batch.local_batch": ["LocalBatch"],
    ".aws_batch.client": ["BatchClient"],
    ".slurm.cluster": ["SlurmCluster"],
    ".slurm.client": ["SlurmClient"],
    ".skypilot.server": ["SkyPilotServer"],
    ".skypilot.client": ["SkyPilotClient"],
    ".supervisor.errors": ["ClusterError", "Missing"],
}

__all__ = [*names(_MODULES)]

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
    __getattr__ = attributes(__name__, _MODULES)
