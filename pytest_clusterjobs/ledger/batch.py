"""Changes of a ledger, collected for one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field
from typing import Any

from ..model import Handle
from ..model import Observation
from ..model import Outcome
from ..model import OwnAction
from ..model.records import Attempt
from ..model.records import Result


@dataclass(slots=True)
class Batch:
    """Changes of the ledger, for one transaction. Intents are deleted before others are added."""

    submitted: list[Attempt] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    """Tokens of intents that were not acted on."""
    intended: dict[str, Attempt] = field(default_factory=dict)
    """By token."""
    actions: list[tuple[str, OwnAction]] = field(default_factory=list)
    changed: list[tuple[str, Observation, Handle | None]] = field(default_factory=list)
    ended: list[tuple[str, Outcome]] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    is_foreign: bool = False
    """Whether a process writes it that is not the run's session: an end that is recorded stays."""
    meta: dict[str, Any] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(
            self.submitted
            or self.deleted
            or self.intended
            or self.actions
            or self.changed
            or self.ended
            or self.results
            or self.meta
        )
