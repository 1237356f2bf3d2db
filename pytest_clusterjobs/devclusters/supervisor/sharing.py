"""One cluster for several processes, such as the workers of pytest-xdist."""

from __future__ import annotations

import fcntl
import os
from abc import ABC
from abc import abstractmethod
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self
from typing import TypeVar

from .daemons import Lifeline
from .errors import ClusterError

T = TypeVar("T")


class LocalCluster(ABC):
    """A cluster on this machine. A ``with`` block starts and stops it."""

    @abstractmethod
    def start(self) -> None:
        """Start it. Raises ClusterError."""

    @abstractmethod
    def stop(self) -> object:
        """Stop it; a second call does nothing. Raises ClusterError."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


S = TypeVar("S", bound=LocalCluster)


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
        # A process that joins while the last one leaves must not find a cluster that is about to end.
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
