"""The base of all clusters on this machine: start, stop, check, and share with other processes."""

from __future__ import annotations

import fcntl
import os
import re
from abc import ABC
from abc import abstractmethod
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any
from typing import ClassVar
from typing import Generic
from typing import Self
from typing import TypeVar

from .commands import wait_until
from .daemons import Daemons
from .daemons import Lifeline
from .errors import ClusterError
from .errors import TimedOut

START_TIMEOUT_SECONDS = 120.0
"""For each step of a start. On an idle machine a whole start takes two or three seconds."""

ClientT = TypeVar("ClientT")


class LocalCluster(ABC, Generic[ClientT]):
    """A cluster on this machine. A ``with`` block starts and stops it.

    ``ClientT`` is the class for other processes that use the running cluster; it has ``ready_file`` and
    ``at``.
    """

    folder: Path
    ready_file: ClassVar[str]
    """The name of a file in the folder of a cluster that is running."""
    _daemons: Daemons | None = None
    _keeps_logs = True
    """Whether the logs are still there after a failed start, so that messages may name them."""

    @abstractmethod
    def __init__(self, folder: Path | None = None, **options: Any) -> None:
        """Plan the cluster; nothing is started yet. Raises Missing and ClusterError."""

    @staticmethod
    @abstractmethod
    def at(folder: Path) -> ClientT:
        """Return a client of the cluster that runs in ``folder``. Raises OSError if there is none."""

    @abstractmethod
    def start(self) -> None:
        """Start it. Raises ClusterError."""

    def stop(self) -> None:
        """End every daemon and every job at once; a second call does nothing.

        Raises ClusterError if a process remains.
        """
        daemons, self._daemons = self._daemons, None
        if daemons is not None:
            daemons.close()

    def check(self) -> None:
        """Raise ClusterError if a daemon has ended by itself."""
        if dead := self.daemons.dead():
            raise ClusterError(f"{dead[0]} ended: {self._last_error(dead[0])}")

    @property
    def daemons(self) -> Daemons:
        """The daemons by name. Raises ClusterError if the cluster does not run."""
        if self._daemons is None:
            raise ClusterError("the cluster does not run")
        return self._daemons

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @classmethod
    @contextmanager
    def shared(cls, folder: Path, **options: Any) -> Iterator[ClientT | Self]:
        """One cluster for all processes that name the same ``folder``, such as the workers of pytest-xdist.

        The first process starts it, with ``options``, and gets the cluster itself. Later ones get a client.
        It ends with the last of them. Raises what ``start`` and ``at`` raise.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(folder):
            cluster, leave = cls._join(folder) or cls._start_below(folder, options)
        try:
            yield cluster
        finally:
            # A process that joins while the last one leaves must not find a cluster that is about to end.
            with _locked(folder):
                leave()

    @classmethod
    def _join(cls, folder: Path) -> tuple[ClientT | Self, Callable[[], object]] | None:
        for found in sorted(folder.glob(f"*/{cls.ready_file}")):
            try:
                lifeline = Lifeline(found.parent)
            except ClusterError:
                continue
            return cls.at(found.parent), lifeline.release
        return None

    @classmethod
    def _start_below(
        cls, folder: Path, options: dict[str, Any]
    ) -> tuple[ClientT | Self, Callable[[], object]]:
        number = sum(each.is_dir() for each in folder.iterdir())
        cluster = cls(folder / str(number), **options)
        cluster.start()
        return cluster, cluster.stop

    def _wait(self, condition: Callable[[], bool], what: str, daemon: str) -> None:
        """Wait until ``condition()`` holds.

        Raises ClusterError if it does not, or if a daemon ends meanwhile.
        """

        def is_met() -> bool:
            self.check()
            return condition()

        try:
            wait_until(is_met, what, START_TIMEOUT_SECONDS)
        except TimedOut as error:
            raise ClusterError(f"{error}: {self._last_error(daemon)}") from error

    def _last_error(self, daemon: str) -> str:
        """The last error lines of a daemon's log, or its last line, and the path of the log."""
        path = self.folder / "log" / f"{daemon}.out"
        text = path.read_text(errors="replace") if path.exists() else ""
        lines = [line.strip()[:300] for line in text.splitlines() if line.strip()]
        errors = [line for line in lines if re.search(r"fatal|error", line, re.IGNORECASE)]
        found = "; ".join(errors[-2:] or lines[-1:]) or "it printed nothing"
        return f"{found} (in {path})" if self._keeps_logs else found


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def make_empty_folder(folder: Path) -> None:
    """Make the folder. Raises ClusterError if that fails, or if it is not empty."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_empty = not any(folder.iterdir())
    except OSError as error:
        raise ClusterError(f"{folder}: {error.strerror}") from error
    if not is_empty:
        raise ClusterError(f"{folder} is not empty")


def inherited_environment() -> dict[str, str]:
    """The variables of this process that daemons get too."""
    return {name: os.environ[name] for name in ("PATH", "LANG", "HOME") if name in os.environ}
