"""How a job's own output is read: ``classify``, ``translate`` and ``reasons`` of a cell."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field

from .reasons import ReasonClass


@dataclass(frozen=True, slots=True)
class ClassifyRule:
    """One rule of ``classify``; exactly one of ``log``, ``exit_code`` and ``status`` is set.

    A ``log`` rule has named groups among ``reason``, ``exit_code`` and ``restarts``. The other rules give
    ``reason`` if they match.
    """

    log: str | None = None
    """A regular expression, applied to each line of the job's log."""
    exit_code: int | None = None
    """The exit code of the command that this rule matches."""
    status: str | None = None
    """A regular expression, applied to the scheduler's state and its reason."""
    reason: str | None = None
    required: bool = False
    """For a ``log`` rule: the outcome is unknown if a rank's log has no matching line."""


@dataclass(frozen=True, slots=True)
class Classification:
    """``classify``, ``translate`` and ``reasons`` of a cell."""

    rules: tuple[ClassifyRule, ...] = ()
    translate: Mapping[str, str] = field(default_factory=dict)
    """A word that a log rule reads to the reason that it means."""
    reasons: Mapping[str, ReasonClass] = field(default_factory=dict)
    """The reasons that the matrix adds, with their classes."""

    @property
    def needs_logs(self) -> bool:
        """Whether a rule reads the job's output."""
        return any(rule.log is not None for rule in self.rules)

    def may_give(self, reason: str) -> bool:
        """Whether a rule can give this reason: it names the reason, or reads reasons from a log."""
        return any(rule.reason == reason or _reads("reason", rule) for rule in self.rules)

    @property
    def may_count_restarts(self) -> bool:
        """Whether a rule reads the number of restarts from a log."""
        return any(_reads("restarts", rule) for rule in self.rules)


def _reads(field: str, rule: ClassifyRule) -> bool:
    return rule.log is not None and field in re.compile(rule.log).groupindex
