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

Field = str | int | float | bool
"""A value that a user's hook adds to reports."""


@dataclass(frozen=True, slots=True)
class Xfail:
    """An ``xfail`` mark that is in force: its condition holds, and it lets the cell run."""

    reason: str
    strict: bool
    raises: tuple[str, ...] | None = None
    """The names of the exceptions that it expects, ``module.Class``; None for any."""


@dataclass(frozen=True, slots=True)
class Registration:
    """A selected cell that will run."""

    key: str
    """Its file relative to rootdir, ``::`` and its id; the same in every process of a session."""
    path: str
    """The file of the key."""
    cell: Cell
    test_timeout: float | None = None
    """pytest-timeout's limit in seconds, counted from the job's start."""
    reruns: int = 0
    """pytest-rerunfailures' count: how often a cell that failed gets another attempt."""
    test: str | None = None
    """The node id of the Python test that submitted it by hand; None for a cell of a matrix."""
    xfails: tuple[Xfail, ...] | None = None
    """The ``xfail`` mark that was in force at the launch, if there was one; None if nobody noted that."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One submission of a cell, as far as the ledger knows."""

    token: str
    key: str
    number: int
    """Counted from 1."""
    intended: float
    """Seconds since the epoch, as all times here; written before the submission."""
    spec: JobSpec | None = None
    """What was submitted, where a hook changed it; None for the cell's own spec."""
    submitted: float | None = None
    handle: Handle | None = None
    observation: Observation | None = None
    action: OwnAction | None = None
    outcome: Outcome | None = None

    @property
    def is_live(self) -> bool:
        """Whether a job may be running or waiting for this attempt."""
        return self.outcome is None


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the user's code says becomes of a cell's item, as ``pytest.skip``, ``xfail`` and ``exit`` do in a test."""

    kind: Literal["skip", "xfail", "exit"]
    """``exit``: the session ended before the code had said anything about the cell."""
    reason: str


@dataclass(frozen=True, slots=True)
class Result:
    """How a cell ended, for the item that reports it."""

    key: str
    outcome: Outcome
    """Of the last attempt."""
    judgement: Judgement
    attempt: int = 1
    job_id: str | None = None
    url: str | None = None
    logs: Mapping[int, str] = field(default_factory=dict)
    """The end of a few ranks' logs, secrets taken out; empty for a cell that passed."""
    fields: Mapping[str, Field] = field(default_factory=dict)
    """What user hooks add to the reports."""
    ruling: Ruling | None = None
    """What user hooks say becomes of the item, whatever the verdict."""
