"""AWS Batch on this machine, for tests and for manual trials: moto's server, and jobs as real processes."""

from __future__ import annotations

from .client import BatchClient as BatchClient
from .local_batch import LocalBatch as LocalBatch

__all__ = ["LocalBatch", "BatchClient"]
