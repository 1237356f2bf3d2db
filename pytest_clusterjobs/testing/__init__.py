"""The proof kit: a conformance suite for backends, and a scripted backend on a manual clock."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .clock import ClockRanOut as ClockRanOut
    from .clock import ManualClock as ManualClock
    from .cluster import Cluster as Cluster
    from .cluster import SubmittedJob as SubmittedJob
    from .conformance import BackendConformance as BackendConformance
    from .harness import Harness as Harness
    from .noop import NOOP as NOOP
    from .noop import NoopBackend as NoopBackend
    from .scripted import Calls as Calls
    from .scripted import ScriptedBackend as ScriptedBackend
    from .scripts import Script as Script

_HOMES = {
    "BackendConformance": ".conformance",
    "Calls": ".scripted",
    "ClockRanOut": ".clock",
    "Cluster": ".cluster",
    "Harness": ".harness",
    "SubmittedJob": ".cluster",
    "ManualClock": ".clock",
    "NOOP": ".noop",
    "NoopBackend": ".noop",
    "Script": ".scripts",
    "ScriptedBackend": ".scripted",
}

__all__ = [
    "BackendConformance",
    "Harness",
    "Cluster",
    "SubmittedJob",
    "Calls",
    "ClockRanOut",
    "ManualClock",
    "NOOP",
    "NoopBackend",
    "Script",
    "ScriptedBackend",
]


# Imported when used: the no-op backend must not pay for the import of a test suite.
def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "BackendConformance" and f"{__name__}.conformance" not in sys.modules:
        _explain_assertions()
    return getattr(import_module(_HOMES[name], __name__), name)


def _explain_assertions() -> None:
    from pytest import register_assert_rewrite

    register_assert_rewrite(f"{__name__}.conformance")
