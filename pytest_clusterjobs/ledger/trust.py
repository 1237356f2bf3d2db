"""Which files are trusted: the caller's own, root's, and those that the caller has declared safe.

A ledger determines which processes and jobs to end and which backends to import. Git makes the same check of
a repository before it runs what its configuration names (``safe.directory``).
"""

from __future__ import annotations

import os
from pathlib import Path

from .ledger import LedgerError

SAFE_DIRECTORY_VARIABLE = "CLUSTERJOBS_SAFE_DIRECTORY"
"""Folders, separated as in PATH, whose contents are trusted whichever user owns them; ``*`` means all."""


class Untrusted(LedgerError):
    """A run belongs to another user. The message is one line that says what to do."""


def is_trusted(path: Path) -> bool:
    """Whether a file or folder, and the folder that contains it, belong to a trusted user."""
    return _is_declared(path) or all(_owner(each) in _users() for each in (path, path.parent))


def is_own(folder: Path) -> bool:
    """Whether a folder, and its target if it is a link, belong to such a user."""
    return all(_is_declared(each) or _owner(each) in _users() for each in (folder, folder.resolve()))


def demand_trust(path: Path) -> None:
    """Raise Untrusted unless ``is_trusted`` accepts the path."""
    if not is_trusted(path):
        raise Untrusted(
            f"{path} belongs to another user (uid {_owner(path)}), so nothing is imported, cancelled or "
            f"written because of it: to trust it, set {SAFE_DIRECTORY_VARIABLE}={path.parent}"
        )


def _owner(path: Path) -> int | None:
    try:
        return path.lstat().st_uid
    except OSError:
        return None


def _users() -> set[int]:
    """The caller, root, and the user who became root with sudo."""
    user = os.geteuid()
    sudo = os.environ.get("SUDO_UID", "")
    return {user, 0, int(sudo)} if user == 0 and sudo.isdecimal() else {user, 0}


def _is_declared(path: Path) -> bool:
    named = [entry for entry in os.environ.get(SAFE_DIRECTORY_VARIABLE, "").split(os.pathsep) if entry]
    real = path.resolve()
    return any(entry == "*" or real.is_relative_to(Path(entry).resolve()) for entry in named)
