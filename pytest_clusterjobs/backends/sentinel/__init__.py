"""The sentinel: the sh script around a job's command on each node, and the marks that it leaves in the log.

``docs/sentinel.md`` describes its guarantees. Writer and reader of the marks share one grammar and are tested
against each other.
"""

from __future__ import annotations

from .delivery import argv
from .delivery import beat_clock
from .delivery import leader_here
from .delivery import MAX_BYTES
from .delivery import script
from .delivery import seconds
from .marks import begun_line
from .marks import line
from .marks import Marks
from .marks import parse
from .marks import parse_all
from .marks import read
from .marks import REPORT_TAIL_BYTES
from .marks import without_marks

__all__ = [
    "MAX_BYTES",
    "REPORT_TAIL_BYTES",
    "Marks",
    "argv",
    "beat_clock",
    "begun_line",
    "leader_here",
    "line",
    "parse",
    "parse_all",
    "read",
    "script",
    "seconds",
    "without_marks",
]
