"""How durations and sizes are written, in a matrix and in Python.

Every function raises ValueError with the fix.
"""

from __future__ import annotations

import re

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
LONGEST = 366 * 86400.0
"""Seconds; the longest duration that makes sense for a job."""
LARGEST = 2**50
"""Bytes; the largest size that makes sense for a node."""


def quoted(text: object, limit: int = 60) -> str:
    """A value as a message shows it: in quotes, escaped, bounded."""
    plain = str(text)
    return repr(plain if len(plain) <= limit else plain[: limit - 3] + "...")


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
    if not 0 < size <= LARGEST:
        raise ValueError(f"a size must be more than 0 and at most 1024TiB, not {text}")
    return size
