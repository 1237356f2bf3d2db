"""The data that the ledger keeps and the engine returns, as frozen dataclasses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from typing import Literal

from . import Cell
from . import Handle
from . import JobSpec
from . import Judgement
from . import Observation
from . import Outcome
from . import OwnAction
from . import Phase

Field = str | int | float | bool
"""A value that a user's hook adds to reports."""


@dataclass(frozen=True, slots=True)
class Xfail:
    """An ``xfail`` mark whose condition is true and that does not prevent the cell from running."""

    reason: str
    strict: bool
    raises: tuple[str, ...] | None = None
    """Names of the expected exceptions, ``module.Class``; None for any."""


@dataclass(frozen=True, slots=True)
class Registration:
    """A selected cell that will run."""

    key: str
    """Its file relative to rootdir, ``::`` and its id; equal in every process of a session."""
    path: str
    """The file in ``key``."""
    cell: Cell
    test_timeout: float | None = None
    """pytest-timeout's limit, in seconds from the job's start; None without one."""
    reruns: int = 0
    """pytest-rerunfailures' count: how many attempts may follow a failed one."""
    test: str | None = None
    """The node id of the Python test that submitted the job; None for a cell of a matrix."""
    xfails: tuple[Xfail, ...] | None = None
    """The ``xfail`` mark in force at the launch, if any; None if the launch did not record it."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One submission of a cell, as recorded in the ledger. Times are seconds since the epoch."""

    token: str
    key: str
    number: int
    """Counted from 1."""
    intended: float
    """When the intent to submit was recorded, before the submission."""
    spec: JobSpec | None = None
    """The submitted spec if a hook changed it; None for the cell's own."""
    submitted: float | None = None
    """When the backend accepted it; None if it has not."""
    handle: Handle | None = None
    observation: Observation | None = None
    """The last one."""
    action: OwnAction | None = None
    outcome: Outcome | None = None

    @property
    def is_live(self) -> bool:
        """Whether the attempt has no outcome yet."""
        return self.outcome is None

    @property
    def may_have_job(self) -> bool:
        """Whether a job may be running or waiting for this attempt, as far as the ledger knows."""
        ended = self.observation is not None and self.observation.phase is Phase.ENDED
        return self.is_live and not ended


@dataclass(frozen=True, slots=True)
class Ruling:
    """The pytest outcome of a cell for which a hook called ``pytest.skip``, ``xfail`` or ``exit``."""

    kind: Literal["skip", "xfail", "exit"]
    """``exit``: the session ended before the hook had returned for the cell."""
    reason: str


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome and verdict of a cell."""

    key: str
    outcome: Outcome
    """The outcome of the last attempt."""
    judgement: Judgement
    attempt: int = 1
    """The number of the last attempt, counted from 1."""
    job_id: str | None = None
    url: str | None = None
    logs: Mapping[int, str] = field(default_factory=dict)
    """Rank to the end of its log, secrets replaced, for a few ranks; empty for a cell that passed."""
    fields: Mapping[str, Field] = field(default_factory=dict)
    """Values that hooks add to the reports, by name."""
    ruling: Ruling | None = None
    """The pytest outcome that a hook decided, which overrides the verdict."""
