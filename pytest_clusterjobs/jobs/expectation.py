"""What a cell expects of its job's end, and how a job's own words are to be read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from typing import Literal

from .reasons import Reason
from .reasons import ReasonClass


@dataclass(frozen=True, slots=True)
class Range:
    """A closed interval by default; an open side is ``None``. Units are those of what it bounds."""

    low: float | None = None
    high: float | None = None
    low_open: bool = False
    high_open: bool = False
    text: str = ""
    """As the matrix wrote it, for messages."""

    def __contains__(self, value: float) -> bool:
        """Whether ``value`` is inside; never true of NaN."""
        if value != value:
            return False
        if self.low is not None and (value <= self.low if self.low_open else value < self.low):
            return False
        return not (self.high is not None and (value >= self.high if self.high_open else value > self.high))

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class LogExpectation:
    """Text that the complete logs of the last start must or must not have."""

    contains: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    matches: tuple[str, ...] = ()
    """Regular expressions, each line searched by itself."""


Pick = Literal["last", "first", "min", "max", "mean", "median"]


@dataclass(frozen=True, slots=True)
class MetricExpectation:
    """A number that the job prints, and the bounds that it must keep."""

    pattern: str
    """A regular expression, each line searched by itself. ``{number}``, else its first group, is the number."""
    pick: Pick = "last"
    node: int | None = None
    """The rank whose log is read; ``None`` reads all."""
    min: float | None = None
    max: float | None = None
    reference: float | None = None
    tolerance_below: float | None = None
    """As a fraction of ``reference``; ``None`` leaves that side open."""
    tolerance_above: float | None = None


@dataclass(frozen=True, slots=True)
class Expectation:
    """What must be true of an outcome; every field but ``reasons`` may be silent (``None`` or empty)."""

    reasons: tuple[str, ...] | None = (Reason.JOB_COMPLETED,)
    """Any of these; ``None`` is ``any``."""
    exit_codes: tuple[int, ...] | Literal["nonzero"] | None = (0,)
    restarts: Range | None = None
    run_time: Range | None = None
    """Seconds from the first start to the end."""
    heartbeats: Range | None = None
    log: LogExpectation = LogExpectation()
    metrics: Mapping[str, MetricExpectation] = field(default_factory=dict)

    @property
    def needs_logs(self) -> bool:
        """Whether the verdict depends on what the job printed."""
        return self.log != LogExpectation() or bool(self.metrics)


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
        """Whether a rule reads what the job printed."""
        return any(rule.log is not None for rule in self.rules)

    def may_say(self, reason: str) -> bool:
        """Whether a rule can give this reason: by name, or because it reads words from a log."""
        return any(rule.reason == reason or _reads("reason", rule) for rule in self.rules)

    @property
    def may_count_restarts(self) -> bool:
        """Whether a rule reads from a log how often the job was started again."""
        return any(_reads("restarts", rule) for rule in self.rules)


def _reads(field: str, rule: ClassifyRule) -> bool:
    return rule.log is not None and field in re.compile(rule.log).groupindex
