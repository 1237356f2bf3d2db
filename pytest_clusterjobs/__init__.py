"""Cluster jobs as pytest items.

These are the names for tests, scripts and hooks. ``pytest_clusterjobs.backends`` has those for a backend's
author, and ``pytest_clusterjobs.testing`` those for a backend's tests. Other modules are internal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._lazy import attributes
from ._lazy import names
from ._version import __version__ as __version__

_MODULES = {
    ".api.scripts": ["open_backend"],
    ".api.jobs": ["Jobs", "Job"],
    ".model": [
        "JobSpec",
        "Resources",
        "Outcome",
        "Reason",
        "ReasonClass",
        "Observation",
        "Phase",
        "Expectation",
        "LogExpectation",
        "MetricExpectation",
        "Range",
        "Cell",
        "Judgement",
        "Verdict",
    ],
    ".model.records": ["Result"],
    ".backends.protocol": ["Backend"],
}

__all__ = [*names(_MODULES)]

if TYPE_CHECKING:
    from .api.jobs import Job as Job
    from .api.jobs import Jobs as Jobs
    from .api.scripts import open_backend as open_backend
    from .backends.protocol import Backend as Backend
    from .model import Cell as Cell
    from .model import Expectation as Expectation
    from .model import JobSpec as JobSpec
    from .model import Judgement as Judgement
    from .model import LogExpectation as LogExpectation
    from .model import MetricExpectation as MetricExpectation
    from .model import Observation as Observation
    from .model import Outcome as Outcome
    from .model import Phase as Phase
    from .model import Range as Range
    from .model import Reason as Reason
    from .model import ReasonClass as ReasonClass
    from .model import Resources as Resources
    from .model import Verdict as Verdict
    from .model.records import Result as Result
else:
    __getattr__ = attributes(__name__, _MODULES)
