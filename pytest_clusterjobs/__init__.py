"""Cluster jobs as pytest items: the public API, loaded when it is used."""

from __future__ import annotations

from importlib import import_module
from typing import Any
from typing import TYPE_CHECKING

from ._version import __version__ as __version__

if TYPE_CHECKING:
    from .api.jobs import Job as Job
    from .api.jobs import Jobs as Jobs
    from .api.scripts import open_backend as open_backend
    from .backends.protocol import Backend as Backend
    from .model import Cell as Cell
    from .model import Expectation as Expectation
    from .model import JobSpec as JobSpec
    from .model import Outcome as Outcome
    from .model import Reason as Reason

_HOMES = {
    "Backend": ".backends.protocol",
    "Cell": ".model",
    "Expectation": ".model",
    "Job": ".api.jobs",
    "Jobs": ".api.jobs",
    "JobSpec": ".model",
    "Outcome": ".model",
    "Reason": ".model",
    "open_backend": ".api.scripts",
}

__all__ = ["JobSpec", "Job", "Jobs", "Outcome", "Reason", "Expectation", "Cell", "Backend", "open_backend"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)
