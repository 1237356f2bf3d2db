"""Paths and other text of the system, in which Python hides bytes that are no UTF-8 as surrogates."""

from __future__ import annotations

import os


def legible(path: str | os.PathLike[str]) -> str:
    r"""A path as text that files, reports and terminals can hold: bytes that are no UTF-8 as ``\xff``."""
    return os.fspath(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def utf8(text: str | os.PathLike[str]) -> str:
    """A path or variable of this process as text whose bytes :func:`to_bytes` gives back, whatever the locale here."""
    return os.fsencode(text).decode("utf-8", "surrogateescape")


def to_bytes(text: str) -> bytes:
    """What a job gets: UTF-8, and the bytes that :func:`utf8` has hidden. Raises ValueError for other surrogates."""
    return text.encode("utf-8", "surrogateescape")
