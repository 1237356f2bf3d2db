"""All groups of tests in one class."""

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
    """The conformance suite. Subclass it, and override the fixture ``harness`` to return a ``Harness``.

    Tests that do not apply to the backend are listed in ``Harness.lacks``.
    """
