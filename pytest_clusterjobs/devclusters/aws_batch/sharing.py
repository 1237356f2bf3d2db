"""One local AWS Batch for several processes."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

from ..supervisor import shared
from .client import BatchClient
from .client import READY
from .local_batch import LocalBatch


def shared_batch(folder: Path, **options: Any) -> AbstractContextManager[BatchClient]:
    """The one of all processes that name the same ``folder``: the first starts it, it ends with the last of them.

    ``options`` are those of LocalBatch. Raises what LocalBatch raises.
    """
    return shared(folder, READY, BatchClient.at, partial(LocalBatch, **options))
