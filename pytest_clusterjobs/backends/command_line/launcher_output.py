"""The output of a job's batch script, launcher and daemons. The job's own output is in its logs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...model import Reason
from ..logfile import read_tail
from .job_folder import JobFolder

MAX_OUTPUT_TAIL_BYTES = 65_536
"""Bytes of the end that are read: a rank may have several lines."""

MAX_QUOTED_CHARACTERS = 300

START_MARK = "clusterjobs: start "
"""The line that the batch script prints before each start."""


@dataclass(frozen=True, slots=True)
class LauncherOutput:
    """The output of the last start, or of the daemons that could not begin it.

    The base class recognises nothing; a scheduler overrides the properties that its messages can fill.
    """

    text: str

    @property
    def out_of_memory(self) -> bool:
        """Whether a process was killed for memory."""
        return False

    @property
    def stopped(self) -> Reason | None:
        """Why the scheduler stopped the job, if it did."""
        return None

    @property
    def not_begun(self) -> Reason | None:
        """Why the command could not begin on all nodes, if so."""
        return None

    @property
    def exit_codes(self) -> Mapping[int, int]:
        """The exit codes of ranks as the launcher reports them, in the order of their ends."""
        return {}

    def names_cause(self, line: str) -> bool:
        """Whether a line explains more than the consequences that follow it."""
        return False

    @property
    def end(self) -> str:
        """The last lines, shortened to one readable line, after the line that names the cause."""
        lines = [line.strip()[:MAX_QUOTED_CHARACTERS] for line in self.text.splitlines() if line.strip()]
        kept: list[str] = []
        for line in reversed(lines):
            if kept and sum(map(len, kept)) + len(line) > MAX_QUOTED_CHARACTERS:
                break
            kept.insert(0, line)
        cause = next(filter(self.names_cause, lines), None)
        return "; ".join(kept if cause is None or cause in kept else [cause, *kept])


def read_last_output(folder: JobFolder) -> str:
    """The text that the batch script, launcher and daemons have printed since the last start began."""
    data = read_tail(folder.output, MAX_OUTPUT_TAIL_BYTES)
    _, mark, text = data.decode(errors="replace").rpartition(START_MARK)
    return text.partition("\n")[2] if mark else text
