"""Noticing that what this process has open was removed or moved under it."""

from __future__ import annotations

import os
from pathlib import Path


def is_still_at(path: Path, descriptor: int) -> bool:
    """Whether ``path`` still leads to what ``descriptor`` is open on; a disk in trouble is no proof that it does not."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return os.path.samestat(found, os.fstat(descriptor))
