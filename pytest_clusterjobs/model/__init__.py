"""The project's terms as frozen dataclasses and enums.

Imports no other part of the package, and nothing heavy.
"""

from __future__ import annotations

from .cell import Cell
from .cell import Mark
from .classification import Classification
from .classification import ClassifyRule
from .expectation import ANY
from .expectation import BadExpectation
from .expectation import Expectation
from .expectation import LogExpectation
from .expectation import MetricExpectation
from .expectation import Pick
from .expectation import Range
from .outcome import ActionKind
from .outcome import Judgement
from .outcome import Mismatch
from .outcome import Outcome
from .outcome import OwnAction
from .outcome import Source
from .outcome import Verdict
from .reasons import COMMAND_ENDED
from .reasons import Reason
from .reasons import REASON_CLASSES
from .reasons import ReasonClass
from .spec import BadSpec
from .spec import CELL_ID
from .spec import JobSpec
from .spec import Resources
from .states import Handle
from .states import LIMITS
from .states import LogChunk
from .states import NodeState
from .states import Observation
from .states import Phase
from .states import SentinelReport
from .states import SentinelWord
from .states import Times

__all__ = [
    "CELL_ID",
    "COMMAND_ENDED",
    "LIMITS",
    "REASON_CLASSES",
    "ActionKind",
    "ANY",
    "BadExpectation",
    "BadSpec",
    "Cell",
    "Classification",
    "ClassifyRule",
    "Expectation",
    "Handle",
    "JobSpec",
    "Judgement",
    "LogChunk",
    "LogExpectation",
    "Mark",
    "MetricExpectation",
    "Mismatch",
    "NodeState",
    "Observation",
    "Outcome",
    "OwnAction",
    "Phase",
    "Pick",
    "Range",
    "Reason",
    "ReasonClass",
    "Resources",
    "SentinelReport",
    "SentinelWord",
    "Source",
    "Times",
    "Verdict",
]
