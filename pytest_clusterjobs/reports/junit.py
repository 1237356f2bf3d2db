"""What a cell adds to pytest's own JUnit XML, and to every other report that shows properties."""

from __future__ import annotations

from ..engine.records import Result
from ..jobs import Cell
from ..judge import printable


def properties_of(cell: Cell, result: Result) -> list[tuple[str, object]]:
    """``clusterjobs.*`` properties of a finished cell; what is not known is left out."""
    outcome = result.outcome
    values: dict[str, object] = {
        "backend": cell.backend,
        "job_id": result.job_id,
        "verdict": result.judgement.verdict.value,
        "reason": outcome.reason,
        "reason_source": outcome.source.value,
        "exit_code": outcome.exit_code,
        "restarts": outcome.restarts,
        "attempt": result.attempt,
        "nodes": cell.spec.nodes,
        "queue_seconds": _rounded(outcome.queue_seconds),
        "run_seconds": _rounded(outcome.run_seconds),
        "url": result.url,
        **{axis: value for axis, value in cell.axes.items() if axis != "nodes"},
    }
    return [
        (f"clusterjobs.{name}", printable(value, 1000) if isinstance(value, str) else value)
        for name, value in values.items()
        if value is not None
    ]


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
