"""A real Slurm cluster on this machine, for tests and for manual trials."""

from __future__ import annotations

from .client import SlurmClient as SlurmClient
from .cluster import SlurmCluster as SlurmCluster

__all__ = ["SlurmCluster", "SlurmClient"]
