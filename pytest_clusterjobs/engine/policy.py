"""What a role of the engine may do. Run, launch, check, resume, kill, sweep and reap are such roles."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Policy:
    """What a role of the engine may do."""

    submits: bool = False
    """Whether it submits jobs."""
    follows_up: bool = False
    """Whether one attempt may follow another: it waits for the ends of jobs."""
    resumes: bool = False
    """Whether a job that a dead session cancelled is submitted again."""
    judges: bool = True
    """Whether all ends become verdicts; if not, only those of jobs that were cancelled, after ``Settle``."""
    cancels: str = ""
    """Why it cancels every job as soon as it knows it; empty if it does not."""
    keys: Collection[str] | None = None
    """The cells whose jobs it handles; None for all cells of the run."""
    adopts: bool = False
    """Whether jobs are its own that the cluster lists and the ledger does not know."""
    gives_up: bool = True
    """Whether a job without answers, or whose cancellation is not confirmed, is given up in the end."""

    @classmethod
    def session(cls, *, submits: bool, follows_up: bool, resumes: bool = False) -> Policy:
        """The policy of a session: run, launch, check or resume."""
        return cls(submits=submits, follows_up=follows_up, resumes=resumes)

    @classmethod
    def canceller(cls, why: str, keys: Collection[str] | None = None) -> Policy:
        """The policy of kill, sweep and reap, which end jobs."""
        return cls(judges=False, cancels=why, keys=keys, adopts=True, gives_up=False)
