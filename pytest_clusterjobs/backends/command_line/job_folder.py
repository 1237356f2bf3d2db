"""The files in the folder of a job, which the job's nodes and its observers share."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..protocol import BackendError


@dataclass(frozen=True, slots=True)
class JobFolder:
    """One job's folder, readable by its owner alone.

    The batch script writes its files, except those marked as written by the backend.
    """

    path: Path

    @property
    def script(self) -> Path:
        """The batch script as it was submitted. Written by the backend."""
        return self.path / "job.sh"

    @property
    def job_id(self) -> Path:
        """The job id that the submit command printed. Written by the backend after it has read the answer."""
        return self.path / "id"

    @property
    def secrets(self) -> Path:
        """The values of the job's secrets, written by the backend and removed after their last use."""
        return self.path / "secrets"

    @property
    def owner(self) -> Path:
        """The id of the scheduler's job that runs this token: the first to claim it."""
        return self.path / "job"

    @property
    def ended(self) -> Path:
        """The batch script's final record: its code, and ``itself``, ``stopped``, ``over`` or ``broken``."""
        return self.path / "ended"

    @property
    def hosts(self) -> Path:
        """The hosts of the last start by rank, one a line."""
        return self.path / "hosts"

    @property
    def output(self) -> Path:
        """The output of the batch script, the launcher and the scheduler's daemons."""
        return self.path / "batch.out"

    def start(self, restart: int) -> Path:
        """Created when a start begins."""
        return self.path / f"start.{restart}"

    def dismissed(self, restart: int) -> Path:
        """Created when ranks are stopped because the main one has ended well."""
        return self.path / f"dismissed.{restart}"

    def has_start(self, restart: int) -> bool:
        """Whether a start has begun. Raises BackendError if the folder cannot be read."""
        try:
            self.path.stat()
            return self.start(restart).exists()
        except OSError as error:
            raise BackendError(f"the job's folder {self.path} cannot be read: {error.strerror}") from None

    def log(self, rank: int, restart: int) -> Path:
        """The output of one node in one start."""
        return self.path / f"log.{restart}.{rank}"


def write_job(folder: JobFolder, script: str, secrets: Mapping[str, str]) -> None:
    """Create a job's folder, readable by its owner alone. Raises OSError."""
    folder.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.path.mkdir(mode=0o700, exist_ok=True)
    folder.script.write_text(script, encoding="utf-8", errors="surrogateescape", newline="")
    if secrets:
        lines = (f"export {name}={shlex.quote(value)}\n" for name, value in secrets.items())
        with os.fdopen(os.open(folder.secrets, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write("".join(lines).encode(errors="surrogateescape"))
