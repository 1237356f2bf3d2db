"""AWS Batch on one machine, for tests and for people at a terminal: moto's server, and jobs as real processes."""

from __future__ import annotations

from ..supervisor import ClusterError as ClusterError
from ..supervisor import Missing as Missing
from .client import BatchClient as BatchClient
from .local_batch import LocalBatch as LocalBatch
from .sharing import shared_batch as shared_batch

__all__ = ["LocalBatch", "BatchClient", "shared_batch", "ClusterError", "Missing"]
