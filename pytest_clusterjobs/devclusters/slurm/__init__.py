"""A real Slurm cluster on one machine, for tests and for people at a terminal."""

from __future__ import annotations

from ..supervisor import ClusterError as ClusterError
from ..supervisor import Missing as Missing
from .client import SlurmClient as SlurmClient
from .cluster import SlurmCluster as SlurmCluster
from .errors import CommandFailed as CommandFailed
from .sharing import shared_cluster as shared_cluster

__all__ = ["SlurmCluster", "SlurmClient", "shared_cluster", "ClusterError", "Missing", "CommandFailed"]
