"""Tokens: one identifies each attempt of a cell in a run, and is part of the job's name or tags."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

_TOKEN = re.compile(r"cj-(?P<run_id>[a-z0-9-]+)-(?P<cell>[0-9a-f]{10})-a(?P<attempt>[0-9]+)")

STAND_IN = "cj-20260101t000000-000000-0000000000-a1"
"""A token for checks of a spec before its job has one."""


@dataclass(frozen=True, slots=True)
class Token:
    """A parsed token. ``str()`` returns the text for job names and tags.

    Letters, digits and hyphens, a letter first, at most 63 characters: valid as a Slurm, AWS Batch
    and SkyPilot job name.
    """

    run_id: str
    cell: str
    """Ten hexadecimal digits of the cell key's SHA-256."""
    attempt: int
    """Counted from 1."""

    @classmethod
    def of(cls, run_id: str, key: str, attempt: int) -> Token:
        """The token of one attempt of the cell ``key`` (its file relative to rootdir, and its id)."""
        return cls(run_id, hashlib.sha256(key.encode()).hexdigest()[:10], attempt)

    @classmethod
    def parse(cls, text: str) -> Token:
        """Parse ``text``. Raises ValueError if it is not a token."""
        match = _TOKEN.fullmatch(text)
        if match is None:
            raise ValueError(f"not a token: {text!r}")
        return cls(match["run_id"], match["cell"], int(match["attempt"]))

    def __str__(self) -> str:
        return f"{run_prefix(self.run_id)}{self.cell}-a{self.attempt}"


def run_prefix(run_id: str) -> str:
    """The beginning of every token of a run."""
    return f"cj-{run_id}-"


def run_of(name: str) -> str | None:
    """The id of the run that a job with this name belongs to; ``None`` if the name is not a token."""
    try:
        return Token.parse(name).run_id
    except ValueError:
        return None


def nonce(token: str) -> str:
    """The 12 hexadecimal digits in a job's sentinel lines, derived from its token."""
    return hashlib.sha256(f"sentinel {token}".encode()).hexdigest()[:12]
