"""One local AWS Batch for several processes, such as the workers of pytest-xdist."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..slurm.daemons import Lifeline
from ..slurm.errors import SlurmError
from .client import BatchClient
from .local_batch import LocalBatch


@contextmanager
def shared_batch(folder: Path, **options: Any) -> Iterator[BatchClient]:
    """The one of all processes that name the same ``folder``: the first starts it, it ends with the last of them.

    ``options`` are those of LocalBatch. Raises what LocalBatch raises.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(folder):
        client, leave = _join(folder) or _start(folder, options)
    try:
        yield client
    finally:
        # Whoever comes while the last leaves must not find a server that is about to end.
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


def _join(folder: Path) -> tuple[BatchClient, Callable[[], object]] | None:
    for ready in sorted(folder.glob("*/server.json")):
        try:
            lifeline = Lifeline(ready.parent)
        except SlurmError:
            continue
        return BatchClient.at(ready.parent), lifeline.release
    return None


def _start(folder: Path, options: dict[str, Any]) -> tuple[BatchClient, Callable[[], object]]:
    number = sum(each.is_dir() for each in folder.iterdir())
    batch = LocalBatch(folder / str(number), **options)
    batch.start()
    return batch, batch.stop
