"""The jobs of tokens in SkyPilot's queue."""

from __future__ import annotations

import time
from collections.abc import Iterable
from collections.abc import Sequence
from itertools import groupby

from ...model.token import run_of
from ...model.token import run_prefix
from .records import QueuedJob
from .sdk import Sky


class JobQueue:
    """Finds the job of each token.

    SkyPilot's names are not unique: a younger job with the name of another one is a duplicate, and is
    cancelled.
    """

    def __init__(self, sky: Sky, poll_interval: float) -> None:
        self._sky = sky
        self._poll_interval = poll_interval
        self._seen: dict[str, tuple[QueuedJob, float]] = {}
        """The newest row of each job, and when it was read, in monotonic seconds."""
        self._cancelled_duplicates: set[int] = set()

    def rows(self, tokens: Iterable[str]) -> dict[str, QueuedJob]:
        """Read the jobs of these tokens, in one call for each run. Raises ClusterNotUp, BackendError."""
        found: dict[str, QueuedJob] = {}
        duplicates = []
        for prefix, group in groupby(sorted(tokens), key=_name_prefix_of):
            wanted = set(group)
            name = prefix if len(wanted) > 1 else next(iter(wanted))
            for row in self._sky.queue(name):
                if row.name in wanted and found.setdefault(row.name, row) is not row:
                    duplicates.append(row)
        self._cancel_duplicates(duplicates)
        now = time.monotonic()
        self._seen.update((token, (row, now)) for token, row in found.items())
        return found

    def row(self, token: str) -> QueuedJob | None:
        """The job of a token, read again unless it was read recently or has ended. Raises BackendError."""
        row, at = self._seen.get(token, (None, 0.0))
        if row is not None and (row.is_terminal or time.monotonic() - at < self._poll_interval):
            return row
        return self.rows([token]).get(token)

    def last_seen(self, token: str) -> QueuedJob | None:
        """The job of a token as it was last read; ``None`` if it was not found so far."""
        return self._seen[token][0] if token in self._seen else None

    def _cancel_duplicates(self, rows: Sequence[QueuedJob]) -> None:
        new = [
            row.job_id for row in rows if not row.is_terminal and row.job_id not in self._cancelled_duplicates
        ]
        self._sky.cancel(new)
        self._cancelled_duplicates.update(new)


def _name_prefix_of(token: str) -> str:
    """The common beginning of the names of the jobs of the token's run."""
    run_id = run_of(token)
    return token if run_id is None else run_prefix(run_id)
