"""How the ledger's file is kept whole: by a write-ahead log where that is safe, else by a rollback journal.

A write-ahead log lets readers and writers wait for nobody, but its index is memory that all of them
share, which no network file system provides between hosts, not even where it seems to work.
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
"""File systems of one host. What is not known to be one gets the rollback journal, which is right everywhere."""


def file_system(folder: Path) -> str | None:
    """The type of the file system that holds a folder, as mount(8) calls it; None if that cannot be told."""
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
    """The type of the mount with this id, by the text of /proc/PID/mountinfo (proc_pid_mountinfo(5))."""
    for line in mounts.splitlines():
        if line.split(" ", 1)[0] == mount:
            # A number of optional fields ends with a dash; spaces inside of a field are escaped.
            return line.partition(" - ")[2].split(" ")[0] or None
    return None


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another process has locked the file."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def share_no_memory(db: sqlite3.Connection) -> None:
    """Before anything is read: a file that another host left with a write-ahead log is opened without its index."""
    db.execute("PRAGMA locking_mode = EXCLUSIVE")


def use_rollback_journal(db: sqlite3.Connection) -> None:
    """The journal that needs locks and nothing else; ends ``share_no_memory``. Raises sqlite3.Error."""
    db.execute("PRAGMA journal_mode = TRUNCATE")
    # A server may lose power while this process goes on.
    db.execute("PRAGMA synchronous = FULL")
    # Nothing is locked for others before the transaction's end, where waiting for them costs nothing.
    db.execute("PRAGMA cache_spill = OFF")
    db.execute("PRAGMA locking_mode = NORMAL")
    # Locks are let go of at the end of the next statement that reads.
    db.execute("SELECT count(*) FROM sqlite_master").fetchone()


def use_write_ahead_log(db: sqlite3.Connection) -> None:
    """The faster journal, where shared memory can be had. Raises sqlite3.Error."""
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
    # NORMAL survives the death of this process at any instant; a host's power cut may take the
    # last transactions, which the jobs' tokens bring back.
    db.execute("PRAGMA synchronous = NORMAL")
