"""The small notations of a matrix, parsed once into typed values. Every function raises ValueError with the fix."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from ..jobs import Range
from .errors import quoted

_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_PARTS = rf"(?=[0-9])(?:({_NUMBER})d)?(?:({_NUMBER})h)?(?:({_NUMBER})m)?(?:({_NUMBER})s)?(?:({_NUMBER})ms)?"
_SIGN = r"(?:>=|<=|==|>|<)?\s*"
DURATION_PATTERN = f"^{_PARTS}$"
DURATION_RANGE_PATTERN = rf"^(?:>=|<=|>|<)\s*{_PARTS}$|^{_PARTS}\s*\.\.\s*{_PARTS}$"
COUNT_RANGE_PATTERN = rf"^{_SIGN}[0-9]+$|^[0-9]+\s*\.\.\s*[0-9]+$"
SIZE_PATTERN = rf"^({_NUMBER}) ?(B|[kK]B|MB|GB|TB|KiB|MiB|GiB|TiB)$"
TOLERANCE_PATTERN = rf"^(?:({_NUMBER})%|([+-])({_NUMBER})%|-({_NUMBER})%\.\.\+({_NUMBER})%)$"

_DURATION = re.compile(DURATION_PATTERN)
_SIZE = re.compile(SIZE_PATTERN)
_TOLERANCE = re.compile(TOLERANCE_PATTERN)
_BARE_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]*)?")
_COMPARISON = re.compile(r"(>=|<=|==|>|<)?\s*(\S.*)")

_SECONDS = (86400.0, 3600.0, 60.0, 1.0, 0.001)
_BYTES = {"B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12} | {
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
LONGEST = 366 * 86400.0
"""Seconds; the longest duration that makes sense for a job."""


def parse_duration(text: str) -> float:
    """Seconds of ``90s``, ``20m``, ``1h30m``, ``1.5h``, ``250ms``; more than 0, at most 366 days."""
    if _BARE_NUMBER.fullmatch(text):
        raise ValueError(f"a duration needs a unit: {text}s, {text}m or {text}h")
    match = _DURATION.fullmatch(text) if len(text) <= 60 else None
    if match is None:
        raise ValueError(f"{quoted(text)} is no duration; write 250ms, 90s, 20m, 1h30m or 2d")
    seconds = sum(float(part) * unit for part, unit in zip(match.groups(), _SECONDS, strict=True) if part)
    if not 0 < seconds <= LONGEST:
        raise ValueError(f"a duration must be more than 0 and at most 366d, not {text}")
    return seconds


def parse_size(text: str) -> int:
    """Bytes of ``64GiB``, ``512MB``; more than 0, at most 1024 TiB."""
    if _BARE_NUMBER.fullmatch(text):
        raise ValueError(f"a size needs a unit: {text}GiB, {text}GB, {text}MiB or {text}MB")
    match = _SIZE.fullmatch(text) if len(text) <= 60 else None
    if match is None:
        raise ValueError(f"{quoted(text)} is no size; write 512MB, 64GiB, 1.5TiB")
    size = round(float(match[1]) * _BYTES[match[2]])
    if not 0 < size <= 2**50:
        raise ValueError(f"a size must be more than 0 and at most 1024TiB, not {text}")
    return size


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
        raise ValueError(f"{quoted(text)} is no range; write '>=1', '<10', '2..5' or 3")
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
        raise ValueError(f"{quoted(text)} leaves no number")
    return bounds


def parse_duration_range(text: str) -> Range:
    """A range of durations, in seconds, for ``run_time``."""
    bounds = parse_range(text, parse_duration)
    if bounds.low == bounds.high:
        one = text.strip("= ")
        hint = f"write '<{one}' or '>={one}'" if ".." not in one else "leave room between the bounds"
        raise ValueError(f"{quoted(text)} means exactly that long, and no run is: {hint}")
    return bounds


def parse_tolerance(text: str) -> tuple[float | None, float | None]:
    """Below and above, as fractions: ``5%`` both sides, ``-5%`` or ``+5%`` one side, ``-5%..+20%``."""
    match = _TOLERANCE.fullmatch(text) if len(text) <= 60 else None
    if match is None:
        raise ValueError(f"{quoted(text)} is no tolerance; write {_meant_tolerance(text)}")
    both, sign, one, below, above = match.groups()
    if both is not None:
        return _fraction(both), _fraction(both)
    if sign is not None:
        return (_fraction(one), None) if sign == "-" else (None, _fraction(one))
    return _fraction(below), _fraction(above)


def _meant_tolerance(text: str) -> str:
    """How to spell what may be meant by a text that is no tolerance."""
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
        raise ValueError(f"a number is needed, not {quoted(text)}")
    return value


def _count(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise ValueError(f"a whole number is needed, not {quoted(text)}")
    return float(text)


def _fraction(text: str) -> float:
    return float(text) / 100
