"""Keeping secrets out of everything that is kept: done where text comes in, before anybody quotes it."""

from __future__ import annotations

import os
from collections.abc import Iterable

SHORTEST = 4
"""Characters; taking out shorter values would only garble text."""


def redact(text: str, secrets: Iterable[str]) -> str:
    """``text`` without the values of the named environment variables."""
    values = {os.environ.get(name, "") for name in secrets}
    for value in sorted(values, key=len, reverse=True):
        if len(value) >= SHORTEST:
            text = text.replace(value, "***")
    return text
