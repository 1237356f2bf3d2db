"""Messages of clusters and SDKs, as far as they are passed on."""

from __future__ import annotations

from ..model.text import one_line

MAX_MESSAGE_CHARACTERS = 500
"""The most characters of a cluster's message that are passed on."""


def error_line(text: str) -> str:
    """An error's text on one line, with at most :data:`MAX_MESSAGE_CHARACTERS` characters."""
    return one_line(text, MAX_MESSAGE_CHARACTERS)
