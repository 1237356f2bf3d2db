"""How the ledger's file stays consistent: with a write-ahead log where that is safe, else a rollback journal.

With a write-ahead log readers and writers do not block each other, but its index is memory that all of them
share. No network file system provides that between hosts, even where it seems to work.
"""

from __future__ import annotations

import os
import re
import sqlite3
from pathlib import Path

LOCAL = frozenset(
    [
        "bcachefs",
        "btrfs",
        "exfat",
        "ext2",
        "ext3",
        "ext4",
        "f2fs",
        "fuseblk",
        "jfs",
        "ntfs3",
        "overlay",
        "ramfs",
        "reiserfs",
        "tmpfs",
        "vfat",
        "xfs",
        "zfs",
    ]
)
"""File systems local to one host. All others get the rollback journal, which is correct everywhere."""


def file_system(folder: Path) -> str | None:
    """The type of the file system of a folder, as mount(8) names it; None if it cannot be determined."""
    try:
        descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
        try:
            about = Path(f"/proc/self/fdinfo/{descriptor}").read_text()
        finally:
            os.close(descriptor)
        mounts = Path("/proc/self/mountinfo").read_text("utf-8", "replace")
    except OSError:
        return None
    found = re.search(r"^mnt_id:\s*(\d+)$", about, re.MULTILINE)
    return mounted_type(found[1], mounts) if found else None


def mounted_type(mount: str, mounts: str) -> str | None:
    """The type of the mount with this id, from the text of /proc/PID/mountinfo (proc_pid_mountinfo(5))."""
    for line in mounts.splitlines():
        if line.split(" ", 1)[0] == mount:
            # A dash ends the optional fields; spaces inside a field are escaped.
            return line.partition(" - ")[2].split(" ")[0] or None
    return None


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another process has locked the file."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def avoid_shared_memory(db: sqlite3.Connection) -> None:
    """Avoid the shared index if another host left the file with a write-ahead log.

    Call before the first read.
    """
    db.execute("PRAGMA locking_mode = EXCLUSIVE")


def use_rollback_journal(db: sqlite3.Connection) -> None:
    """Use the journal that needs only locks. Ends ``avoid_shared_memory``. Raises sqlite3.Error."""
    db.execute("PRAGMA journal_mode = TRUNCATE")
    # A file server may lose power while this process continues.
    db.execute("PRAGMA synchronous = FULL")
    # Other processes are locked out only at the end of a transaction, where waiting for them costs nothing.
    db.execute("PRAGMA cache_spill = OFF")
    db.execute("PRAGMA locking_mode = NORMAL")
    # Locks are released at the end of the next statement that reads.
    db.execute("SELECT count(*) FROM sqlite_master").fetchone()


def use_write_ahead_log(db: sqlite3.Connection) -> None:
    """Use the faster journal, which needs shared memory. Raises sqlite3.Error."""
    (mode,) = db.execute("PRAGMA journal_mode").fetchone()
    if mode != "wal":
        try:
            (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            if is_busy(error):
                raise
            mode = None
    if mode != "wal":
        use_rollback_journal(db)
        return
    # NORMAL survives the death of this process at any time. A power cut of the host may lose the last
    # transactions, which are recovered through the jobs' tokens.
    db.execute("PRAGMA synchronous = NORMAL")
