"""The base of backends that run a scheduler's own commands (submit, status, cancel).

A scheduler derives :class:`CommandLineBackend` and implements its template methods; see there.
"""

from __future__ import annotations

from .backend import CommandLineBackend as CommandLineBackend
from .commands import CommandRunner as CommandRunner
from .commands import NoAccounting as NoAccounting
from .job_folder import JobFolder as JobFolder
from .launcher_output import LauncherOutput as LauncherOutput
from .queue_row import QueueRow as QueueRow
from .script import batch_script as batch_script
from .script import BatchEnvironment as BatchEnvironment
from .script import Launch as Launch
from .script import one_node_script as one_node_script
from .script import Submission as Submission
from .table import parse_table as parse_table
from .table import parse_time as parse_time

__all__ = [
    "BatchEnvironment",
    "CommandLineBackend",
    "CommandRunner",
    "JobFolder",
    "Launch",
    "LauncherOutput",
    "NoAccounting",
    "QueueRow",
    "Submission",
    "batch_script",
    "one_node_script",
    "parse_table",
    "parse_time",
]
