"""Counts what histories have exercised, over many workers: rule (h)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field

from ...model import Verdict
from ...model.tables import align
from .coverage_bounds import CoverageBounds
from .facts import Fact
from .facts import Violation

NO_FAULT = "none"
"""Stands for the fault kinds of a cell without faults."""


@dataclass(slots=True)
class Coverage:
    """Counters. Addition is commutative, so workers can be merged in any order."""

    histories: int = 0
    transitions: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often an attempt in a state had an event."""
    reasons: Counter[str] = field(default_factory=Counter)
    """How many verdicts had a reason."""
    faults: Counter[str] = field(default_factory=Counter)
    """In how many histories a kind of fault has happened."""
    verdicts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How many cells that a kind of fault touched had a verdict."""

    def history(self, kinds: Iterable[str]) -> None:
        """A history had these kinds of faults."""
        self.histories += 1
        self.faults.update(set(kinds))

    def verdict(self, reason: str, verdict: Verdict, facts: Iterable[Fact]) -> None:
        """A cell ended with this reason and verdict; ``facts`` are those that touched it."""
        self.reasons[reason] += 1
        for kind in {fact.kind for fact in facts} or {NO_FAULT}:
            self.verdicts[verdict.value, kind] += 1

    def merge(self, other: Coverage) -> None:
        """Add the counts of another worker."""
        self.histories += other.histories
        self.transitions.update(other.transitions)
        self.reasons.update(other.reasons)
        self.faults.update(other.faults)
        self.verdicts.update(other.verdicts)

    def share(self, verdict: Verdict, kind: str) -> float | None:
        """The share of a verdict among the cells that a fault kind touched; ``None`` if it touched none."""
        total = sum(self.verdicts[each.value, kind] for each in Verdict)
        return self.verdicts[verdict.value, kind] / total if total else None

    def violations(self, bounds: CoverageBounds) -> Iterator[Violation]:
        """What occurred too seldom, and the fault kinds with more errors than recorded."""
        counts = [(" x ".join(pair), self.transitions[pair]) for pair in bounds.transitions]
        counts += [(reason, self.reasons[reason]) for reason in bounds.reasons]
        counts += [(kind, self.faults[kind]) for kind in bounds.error_shares if kind != NO_FAULT]
        for what, times in counts:
            if times < bounds.least:
                yield Violation("h", f"{what}: {times} times, at least {bounds.least}")
        for kind in sorted({kind for _, kind in self.verdicts} | set(bounds.error_shares)):
            share, most = self.share(Verdict.ERROR, kind), bounds.error_shares.get(kind)
            if most is None:
                yield Violation("h", f"{kind}: no bound of its errors is recorded")
            elif share is not None and share > most:
                yield Violation("h", f"{kind}: {share:.2%} errors, at most {most:.2%} are allowed")

    def table(self) -> str:
        """All counts as text, for people."""
        lines = [f"{self.histories} histories", "", "transitions"]
        lines += align([(*pair, str(times)) for pair, times in sorted(self.transitions.items())])
        for title, counter in (("reasons", self.reasons), ("histories with faults", self.faults)):
            lines += ["", title, *align([(name, str(times)) for name, times in sorted(counter.items())])]
        lines += ["", "share of verdicts by kind of fault", *align(self._shares())]
        return "\n".join(lines)

    def _shares(self) -> list[tuple[str, ...]]:
        rows = [("", *(each.value for each in Verdict))]
        for kind in sorted({kind for _, kind in self.verdicts}):
            shares = [self.share(each, kind) or 0.0 for each in Verdict]
            rows.append((kind, *(f"{share:.2%}" for share in shares)))
        return rows
