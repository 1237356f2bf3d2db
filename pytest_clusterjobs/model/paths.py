"""Paths and other text of the system, in which Python represents bytes that are not UTF-8 as surrogates."""

from __future__ import annotations

import os
from pathlib import Path


def legible(path: str | os.PathLike[str]) -> str:
    r"""A path as text that files, reports and terminals can hold: bytes that are no UTF-8 as ``\xff``."""
    return os.fspath(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def utf8(text: str | os.PathLike[str]) -> str:
    """A path or variable of this process as text whose bytes :func:`to_bytes` gives back, whatever the locale here."""
    return os.fsencode(text).decode("utf-8", "surrogateescape")


def to_bytes(text: str) -> bytes:
    """What a job gets: UTF-8, and the bytes that :func:`utf8` has hidden. Raises ValueError for other surrogates."""
    return text.encode("utf-8", "surrogateescape")


def is_still_at(path: Path, descriptor: int) -> bool:
    """Whether ``path`` still leads to what ``descriptor`` is open on; a disk in trouble is no proof that it does not."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return os.path.samestat(found, os.fstat(descriptor))
