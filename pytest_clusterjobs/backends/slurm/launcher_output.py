"""The output of the batch script, srun and Slurm's daemons about a job. The job's own output is elsewhere."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ...model import Reason
from .places import JobFolder
from .places import tail

TAIL_BYTES = 65_536
"""Bytes of the end that are read: a rank may have several lines."""

LONGEST_WORDS = 300

START_MARK = "clusterjobs: start "
"""The line that the batch script prints before each start."""

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
_TELLING = (_NOT_BEGUN, _NOT_LAUNCHED, _OUT_OF_MEMORY, _STOPPED)
"""Lines that explain more than the consequences that follow them."""


@dataclass(frozen=True, slots=True)
class LauncherOutput:
    """The output of the last start, or of the daemons that could not begin it."""

    text: str

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
        for words, reason in _CAUSES:
            if any(words in (match["cause"] or "") for match in found):
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
    def end(self) -> str:
        """The last lines, shortened to one readable line, after the line that names the cause."""
        lines = [line.strip()[:LONGEST_WORDS] for line in self.text.splitlines() if line.strip()]
        kept: list[str] = []
        for line in reversed(lines):
            if kept and sum(map(len, kept)) + len(line) > LONGEST_WORDS:
                break
            kept.insert(0, line)
        cause = next((line for line in lines if any(each.search(line) for each in _TELLING)), None)
        return "; ".join(kept if cause is None or cause in kept else [cause, *kept])


def what_was_said(folder: JobFolder) -> LauncherOutput:
    """The output about the last start of a job."""
    _, mark, text = tail(folder.output, TAIL_BYTES).decode(errors="replace").rpartition(START_MARK)
    return LauncherOutput(text.partition("\n")[2] if mark else text)
