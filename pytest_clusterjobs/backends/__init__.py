"""Adapters of cluster systems, and the public names for the author of another one (``docs/backends.md``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import attributes
from .._lazy import names

_MODULES = {
    ".protocol": [
        "Backend",
        "BackendType",
        "BackendContext",
        "Capabilities",
        "Unset",
        "BackendError",
        "SubmissionRejected",
        "Throttled",
        "UnreadableLog",
        "FindAnswer",
        "Found",
        "NotSubmitted",
        "Unknown",
        "Checking",
        "Inspecting",
        "Inspection",
        "Notifying",
        "Previewing",
    ],
    ".settings": ["SiteSettings", "MustBe"],
    ".limits": ["refuse"],
    "..model": [
        "JobSpec",
        "Handle",
        "Observation",
        "Phase",
        "Times",
        "NodeState",
        "LogChunk",
        "Reason",
        "SentinelReport",
        "SentinelWord",
    ],
    "..model.token": ["Token"],
}

__all__ = ["sentinel", *names(_MODULES)]

if TYPE_CHECKING:
    from ..model import Handle as Handle
    from ..model import JobSpec as JobSpec
    from ..model import LogChunk as LogChunk
    from ..model import NodeState as NodeState
    from ..model import Observation as Observation
    from ..model import Phase as Phase
    from ..model import Reason as Reason
    from ..model import SentinelReport as SentinelReport
    from ..model import SentinelWord as SentinelWord
    from ..model import Times as Times
    from ..model.token import Token as Token
    from . import sentinel as sentinel
    from .limits import refuse as refuse
    from .protocol import Backend as Backend
    from .protocol import BackendContext as BackendContext
    from .protocol import BackendError as BackendError
    from .protocol import BackendType as BackendType
    from .protocol import Capabilities as Capabilities
    from .protocol import Checking as Checking
    from .protocol import FindAnswer as FindAnswer
    from .protocol import Found as Found
    from .protocol import Inspecting as Inspecting
    from .protocol import Inspection as Inspection
    from .protocol import Notifying as Notifying
    from .protocol import NotSubmitted as NotSubmitted
    from .protocol import Previewing as Previewing
    from .protocol import SubmissionRejected as SubmissionRejected
    from .protocol import Throttled as Throttled
    from .protocol import Unknown as Unknown
    from .protocol import UnreadableLog as UnreadableLog
    from .protocol import Unset as Unset
    from .settings import MustBe as MustBe
    from .settings import SiteSettings as SiteSettings
else:
    __getattr__ = attributes(__name__, _MODULES)
