"""The small notations of a matrix, parsed once into typed values.

Every function raises ValueError with the fix.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from ..model import Range
from ..model.notation import DURATION_PARTS
from ..model.notation import parse_duration
from ..model.text import quoted

_SIGN = r"(?:>=|<=|==|>|<)?\s*"
_PARTS = DURATION_PARTS
_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
DURATION_RANGE_PATTERN = rf"^(?:>=|<=|>|<)\s*{_PARTS}$|^{_PARTS}\s*\.\.\s*{_PARTS}$"
COUNT_RANGE_PATTERN = rf"^{_SIGN}[0-9]+$|^[0-9]+\s*\.\.\s*[0-9]+$"
TOLERANCE_PATTERN = rf"^(?:({_NUMBER})%|([+-])({_NUMBER})%|-({_NUMBER})%\.\.\+({_NUMBER})%)$"

_TOLERANCE = re.compile(TOLERANCE_PATTERN)
_COMPARISON = re.compile(r"(>=|<=|==|>|<)?\s*(\S.*)")


def parse_range(text: str, number: Callable[[str], float]) -> Range:
    """The interval of ``>=1``, ``<10``, ``2..5``, ``==3`` or ``3``; ``number`` reads one bound."""
    low, dots, high = text.partition("..")
    if dots:
        bounds = Range(low=number(low.strip()), high=number(high.strip()), text=text)
        if bounds.low is not None and bounds.high is not None and bounds.low > bounds.high:
            raise ValueError(f"{quoted(text)}: the lower bound is above the upper one")
        return bounds
    match = _COMPARISON.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{quoted(text)} is not a valid range: write '>=1', '<10', '2..5' or 3")
    sign, bound = match[1], number(match[2])
    if sign in (None, "=="):
        return Range(low=bound, high=bound, text=text)
    if sign in (">", ">="):
        return Range(low=bound, low_open=sign == ">", text=text)
    return Range(high=bound, high_open=sign == "<", text=text)


def parse_count_range(text: str) -> Range:
    """A range of whole numbers from 0, for ``restarts`` and ``heartbeats``."""
    bounds = parse_range(text, _count)
    if bounds.high is not None and bounds.high_open and bounds.high <= 0:
        raise ValueError(f"{quoted(text)} contains no number")
    return bounds


def parse_duration_range(text: str) -> Range:
    """A range of durations, in seconds, for ``run_time``."""
    bounds = parse_range(text, parse_duration)
    if bounds.low == bounds.high:
        one = text.strip("= ")
        hint = f"write '<{one}' or '>={one}'" if ".." not in one else "write bounds that differ"
        raise ValueError(f"{quoted(text)} means exactly that duration, which no run has: {hint}")
    return bounds


def parse_tolerance(text: str) -> tuple[float | None, float | None]:
    """Below and above, as fractions: ``5%`` both sides, ``-5%`` or ``+5%`` one side, ``-5%..+20%``."""
    match = _TOLERANCE.fullmatch(text) if len(text) <= 60 else None
    if match is None:
        raise ValueError(f"{quoted(text)} is not a valid tolerance: write {_tolerance_hint(text)}")
    both, sign, one, below, above = match.groups()
    if both is not None:
        return _fraction(both), _fraction(both)
    if sign is not None:
        return (_fraction(one), None) if sign == "-" else (None, _fraction(one))
    return _fraction(below), _fraction(above)


def _tolerance_hint(text: str) -> str:
    """The probable intention of an invalid tolerance, in the right spelling."""
    signless = re.fullmatch(rf"[-+]?({_NUMBER})%?|-?({_NUMBER})%?\s*\.\.\s*\+?({_NUMBER})%?", text.strip())
    if signless is None or len(text) > 60:
        return "5%, -5%, +5% or -5%..+20%"
    one, below, above = signless.groups()
    return f"{one}%, -{one}% or +{one}%" if one is not None else f"-{below}%..+{above}%"


def parse_number(text: str) -> float:
    """A finite decimal number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or "_" in text:
        raise ValueError(f"expected a number, not {quoted(text)}")
    return value


def _count(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise ValueError(f"expected a whole number, not {quoted(text)}")
    return float(text)


def _fraction(text: str) -> float:
    return float(text) / 100
