"""One cluster for several processes, such as the workers of pytest-xdist."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol
from typing import TypeVar

from .daemons import Lifeline
from .errors import ClusterError

T = TypeVar("T")


class Startable(Protocol):
    """What can be started in a folder of its own."""

    def start(self) -> None:
        """Start it."""

    def stop(self) -> object:
        """Let go of it."""


S = TypeVar("S", bound=Startable)


@contextmanager
def shared(folder: Path, ready: str, join: Callable[[Path], T], plan: Callable[[Path], S]) -> Iterator[T | S]:
    """The cluster of all processes that name the same ``folder``: the first starts it, it ends with the last of them.

    ``ready`` is a file that a cluster has in its folder once it runs, ``join(its folder)`` is what those have
    of it who come later, and ``plan(a new folder)`` is one to be started. Raises what these raise.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(folder):
        cluster, leave = _joined(folder, ready, join) or _started(folder, plan)
    try:
        yield cluster
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


def _joined(folder: Path, ready: str, join: Callable[[Path], T]) -> tuple[T, Callable[[], object]] | None:
    for found in sorted(folder.glob(f"*/{ready}")):
        try:
            lifeline = Lifeline(found.parent)
        except ClusterError:
            continue
        return join(found.parent), lifeline.release
    return None


def _started(folder: Path, plan: Callable[[Path], S]) -> tuple[S, Callable[[], object]]:
    number = sum(each.is_dir() for each in folder.iterdir())
    cluster = plan(folder / str(number))
    cluster.start()
    return cluster, cluster.stop
