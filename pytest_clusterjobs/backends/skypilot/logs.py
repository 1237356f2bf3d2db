"""Splits SkyPilot's logs of a job by rank and by start."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any

from ...model import LogChunk

_COLOUR = r"(?:\x1b\[[0-9;]*m)*"
_PREFIX = re.compile(
    rf"^{_COLOUR}\((?P<name>[^(),\n]{{1,200}}), (?:rank=(?P<rank>[0-9]{{1,6}}), )?pid=[0-9]{{1,10}}(?:, ip=[^(),\s]{{1,64}})?\){_COLOUR} ?"
)
"""``(NAME, pid=12) `` for a job of one node, ``(head, rank=0, pid=12) `` and
``(worker1, rank=1, pid=12, ip=10.0.0.2) `` for one of several. SkyPilot's own lines have no such prefix, and
the prefixes of its setup's lines have no comma."""

LOG_SHRUNK = "its log has become shorter: SkyPilot has lost a part of it"

_BEGIN = "== Logs of the user job (ID: "
_END = "== End of logs (ID: "
"""These lines enclose the log of a failed start in the log of the job's controller."""


def lines(text: str) -> Iterator[str]:
    """The lines to which SkyPilot adds prefixes; ``splitlines`` would split at more characters."""
    return io.StringIO(text, newline="")


def of_rank(text: str, rank: int) -> str:
    """The lines of one rank, as it printed them.

    Ray, with which SkyPilot runs jobs everywhere except on Slurm, adds a prefix after a newline but not after
    a carriage return: text after a carriage return belongs to the same rank.
    """
    found: list[str] = []
    last: int | None = None
    for line in lines(text):
        match = _PREFIX.match(line)
        if match is not None:
            last = int(match["rank"] or 0)
        if last == rank:
            found.append(line[match.end() :] if match is not None else line)
        if line.endswith("\n"):
            last = None
    return "".join(found)


def without_others(text: str, rank: int) -> str:
    """The lines of a rank, and those without a rank."""
    return "".join(line for line in lines(text) if rank_of(line) in (None, rank))


def rank_of(line: str) -> int | None:
    """The rank that printed a line, by its prefix; ``None`` if it has none."""
    match = _PREFIX.match(line)
    return None if match is None else int(match["rank"] or 0)


def failed_starts(controller: str) -> list[str]:
    """The log of each start that failed, in order, from the log of the job's controller."""
    found: list[str] = []
    section: list[str] | None = None
    for line in lines(controller):
        # The job's own lines have a prefix, so they cannot end or begin a section.
        own = _PREFIX.match(line) is not None
        if not own and _BEGIN in line:
            section = []
        elif section is not None and not own and _END in line:
            found.append("".join(section))
            section = None
        elif section is not None:
            section.append(line)
    return found


def chunk(text: str, *, cursor: Any, tail: int | None, complete: bool, gap: str = "") -> LogChunk:
    """A part of one rank's log: its last ``tail`` bytes, or the text after ``cursor`` characters.

    ``gap`` is the reason why the log will never be complete. A log that has become shorter after the end of
    its job has a gap, too.
    """
    complete = complete and not gap
    if tail is not None:
        return LogChunk(text.encode()[-tail:].decode(errors="replace"), len(text), complete, gap)
    begin = cursor if isinstance(cursor, int) else 0
    if begin > len(text) and complete:
        return LogChunk("", begin, gap=LOG_SHRUNK)
    return LogChunk(text[begin:], max(begin, len(text)), complete, gap)
