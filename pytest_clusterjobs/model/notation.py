"""Durations and sizes as text: ``90s``, ``1h30m``, ``64GiB``."""

from __future__ import annotations

import re

from .text import quoted

_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
DURATION_PARTS = (
    rf"(?=[0-9])(?:({_NUMBER})d)?(?:({_NUMBER})h)?(?:({_NUMBER})m)?(?:({_NUMBER})s)?(?:({_NUMBER})ms)?"
)
DURATION_PATTERN = f"^{DURATION_PARTS}$"
SIZE_PATTERN = rf"^({_NUMBER}) ?(B|[kK]B|MB|GB|TB|KiB|MiB|GiB|TiB)$"

_DURATION = re.compile(DURATION_PATTERN)
_SIZE = re.compile(SIZE_PATTERN)
_BARE_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]*)?")

_SECONDS = (86400.0, 3600.0, 60.0, 1.0, 0.001)
_BYTES = {"B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12} | {
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
MAX_DURATION_SECONDS = 366 * 86400.0
"""Seconds; the longest duration that makes sense for a job."""
MAX_SIZE_BYTES = 2**50
"""Bytes; the largest size that makes sense for a node."""


def parse_duration(text: str) -> float:
    """Return the seconds of ``90s``, ``20m``, ``1h30m``, ``1.5h``, ``250ms``.

    They are more than 0 and at most 366 days. Raises ValueError with the fix.
    """
    if _BARE_NUMBER.fullmatch(text):
        raise ValueError(f"a duration needs a unit: {text}s, {text}m or {text}h")
    match = _DURATION.fullmatch(text) if len(text) <= 60 else None
    if match is None:
        raise ValueError(f"{quoted(text)} is not a valid duration: write 250ms, 90s, 20m, 1h30m or 2d")
    seconds = sum(float(part) * unit for part, unit in zip(match.groups(), _SECONDS, strict=True) if part)
    if not 0 < seconds <= MAX_DURATION_SECONDS:
        raise ValueError(f"a duration must be more than 0 and at most 366d, not {text}")
    return seconds


def format_duration(seconds: float | None, unknown: str = "-") -> str:
    """A duration as all output for people shows it; a negative one as 0.

    ``0.6s`` below two minutes, ``12m05s`` below two hours, else ``12h05m``; ``unknown`` for None.
    """
    if seconds is None:
        return unknown
    if seconds < 120:
        return f"{max(0.0, seconds):.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02}s" if minutes < 120 else f"{minutes // 60}h{minutes % 60:02}m"


def parse_size(text: str) -> int:
    """Return the bytes of ``64GiB``, ``512MB``.

    They are more than 0 and at most 1024 TiB. Raises ValueError with the fix.
    """
    if _BARE_NUMBER.fullmatch(text):
        raise ValueError(f"a size needs a unit: {text}GiB, {text}GB, {text}MiB or {text}MB")
    match = _SIZE.fullmatch(text) if len(text) <= 60 else None
    if match is None:
        raise ValueError(f"{quoted(text)} is not a valid size: write 512MB, 64GiB or 1.5TiB")
    size = round(float(match[1]) * _BYTES[match[2]])
    if not 0 < size <= MAX_SIZE_BYTES:
        raise ValueError(f"a size must be more than 0 and at most 1024TiB, not {text}")
    return size
