"""Counts what histories have exercised, over many workers: rule (h)."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping

from ...model import Verdict
from ...model.tables import align
from .facts import Fact
from .facts import Violation

LEAST = 100
"""How often each expected combination has to occur."""

NO_FAULT = "none"
"""Stands for the fault kinds of a cell or history without faults."""

STATE_EVENT = "state x event"
REASON_FAULT = "reason x fault"
VERDICT_FAULT = "verdict x fault"

Pair = tuple[str, str]


class Coverage:
    """Counters by table and pair of words. Addition is commutative, so workers can be merged in any order."""

    __slots__ = ("histories", "tables")

    def __init__(self) -> None:
        self.histories = 0
        self.tables: dict[str, dict[Pair, int]] = {STATE_EVENT: {}, REASON_FAULT: {}, VERDICT_FAULT: {}}

    def transition(self, state: str, event: str, times: int = 1) -> None:
        """An attempt in this state had this event."""
        self._add(STATE_EVENT, (state, event), times)

    def verdict(self, reason: str, verdict: Verdict, facts: Iterable[Fact]) -> None:
        """A cell ended with this reason and verdict; ``facts`` are those that touched it."""
        for kind in sorted({fact.kind for fact in facts}) or [NO_FAULT]:
            self._add(REASON_FAULT, (reason, kind), 1)
            self._add(VERDICT_FAULT, (verdict.value, kind), 1)

    def history(self) -> None:
        """A history has ended."""
        self.histories += 1

    def merge(self, other: Coverage) -> None:
        """Add the counts of another worker."""
        self.histories += other.histories
        for name, counts in other.tables.items():
            for pair, times in counts.items():
                self._add(name, pair, times)

    def as_json(self) -> dict[str, object]:
        """All counts in JSON types, for a worker's answer."""
        tables = {
            name: [[*pair, n] for pair, n in sorted(counts.items())] for name, counts in self.tables.items()
        }
        return {"histories": self.histories, "tables": tables}

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> Coverage:
        """The inverse of ``as_json``."""
        found = cls()
        histories, tables = data["histories"], data["tables"]
        assert isinstance(histories, int)
        assert isinstance(tables, dict)
        found.histories = histories
        for name, rows in tables.items():
            for first, second, times in rows:
                found._add(name, (first, second), times)
        return found

    def share(self, verdict: Verdict, kind: str) -> float | None:
        """The share of a verdict among the cells that a fault kind touched; ``None`` if it touched none."""
        counts = self.tables[VERDICT_FAULT]
        total = sum(counts.get((each.value, kind), 0) for each in Verdict)
        return counts.get((verdict.value, kind), 0) / total if total else None

    def violations(
        self,
        expected: Mapping[str, Iterable[Pair]],
        error_shares: Mapping[str, float],
        *,
        least: int = LEAST,
    ) -> Iterator[Violation]:
        """What occurred too seldom, and the fault kinds with more errors than recorded.

        ``expected`` has the pairs of each table that must occur, ``error_shares`` the highest share of
        ``error`` by fault kind.
        """
        for name, pairs in expected.items():
            for pair in sorted(pairs):
                times = self.tables.get(name, {}).get(pair, 0)
                if times < least:
                    yield Violation("h", f"{name}: {' x '.join(pair)}: {times} times, at least {least}")
        for kind, most in sorted(error_shares.items()):
            share = self.share(Verdict.ERROR, kind)
            if share is None or share > most:
                seen = "never occurred" if share is None else f"{share:.2%} errors"
                yield Violation("h", f"{kind}: {seen}, at most {most:.2%} are allowed")

    def table(self) -> str:
        """All counts as text, for people."""
        lines = [f"{self.histories} histories"]
        for name, counts in self.tables.items():
            if counts and name != VERDICT_FAULT:
                rows = [(*pair, str(times)) for pair, times in sorted(counts.items())]
                lines += ["", name, *align(rows)]
        lines += ["", "share of verdicts by fault kind", *align(self._shares())]
        return "\n".join(lines)

    def _shares(self) -> list[tuple[str, ...]]:
        kinds = sorted({kind for _, kind in self.tables[VERDICT_FAULT]})
        rows = [("", *(each.value for each in Verdict))]
        for kind in kinds:
            shares = [self.share(each, kind) or 0.0 for each in Verdict]
            rows.append((kind, *(f"{share:.2%}" for share in shares)))
        return rows

    def _add(self, name: str, pair: Pair, times: int) -> None:
        counts = self.tables.setdefault(name, {})
        counts[pair] = counts.get(pair, 0) + times
