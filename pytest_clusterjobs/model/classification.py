"""How a job's own output is read: ``classify``, ``translate`` and ``reasons`` of a cell."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field

from .reasons import ReasonClass


@dataclass(frozen=True, slots=True)
class ClassifyRule:
    """One way to read a job's own words; exactly one of the first three is set.

    A ``log`` rule has named groups among ``reason``, ``exit_code`` and ``restarts``; the others
    carry the fields that they fill.
    """

    log: str | None = None
    exit_code: int | None = None
    status: str | None = None
    reason: str | None = None
    required: bool = False
    """Of a ``log`` rule: a rank whose log has no such line has not said how it ended."""


@dataclass(frozen=True, slots=True)
class Classification:
    """``classify``, ``translate`` and ``reasons`` of a cell."""

    rules: tuple[ClassifyRule, ...] = ()
    translate: Mapping[str, str] = field(default_factory=dict)
    reasons: Mapping[str, ReasonClass] = field(default_factory=dict)
    """Words that the matrix adds to the vocabulary."""

    @property
    def needs_logs(self) -> bool:
        """Whether a rule reads the job's output."""
        return any(rule.log is not None for rule in self.rules)

    def may_say(self, reason: str) -> bool:
        """Whether a rule can give this reason: by name, or because it reads words from a log."""
        return any(rule.reason == reason or _reads("reason", rule) for rule in self.rules)

    @property
    def may_count_restarts(self) -> bool:
        """Whether a rule reads the number of restarts from a log."""
        return any(_reads("restarts", rule) for rule in self.rules)


def _reads(field: str, rule: ClassifyRule) -> bool:
    return rule.log is not None and field in re.compile(rule.log).groupindex
