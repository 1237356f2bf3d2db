"""Whose files are acted on: the caller's own, root's, and those that the caller has declared safe.

A ledger says which processes and jobs to end and which backends to import. Git asks the same of a
repository before it runs what its configuration names (``safe.directory``).
"""

from __future__ import annotations

import os
from pathlib import Path

from .ledger import LedgerError

VARIABLE = "CLUSTERJOBS_SAFE_DIRECTORY"
"""Names folders, separated as in PATH, whose contents are trusted, whichever user owns them; ``*`` is all."""


class Untrusted(LedgerError):
    """A run belongs to another user; the message is one line that says what to do."""


def is_trusted(path: Path) -> bool:
    """Whether a file or folder, and the folder that it lies in, belong to a user whose word counts here."""
    return _is_declared(path) or all(_owner(each) in _users() for each in (path, path.parent))


def is_own(folder: Path) -> bool:
    """Whether a folder, and what it leads to as a link, belongs to such a user."""
    return all(_is_declared(each) or _owner(each) in _users() for each in (folder, folder.resolve()))


def demand_trust(path: Path) -> None:
    """Raise Untrusted for what ``is_trusted`` does not accept."""
    if not is_trusted(path):
        raise Untrusted(
            f"{path} belongs to another user (uid {_owner(path)}), and nothing is imported, cancelled or "
            f"written on its word: to trust it, set {VARIABLE}={path.parent}"
        )


def _owner(path: Path) -> int | None:
    try:
        return path.lstat().st_uid
    except OSError:
        return None


def _users() -> set[int]:
    """The caller, root, and the user who has become root by sudo."""
    me = os.geteuid()
    sudo = os.environ.get("SUDO_UID", "")
    return {me, 0, int(sudo)} if me == 0 and sudo.isdecimal() else {me, 0}


def _is_declared(path: Path) -> bool:
    named = [entry for entry in os.environ.get(VARIABLE, "").split(os.pathsep) if entry]
    real = path.resolve()
    return any(entry == "*" or real.is_relative_to(Path(entry).resolve()) for entry in named)
