"""A sign of life in a run's folder, for other hosts, which cannot check the session's process itself."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

LIVENESS_FILE = "alive"

BEAT_INTERVAL_SECONDS = 15.0
"""Seconds between two signs."""

STALE_AFTER_SECONDS = 150.0
"""Seconds after which a session counts as dead; network file systems may show a change a minute late."""


def beat(folder: Path) -> None:
    """Leave a sign of life, unless the folder cannot be written to."""
    with suppress(OSError):
        (folder / LIVENESS_FILE).touch()


def silence(folder: Path) -> float | None:
    """Seconds since the last sign of life by the file server's clock; None if there has never been one."""
    probe = folder / f"{LIVENESS_FILE}.{os.getpid()}"
    try:
        last = (folder / LIVENESS_FILE).stat().st_mtime
        probe.touch()
        now = probe.stat().st_mtime
        probe.unlink()
    except OSError:
        return None
    return max(0.0, now - last)
