"""One Slurm cluster for several processes."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

from ..supervisor import shared
from .client import READY
from .client import SlurmClient
from .cluster import SlurmCluster


def shared_cluster(folder: Path, **options: Any) -> AbstractContextManager[SlurmClient]:
    """The cluster of all processes that name the same ``folder``: the first starts it, it ends with the last of them.

    ``options`` are those of SlurmCluster. Raises what SlurmCluster raises.
    """
    return shared(folder, READY, SlurmClient.at, partial(SlurmCluster, **options))
