"""Judges a stored run again: the same rules on the recorded facts, with the same or another expectation."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace

from ..backends.protocol import Backend
from ..judge import judge
from ..judge import outcome as judge_outcome
from ..model import Cell
from ..model import Judgement
from ..model import LogChunk
from ..model import Outcome
from ..model import Phase
from ..model.records import Attempt
from ..model.records import Registration
from ..model.records import Result
from .attempt import ActiveAttempt
from .logs import reader_of
from .secrets import Secrets


@dataclass(frozen=True, slots=True)
class Rejudged:
    """A cell with its new verdict."""

    outcome: Outcome
    judgement: Judgement
    logs_missing: bool
    """Whether a log that the verdict depends on could not be read to its end."""


def rejudge(
    entry: Registration,
    cell: Cell,
    attempt: Attempt | None,
    result: Result,
    backend: Backend | None,
    secrets: Secrets,
) -> Rejudged:
    """Judge the last attempt of ``entry`` by ``cell``. Without a backend there are no logs.

    Without an attempt there was no job; the result has the reason.
    """
    if attempt is None:
        judgement = judge(cell.expect, result.outcome, log=_no_log, nodes=cell.spec.nodes)
        return Rejudged(result.outcome, judgement, logs_missing=False)
    job = ActiveAttempt(
        entry, attempt.number, attempt.token, secrets, prepared=attempt.spec, handle=attempt.handle
    )
    logs = reader_of(backend, job) if backend is not None else None
    if logs is not None:
        logs.know(result.outcome.nodes)
    whole = logs.whole if logs is not None else _no_log
    outcome = _outcome(cell, attempt, result, whole)
    judgement = judge(cell.expect, outcome, log=whole, nodes=job.spec.nodes)
    needed = cell.expect.needs_logs or cell.classify.needs_logs
    return Rejudged(outcome, judgement, needed and (logs is None or logs.missing))


def _no_log(rank: int) -> LogChunk:
    return LogChunk("", complete=False)


def _outcome(cell: Cell, attempt: Attempt, result: Result, whole: object) -> Outcome:
    """The outcome by the cell's own classification rules; as stored if no end was observed."""
    stored, seen = result.outcome, attempt.observation
    if seen is None or (seen.phase is not Phase.ENDED and stored.action is None):
        return stored
    return judge_outcome(
        attempt.spec or cell.spec,
        replace(seen, nodes=stored.nodes, log_complete=stored.log_complete),
        action=stored.action,
        classification=cell.classify,
        log=whole,  # type: ignore[arg-type]
        submitted=attempt.submitted,
    )
