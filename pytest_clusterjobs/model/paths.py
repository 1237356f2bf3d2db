"""Files, paths and other text of the system.

Python represents bytes that are not UTF-8 as surrogates.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def legible(path: str | os.PathLike[str]) -> str:
    r"""A path as valid Unicode for files, reports and terminals: other bytes as ``\xff``."""
    return os.fspath(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def utf8(text: str | os.PathLike[str]) -> str:
    """A path or an environment variable as text; :func:`to_bytes` returns its bytes in any locale."""
    return os.fsencode(text).decode("utf-8", "surrogateescape")


def to_bytes(text: str) -> bytes:
    """The UTF-8 bytes of ``text``; those that :func:`utf8` represents as surrogates are unchanged.

    Raises ValueError for other surrogates.
    """
    return text.encode("utf-8", "surrogateescape")


def is_still_at(path: Path, descriptor: int) -> bool:
    """Whether ``path`` is still the file open as ``descriptor``; also true if an I/O error hides it."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return os.path.samestat(found, os.fstat(descriptor))


def replace_file(path: Path, data: bytes, *, mode: int = 0o666, is_durable: bool = False) -> None:
    """Write a file, so that a reader finds either the old or the new content.

    ``mode`` is subject to the umask. With ``is_durable`` the content survives a crash of the machine. Raises
    OSError; the old file is then unchanged.
    """
    draft = path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with open(os.open(draft, flags, mode), "wb") as file:
            file.write(data)
            if is_durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise
