"""Checks whether the process that owns a run still lives, from any process on the same machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .liveness import silence
from .liveness import STALE_AFTER_SECONDS

_STATE, _START = 0, 19
"""Fields 3 and 22 of /proc/PID/stat (proc_pid_stat(5)), counted from the end of the command's name."""


def this_process() -> dict[str, Any]:
    """The ledger's ``owner`` for this process. A pid alone is not enough, because pids are reused."""
    pid = os.getpid()
    found = _stat(pid)
    return {"pid": pid, "started": found[1] if found else None, "host": platform.node()}


def is_alive(owner: Mapping[str, Any]) -> bool | None:
    """Whether that process runs; None if this cannot be determined from this machine."""
    if owner.get("host") != platform.node():
        return None
    found = _stat(int(owner["pid"]))
    return found is not None and found[0] not in "ZX" and found[1] == owner.get("started")


def is_free(folder: Path, owner: Mapping[str, Any] | None) -> bool:
    """Whether a session may begin on the run in ``folder``.

    ``owner`` is the run's last owner, or None if that one ended normally. A process on another host cannot be
    checked; the run is not free while there are signs of life.
    """
    alive = owner is not None and is_alive(owner)
    if alive is None:
        quiet = silence(folder)
        return quiet is None or quiet > STALE_AFTER_SECONDS
    return not alive


def _stat(pid: int) -> tuple[str, int] | None:
    """State and start time (clock ticks since boot) of a process; None if there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return None
    # The command's name is in parentheses and may contain any character.
    fields = text.rpartition(")")[2].split()
    return fields[_STATE], int(fields[_START])
