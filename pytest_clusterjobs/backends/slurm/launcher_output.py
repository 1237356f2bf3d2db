"""What srun and Slurm's daemons print about a job, read for causes and for the codes of ranks."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass

from ...model import Reason
from ..command_line import LauncherOutput

_DAEMON = r"^(?:slurmstepd\S*:|\[[^\]\n]*\]) error: "
"""The node's daemon; from 24.05 on with a time instead of its name."""
_OUT_OF_MEMORY = re.compile(
    rf"{_DAEMON}Detected [0-9]+ oom[-_]kill event|^srun: error: \S+: tasks? \S+: Out Of Memory",
    re.IGNORECASE | re.MULTILINE,
)
_STOPPED = re.compile(
    rf"{_DAEMON}\*\*\* (?P<what>JOB|STEP) .* CANCELLED AT \S+(?: DUE TO (?P<cause>[A-Z ]+))?", re.MULTILINE
)
_CAUSES = (
    ("TIME LIMIT", Reason.MAX_RUNTIME_REACHED),
    ("PREEMPTION", Reason.PREEMPTED),
    ("NODE FAILURE", Reason.NODE_FAILED),
)
_NOT_LAUNCHED = re.compile(r"^srun: error: Task launch for \S+ failed on node \S+: (.+)$", re.MULTILINE)
_UNREACHABLE = re.compile(
    r"communication|connection|timed out|socket|not responding|node failure|transmitted or received",
    re.IGNORECASE,
)
# Hooks of plugins that come before the command; those after it have other names.
_HOOKS = "init|init_post_opt|local_user_init|user_init|task_init_privileged|task_init|task_post_fork"
_NOT_BEGUN = re.compile(
    r"^Error running slurm prolog"
    rf"|(?:{_DAEMON}|^srun: error: )spank: required plugin \S+: (?:{_HOOKS})\(\) failed"
    rf"|{_DAEMON}(?:TaskProlog failed|execve\(\): |Could not open std)"
    r"|^srun: error: (?:tasks? \S+ launch failed: |Unable to create step|Application launch failed)",
    re.MULTILINE,
)
_CAUSE_LINES = (_NOT_BEGUN, _NOT_LAUNCHED, _OUT_OF_MEMORY, _STOPPED)
_TASKS_ENDED = re.compile(r"srun: error: \S+: tasks? ([0-9,-]+): (.+)")
_EXIT_CODE = re.compile(r"Exited with exit code ([0-9]+)")
_SIGNAL_CODES = {signal.strsignal(number): 128 + number for number in signal.valid_signals()}
_MAX_RANKS = 100_000


@dataclass(frozen=True, slots=True)
class SlurmLauncherOutput(LauncherOutput):
    """The output of the last start, or of the daemons that could not begin it."""

    @property
    def out_of_memory(self) -> bool:
        """Whether a process was killed for memory.

        Without accounting, a step's kill for memory appears only here: the sentinel ends with the command's
        code.
        """
        return _OUT_OF_MEMORY.search(self.text) is not None

    @property
    def stopped(self) -> Reason | None:
        """Why Slurm stopped the job, if it did. srun or the batch script stopped a step without a cause."""
        found = list(_STOPPED.finditer(self.text))
        for text, reason in _CAUSES:
            if any(text in (match["cause"] or "") for match in found):
                return reason
        cancelled = any(match["what"] == "JOB" and not match["cause"] for match in found)
        return Reason.CANCELLED if cancelled else None

    @property
    def not_begun(self) -> Reason | None:
        """Why the command could not begin on all nodes, if so: srun kills the ranks that had begun."""
        match = _NOT_LAUNCHED.search(self.text)
        if match is not None:
            return Reason.NODE_FAILED if _UNREACHABLE.search(match[1]) else Reason.START_FAILED
        return Reason.START_FAILED if _NOT_BEGUN.search(self.text) else None

    @property
    def exit_codes(self) -> Mapping[int, int]:
        """The codes that srun reports of ranks, in the order of their ends."""
        codes: dict[int, int] = {}
        for line in self.text.splitlines():
            match = _TASKS_ENDED.match(line)
            code = _code_of(match[2].strip()) if match else None
            if match and code is not None:
                codes.update(dict.fromkeys(_numbers(match[1]), code))
        return codes

    def names_cause(self, line: str) -> bool:
        """Whether a line explains more than the consequences that follow it."""
        return any(each.search(line) for each in _CAUSE_LINES)


def _code_of(text: str) -> int | None:
    match = _EXIT_CODE.match(text)
    return int(match[1]) if match else _SIGNAL_CODES.get(text.removesuffix(" (core dumped)"))


def _numbers(text: str) -> Iterator[int]:
    """The numbers in ``0,2-4``."""
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first.isdecimal() and (last or first).isdecimal():
            yield from range(int(first), min(int(last or first), int(first) + _MAX_RANKS) + 1)
