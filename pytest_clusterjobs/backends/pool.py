"""The opened backends of a run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from threading import RLock
from typing import Self

from .protocol import Backend


class BackendPool:
    """Opens each backend on first use, by its NAME, and closes all of them at the end. Thread-safe.

    As a context manager it also makes the modules in the folders ``path`` importable.
    """

    def __init__(self, open_backend: Callable[[str], Backend], path: Iterable[str | Path] = ()) -> None:
        self._open = open_backend
        self._path = path
        self._lock = RLock()
        self._opened: dict[str, Backend] = {}

    def __enter__(self) -> Self:
        # At the end, so that no module of the project hides another one.
        sys.path.extend(entry for entry in map(str, self._path) if entry not in sys.path)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __call__(self, name: str) -> Backend:
        """The backend NAME, opened. Raises what opening it raises; the next call then tries again."""
        with self._lock:
            if name not in self._opened:
                self._opened[name] = self._open(name)
            return self._opened[name]

    @property
    def opened(self) -> Mapping[str, Backend]:
        """The backends that are open by now, by NAME; it changes as others are opened."""
        return self._opened

    def close(self) -> None:
        """Close the backends. Jobs keep running."""
        with ExitStack() as stack:
            for backend in self._opened.values():
                stack.callback(backend.close)
