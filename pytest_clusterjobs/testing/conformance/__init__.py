"""The conformance suite: the requirements on every backend, one small test each.

A backend runs it by subclassing :class:`BackendConformance` and overriding one fixture.
"""

from __future__ import annotations

from .control import ControlTests
from .ends import EndTests
from .hostile import HostileTests
from .limits import LimitTests
from .logs import LogTests
from .nodes import NodeTests
from .restarts import RestartTests
from .submission import SubmissionTests


class BackendConformance(
    SubmissionTests, EndTests, LimitTests, RestartTests, NodeTests, LogTests, ControlTests, HostileTests
):
    """All tests. Override ``harness``; list what does not apply in its ``lacks``."""


__all__ = ["BackendConformance"]
