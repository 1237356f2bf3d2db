"""Cluster jobs as pytest items: the public API, loaded when it is used."""

from __future__ import annotations

from importlib import import_module
from typing import Any
from typing import TYPE_CHECKING

from ._version import __version__ as __version__

if TYPE_CHECKING:
    from .backends.protocol import Backend as Backend
    from .by_hand.jobs import Job as Job
    from .by_hand.jobs import Jobs as Jobs
    from .by_hand.session import open_backend as open_backend
    from .jobs import Cell as Cell
    from .jobs import Expectation as Expectation
    from .jobs import JobSpec as JobSpec
    from .jobs import Outcome as Outcome
    from .jobs import Reason as Reason

_HOMES = {
    "Backend": ".backends.protocol",
    "Cell": ".jobs",
    "Expectation": ".jobs",
    "Job": ".by_hand.jobs",
    "Jobs": ".by_hand.jobs",
    "JobSpec": ".jobs",
    "Outcome": ".jobs",
    "Reason": ".jobs",
    "open_backend": ".by_hand.session",
}

__all__ = ["JobSpec", "Job", "Jobs", "Outcome", "Reason", "Expectation", "Cell", "Backend", "open_backend"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)
