"""Paths and other text of the system, in which Python represents bytes that are not UTF-8 as surrogates."""

from __future__ import annotations

import os
from pathlib import Path


def legible(path: str | os.PathLike[str]) -> str:
    r"""A path as text that files, reports and terminals can hold: bytes that are no UTF-8 as ``\xff``."""
    return os.fspath(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def utf8(text: str | os.PathLike[str]) -> str:
    """A path or variable of this process as text that :func:`to_bytes` converts back, in any locale."""
    return os.fsencode(text).decode("utf-8", "surrogateescape")


def to_bytes(text: str) -> bytes:
    """The bytes that a job gets: UTF-8, and those hidden by :func:`utf8`.

    Raises ValueError for other surrogates.
    """
    return text.encode("utf-8", "surrogateescape")


def is_still_at(path: Path, descriptor: int) -> bool:
    """Whether ``path`` still leads to the file open as ``descriptor``; an I/O error proves nothing."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return os.path.samestat(found, os.fstat(descriptor))
