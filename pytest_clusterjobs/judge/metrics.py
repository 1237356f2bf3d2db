"""Numbers that a job printed, held against their bounds."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence

from ..jobs import MetricExpectation
from ..jobs import Miss
from .text import quoted

_NUMBER = re.compile(
    r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?(?:nan|inf(?:inity)?)", re.ASCII | re.I
)
_ROUNDING = 1e-9
"""Of the reference: 0.3 with a tolerance of 10 % has to take 0.27, whatever binary fractions make of it."""

_PICKS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "min": min,
    "max": max,
    "mean": statistics.fmean,
    "median": statistics.median,
}


class Unreadable(Exception):
    """A metric without a usable number; the message says why."""


def read_metric(metric: MetricExpectation, text: str) -> float:
    """The metric's number in ``text``. Raises Unreadable if there is none, or it is not finite.

    A number is written as Python and C do (``3``, ``-0.5``, ``1e3``); ``1,234`` is none, since its
    comma may as well be a decimal one. ``min``, ``max``, ``mean`` and ``median`` need every match to be a number.
    """
    pattern = re.compile(metric.pattern, re.MULTILINE)
    group = 1 if pattern.groups else 0
    found = [match[group] for match in pattern.finditer(text)]
    if not found:
        raise Unreadable("not in the log")
    if metric.pick == "last":
        return _number(found[-1])
    if metric.pick == "first":
        return _number(found[0])
    values = [_number(each) for each in found]
    try:
        value = _PICKS[metric.pick](values)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise Unreadable(f"{metric.pick} of {len(found)} values is not finite")
    return value


def metric_miss(name: str, metric: MetricExpectation, value: float) -> Miss | None:
    """What is unmet of the bounds of ``metric``; each of them has to hold."""
    low, high = bounds(metric)
    if low <= value <= high:
        return None
    return Miss(f"metrics.{name}", wanted(metric), f"{value:g}")


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
            lows.append(metric.reference - size * (metric.tolerance_below + _ROUNDING))
        if metric.tolerance_above is not None:
            highs.append(metric.reference + size * (metric.tolerance_above + _ROUNDING))
    return max(lows), min(highs)


def wanted(metric: MetricExpectation) -> str:
    """The bounds for people: ``>= 3 and within -5% of 100``."""
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


def _number(text: str | None) -> float:
    text = (text or "").strip()
    if _NUMBER.fullmatch(text) is None:
        raise Unreadable(f"{quoted(text)} is no number")
    value = float(text)
    if not math.isfinite(value):
        raise Unreadable(f"{quoted(text)} is not finite")
    return value
