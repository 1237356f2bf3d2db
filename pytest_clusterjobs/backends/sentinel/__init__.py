"""The sentinel: the sh script around a job's command on each node, and the marks that it leaves in the log.

``docs/sentinel.md`` describes its guarantees. The script and the reader of the marks are tested together.
"""

from __future__ import annotations

from .delivery import argv
from .delivery import heartbeat_checks
from .delivery import seconds
from .delivery import setsid_command
from .delivery import SHELL_OPTIONS
from .marks import all_reports
from .marks import last_report
from .marks import Marks
from .marks import read
from .marks import report_line
from .marks import REPORT_TAIL_BYTES
from .marks import without_marks

__all__ = [
    "REPORT_TAIL_BYTES",
    "SHELL_OPTIONS",
    "Marks",
    "all_reports",
    "argv",
    "heartbeat_checks",
    "last_report",
    "read",
    "report_line",
    "seconds",
    "setsid_command",
    "without_marks",
]
