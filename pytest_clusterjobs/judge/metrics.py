"""Numbers that a job printed, compared with their bounds."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence

from ..model import MetricExpectation
from ..model import Mismatch
from .captures import Capture
from .lines import lines
from .lines import lines_from_the_end
from .logs import Log
from .naming import metric_capture
from .patterns import BadPattern
from .tokens import number
from .tokens import Unreadable

_ROUNDING_SHARE = 1e-9
"""A share of the reference: 0.3 with a tolerance of 10 % must accept 0.27, despite binary fractions."""

_SINGLE_PICKS = {"last", "first"}
_PICKS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "min": min,
    "max": max,
    "mean": statistics.fmean,
    "median": statistics.median,
}


def read_metric(metric: MetricExpectation, logs: Sequence[Log]) -> float:
    """The metric's number in ``logs``. Raises Unreadable if there is none, or it is not finite.

    Each line is searched by itself. ``last`` and ``first`` take one occurrence of each rank that has any; the
    last (first) rank's is the metric's number, unless another rank's is out of bounds. The other picks take
    all occurrences of all ranks. Each occurrence that is taken must be a number, as Python and C write it
    (``3``, ``-0.5``, ``1e3``). ``1,234`` is not a number, since its comma may also be a decimal comma.
    """
    try:
        capture = metric_capture(metric.pattern)
    except BadPattern as error:
        raise Unreadable(str(error)) from None
    several = len(logs) > 1
    values = [
        _value(capture, found, log if several else None)
        for log in logs
        for found in _taken(metric, capture, log)
    ]
    if not values:
        raise Unreadable("not in the log")
    if metric.pick in _SINGLE_PICKS:
        low, high = bounds(metric)
        ordered = values if metric.pick == "first" else values[::-1]
        return next((value for value in ordered if not low <= value <= high), ordered[0])
    try:
        value = _PICKS[metric.pick](values)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise Unreadable(f"{metric.pick} of {len(values)} values is not finite")
    return value


def _taken(metric: MetricExpectation, capture: Capture, log: Log) -> Iterator[re.Match[str]]:
    """The occurrences in one rank's log that count."""
    if metric.pick == "last":
        ordered = lines_from_the_end(log.text, capture.literal)
        yield from next((each for line in ordered if (each := capture.occurrences(line))), [])[-1:]
    elif metric.pick == "first":
        ordered = lines(log.text, capture.literal)
        yield from next((each for line in ordered if (each := capture.occurrences(line))), [])[:1]
    else:
        for line in lines(log.text, capture.literal):
            yield from capture.occurrences(line)


def _value(capture: Capture, found: re.Match[str], log: Log | None) -> float:
    text, problem = capture.value(found)
    try:
        if problem:
            raise Unreadable(problem)
        return number(text)
    except Unreadable as error:
        first = not capture.placeholder and capture.pattern.groups > 1
        advice = "; of several groups the first is the number: write {number} in its place" if first else ""
        rank = f" (rank {log.rank})" if log is not None else ""
        raise Unreadable(f"{error}{rank}{advice}") from None


def metric_miss(name: str, metric: MetricExpectation, value: float) -> Mismatch | None:
    """The bounds of ``metric`` that ``value`` does not meet; each of them must hold."""
    low, high = bounds(metric)
    if low <= value <= high:
        return None
    return Mismatch(f"metrics.{name}", bounds_text(metric), f"{value:g}")


def bounds(metric: MetricExpectation) -> tuple[float, float]:
    """The tightest lower and upper bound."""
    lows, highs = [-math.inf], [math.inf]
    if metric.min is not None:
        lows.append(metric.min)
    if metric.max is not None:
        highs.append(metric.max)
    if metric.reference is not None:
        size = abs(metric.reference)
        if metric.tolerance_below is not None:
            lows.append(metric.reference - size * (metric.tolerance_below + _ROUNDING_SHARE))
        if metric.tolerance_above is not None:
            highs.append(metric.reference + size * (metric.tolerance_above + _ROUNDING_SHARE))
    return max(lows), min(highs)


def bounds_text(metric: MetricExpectation) -> str:
    """The bounds in a message: ``>= 3 and within -5% of 100``."""
    parts = []
    if metric.min is not None:
        parts.append(f">= {metric.min:g}")
    if metric.max is not None:
        parts.append(f"<= {metric.max:g}")
    sides = [
        f"{sign}{tolerance:.6%}".rstrip("%").rstrip("0").rstrip(".") + "%"
        for sign, tolerance in (("-", metric.tolerance_below), ("+", metric.tolerance_above))
        if tolerance is not None
    ]
    if metric.reference is not None and sides:
        parts.append(f"within {'..'.join(sides)} of {metric.reference:g}")
    return f"{metric.pick} {' and '.join(parts) or 'a finite number'}"
