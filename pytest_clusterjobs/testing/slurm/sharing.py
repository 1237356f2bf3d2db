"""One cluster for several processes, such as the workers of pytest-xdist."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .client import SlurmClient
from .cluster import SlurmCluster
from .config import Layout
from .daemons import Lifeline
from .errors import SlurmError


@contextmanager
def shared_cluster(folder: Path, **options: Any) -> Iterator[SlurmClient]:
    """The cluster of all processes that name the same ``folder``: the first starts it, it ends with the last of them.

    ``options`` are those of SlurmCluster. Raises what SlurmCluster raises.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(folder):
        client, leave = _join(folder) or _start(folder, options)
    try:
        yield client
    finally:
        # Whoever comes while the last leaves must not find a cluster that is about to end.
        with _alone(folder):
            leave()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _join(folder: Path) -> tuple[SlurmClient, Any] | None:
    for home in sorted(folder.glob("*/cluster.json")):
        try:
            lifeline = Lifeline(home.parent)
        except SlurmError:
            continue
        return SlurmClient(Layout.from_json(json.loads(home.read_text()))), lifeline.release
    return None


def _start(folder: Path, options: dict[str, Any]) -> tuple[SlurmClient, Any]:
    number = sum(each.is_dir() for each in folder.iterdir())
    cluster = SlurmCluster(folder / str(number), **options)
    cluster.start()
    return cluster, cluster.stop
