"""One Slurm cluster for several processes."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

from ..daemons import shared
from .client import SlurmClient
from .cluster import READY
from .cluster import SlurmCluster
from .config import Layout


def shared_cluster(folder: Path, **options: Any) -> AbstractContextManager[SlurmClient]:
    """The cluster of all processes that name the same ``folder``: the first starts it, it ends with the last of them.

    ``options`` are those of SlurmCluster. Raises what SlurmCluster raises.
    """
    return shared(folder, READY, _join, partial(SlurmCluster, **options))


def _join(folder: Path) -> SlurmClient:
    return SlurmClient(Layout.from_json(json.loads((folder / READY).read_text())))
