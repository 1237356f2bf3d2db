"""The conformance suite for backends, a scripted backend on a manual clock, and the judge.

``docs/backends.md`` and ``docs/verdicts.md`` show how to use them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import attributes

if TYPE_CHECKING:
    from ..judge import judge as judge
    from ..judge import outcome as outcome
    from ..model import Classification as Classification
    from ..model import ClassifyRule as ClassifyRule
    from .clock import ClockRanOut as ClockRanOut
    from .clock import ManualClock as ManualClock
    from .cluster import Cluster as Cluster
    from .cluster import SubmittedJob as SubmittedJob
    from .conformance.suite import BackendConformance as BackendConformance
    from .harness import Harness as Harness
    from .noop import NOOP as NOOP
    from .noop import NoopBackend as NoopBackend
    from .scripted import Calls as Calls
    from .scripted import Poll as Poll
    from .scripted import ScriptedBackend as ScriptedBackend
    from .scripts import absent as absent
    from .scripts import ACCEPT as ACCEPT
    from .scripts import Answer as Answer
    from .scripts import Cancelling as Cancelling
    from .scripts import ended as ended
    from .scripts import FAIL as FAIL
    from .scripts import LOSE as LOSE
    from .scripts import missing as missing
    from .scripts import pending as pending
    from .scripts import PrintedLine as PrintedLine
    from .scripts import rank as rank
    from .scripts import reject as reject
    from .scripts import restarted as restarted
    from .scripts import running as running
    from .scripts import Script as Script
    from .scripts import script as script
    from .scripts import slowly as slowly
    from .scripts import State as State
    from .scripts import stuck as stuck
    from .scripts import suspended as suspended
    from .scripts import THROTTLE as THROTTLE
else:
    __getattr__ = attributes(
        __name__,
        {
            "..judge": "judge outcome",
            "..model": "Classification ClassifyRule",
            ".clock": "ManualClock ClockRanOut",
            ".cluster": "Cluster SubmittedJob",
            ".conformance.suite": "BackendConformance",
            ".harness": "Harness",
            ".noop": "NOOP NoopBackend",
            ".scripted": "ScriptedBackend Calls Poll",
            ".scripts": "Script script State pending stuck running suspended restarted absent missing ended rank "
            "PrintedLine Cancelling Answer ACCEPT LOSE FAIL THROTTLE reject slowly",
        },
    )

__all__ = [
    "BackendConformance",
    "Harness",
    "Cluster",
    "SubmittedJob",
    "ManualClock",
    "ClockRanOut",
    "ScriptedBackend",
    "Calls",
    "Poll",
    "Script",
    "script",
    "State",
    "pending",
    "stuck",
    "running",
    "suspended",
    "restarted",
    "absent",
    "missing",
    "ended",
    "rank",
    "PrintedLine",
    "Cancelling",
    "Answer",
    "ACCEPT",
    "LOSE",
    "FAIL",
    "THROTTLE",
    "reject",
    "slowly",
    "NOOP",
    "NoopBackend",
    "judge",
    "outcome",
    "Classification",
    "ClassifyRule",
]
