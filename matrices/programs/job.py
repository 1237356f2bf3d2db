"""A job's environment: its rank, its heartbeat file, and the file of its checkpoint."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any


class Job:
    """One rank of the job, read from the environment; without ``CLUSTERJOBS_*``, a job of one rank.

    Raises ValueError for an invalid number in the environment.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        def get(name: str, default: str) -> str:
            return environ.get(f"CLUSTERJOBS_{name}", default)

        self.rank = int(get("NODE_RANK", "0"))
        self.world = int(get("NUM_NODES", "1"))
        self.restarts = int(get("RESTARTS", "0"))
        self.master = (get("MASTER_ADDR", "127.0.0.1"), int(get("MASTER_PORT", "0")))
        attempt = "-".join([get("RUN_ID", "manual"), get("CELL", "job"), get("ATTEMPT", "1")])
        self.start = f"{attempt}-{self.restarts}"
        """Identifies one start of the job: all ranks of the start have the same text."""
        self._heartbeat = environ.get("CLUSTERJOBS_HEARTBEAT_FILE", "")
        # If a restart may be on another machine, CHECKPOINT_DIR has to be a shared folder.
        folder = environ.get("CHECKPOINT_DIR") or os.path.dirname(self._heartbeat)
        self._checkpoint = os.path.join(folder, f"checkpoint-{attempt}.json") if folder else ""

    def beat(self) -> None:
        """Send a heartbeat: the job makes progress."""
        if self._heartbeat:
            os.close(os.open(self._heartbeat, os.O_CREAT | os.O_WRONLY, 0o644))
            os.utime(self._heartbeat)

    def save(self, step: int, state: Any) -> None:
        """Replace the checkpoint atomically."""
        if not self._checkpoint:
            raise SystemExit(
                "checkpoints need CHECKPOINT_DIR or CLUSTERJOBS_HEARTBEAT_FILE in the environment"
            )
        with open(f"{self._checkpoint}.new", "w", encoding="utf-8") as file:
            json.dump({"step": step, "state": state}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(f"{self._checkpoint}.new", self._checkpoint)

    def load(self) -> tuple[int, Any]:
        """The checkpoint's step and state; ``(0, None)`` on a first start, or if there is none."""
        if not self.restarts or not os.path.exists(self._checkpoint):
            return 0, None
        with open(self._checkpoint, encoding="utf-8") as file:
            saved = json.load(file)
        return saved["step"], saved["state"]

    def discard_checkpoint(self) -> None:
        """Remove the checkpoint, which a completed job does not need."""
        if os.path.exists(self._checkpoint):
            os.remove(self._checkpoint)
