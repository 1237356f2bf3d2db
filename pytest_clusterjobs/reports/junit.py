"""The properties of a cell in pytest's JUnit XML, and in every other report that shows properties."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any

from ..model import Cell
from ..model.records import Result
from ..model.text import printable

PREFIX = "clusterjobs."
"""The prefix of this plugin's property names."""

FIELDS = "fields"
"""The prefix of property names that come from users' hooks."""


def properties_of(cell: Cell, result: Result, verdict: str | None = None) -> list[tuple[str, object]]:
    """The ``clusterjobs.*`` properties of a finished cell, without unknown values.

    ``verdict`` is the cell's verdict, if pytest reported another one than the job's.
    """
    outcome = result.outcome
    # Only texts from a cluster are unchecked, so they are made safe to show.
    values: dict[str, object] = {
        "backend": cell.backend,
        "job_id": _safe(result.job_id),
        "verdict": result.judgement.verdict.value,
        "reason": str(outcome.reason),
        "reason_source": outcome.source.value,
        "exit_code": outcome.exit_code,
        "restarts": outcome.restarts,
        "attempt": result.attempt,
        "nodes": cell.spec.nodes,
        "queue_seconds": _rounded(outcome.queue_seconds),
        "run_seconds": _rounded(outcome.run_seconds),
        "cost": None if outcome.cost is None else round(outcome.cost, 4),
        "url": _safe(result.url),
        **{axis: value for axis, value in cell.axes.items() if axis != "nodes"},
    }
    known = [(f"{PREFIX}{name}", value) for name, value in values.items() if value is not None]
    fields = [(f"{PREFIX}{FIELDS}.{name}", value) for name, value in result.fields.items()]
    judged = result.judgement.verdict.value
    return list(with_verdict([*known, *fields], judged, verdict or judged))


def with_verdict(
    properties: Iterable[tuple[str, Any]], judged: str, verdict: str
) -> Iterator[tuple[str, object]]:
    """The properties with the cell's verdict, and with the job's own verdict if that differs."""
    for name, value in properties:
        if name == f"{PREFIX}verdict":
            yield name, verdict
            if verdict != judged:
                yield f"{PREFIX}job_verdict", judged
        elif name != f"{PREFIX}job_verdict":
            yield name, value


def _safe(text: str | None) -> str | None:
    return None if text is None else printable(text, 1000)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
