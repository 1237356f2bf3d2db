"""The journal mode of a ledger: one that needs shared memory only on local file systems."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from pytest_clusterjobs.ledger import journal_mode
from pytest_clusterjobs.ledger.ledger import Ledger
from pytest_clusterjobs.ledger.ledger import LedgerError
from tests.mounts import elsewhere

MOUNTINFO = r"""22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/root rw
36 27 0:41 / /home/my\040-\040files rw,relatime shared:7 - nfs4 server:/export rw,vers=4.2,local_lock=none
37 27 0:42 / /scratch rw - lustre 10.0.0.1@tcp:/scratch rw,flock
38 27 0:43 / /gpfs rw,relatime - gpfs gpfs rw
39 27 0:44 / /mnt/ssh rw,nosuid,nodev - fuse.sshfs me@there:/ rw,user_id=0
40 27 0:45 / /mnt/c rw,noatime - 9p C:\134 rw,trans=fd
41 27 0:46 / /merged rw,relatime - overlay overlay rw,lowerdir=/a,upperdir=/b - c
42 27 0:47 / /torn rw,relatime -
362 27 0:48 / /else rw - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("mount", "kind", "local"),
    [
        ("27", "ext4", True),
        ("36", "nfs4", False),
        ("37", "lustre", False),
        ("38", "gpfs", False),
        ("39", "fuse.sshfs", False),
        ("40", "9p", False),
        ("41", "overlay", True),
        ("362", "tmpfs", True),
        ("42", None, False),
        ("4", None, False),
    ],
)
def test_the_file_system_of_a_mount_is_found(mount: str, kind: str | None, local: bool) -> None:
    assert journal_mode.mounted_type(mount, MOUNTINFO) == kind
    assert (kind in journal_mode.LOCAL) is local


def test_the_file_system_of_real_folders_is_found(tmp_path: Path) -> None:
    assert journal_mode.file_system(Path("/proc")) == "proc"
    assert journal_mode.file_system(Path("/dev/shm")) == "tmpfs"
    assert journal_mode.file_system(tmp_path / "missing") is None
    (tmp_path / "link").symlink_to("/dev/shm")
    assert journal_mode.file_system(tmp_path / "link") == "tmpfs"


def mode(path: Path) -> str:
    """How the file says it is to be opened: 2 is a write-ahead log, 1 anything else."""
    return {1: "rollback", 2: "wal"}[path.read_bytes()[18]]


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_mode, "file_system", lambda folder: "nfs4")


def test_a_local_ledger_has_a_write_ahead_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_mode, "file_system", lambda folder: "ext4")
    Ledger(tmp_path / "ledger.sqlite").close()
    assert mode(tmp_path / "ledger.sqlite") == "wal"


def test_a_ledger_on_a_network_has_a_rollback_journal_and_is_synced(tmp_path: Path, network: None) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.set_meta(a=1)
    settings = [ledger._rows(f"PRAGMA {name}") for name in ("journal_mode", "synchronous", "locking_mode")]
    assert settings == [[("truncate",)], [(2,)], [("normal",)]]
    # Another process may write between two calls of this one.
    other = Ledger(tmp_path / "ledger.sqlite")
    other.set_meta(b=2)
    ledger.set_meta(c=3)
    assert other.meta() == {"a": 1, "b": 2, "c": 3}
    other.close()
    ledger.close()
    assert mode(tmp_path / "ledger.sqlite") == "rollback"
    assert {path.name for path in tmp_path.iterdir()} <= {"ledger.sqlite", "ledger.sqlite-journal"}


def killed_with_a_log(tmp_path: Path) -> Path:
    """A ledger whose last writes are in its write-ahead log only, as another host's death leaves it."""
    ledger = Ledger(tmp_path / "there" / "ledger.sqlite")
    assert ledger._rows("PRAGMA journal_mode") == [("wal",)]
    ledger.set_meta(a=1)
    (tmp_path / "here").mkdir()
    for name in ("ledger.sqlite", "ledger.sqlite-wal"):
        shutil.copyfile(tmp_path / "there" / name, tmp_path / "here" / name)
    ledger.close()
    return tmp_path / "here" / "ledger.sqlite"


def test_the_log_of_another_host_is_read_without_its_shared_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = killed_with_a_log(tmp_path)
    monkeypatch.setattr(journal_mode, "file_system", lambda folder: "nfs4")
    ledger = Ledger(path)
    other = Ledger(path)
    assert other.meta() == {"a": 1}
    other.set_meta(b=2)
    assert ledger.meta() == {"a": 1, "b": 2}
    assert {entry.name for entry in path.parent.iterdir()} <= {"ledger.sqlite", "ledger.sqlite-journal"}
    ledger.close()
    other.close()
    assert mode(path) == "rollback"


def test_another_programs_file_on_a_network_keeps_its_mode(tmp_path: Path, network: None) -> None:
    path = tmp_path / "ledger.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE songs (name TEXT)")
    before = path.read_bytes()
    with pytest.raises(LedgerError, match="not a ledger"):
        Ledger(path)
    assert path.read_bytes() == before


BUSY = """
import sys
from pathlib import Path
from pytest_clusterjobs.ledger import journal_mode
from pytest_clusterjobs.ledger.ledger import Ledger
path, name, turns, kind = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
if kind:
    journal_mode.file_system = lambda folder: kind
ledger = Ledger(path)
for turn in range(turns):
    ledger.set_meta(**{f"{name}-{turn}": "x" * 500})
    ledger.meta()
ledger.close()
"""


def write_at_once(path: Path, kind: str, processes: int = 4, turns: int = 40) -> None:
    """Let several processes write and read as fast as they can, and miss nothing."""
    command = [sys.executable, "-c", BUSY, str(path)]
    running = [
        subprocess.Popen([*command, str(number), str(turns), kind], stderr=subprocess.PIPE, text=True)
        for number in range(processes)
    ]
    said = [process.communicate(timeout=120)[1] for process in running]
    assert said == [""] * processes
    ledger = Ledger(path)
    assert len(ledger.meta()) == processes * turns
    ledger.close()


def test_processes_that_write_at_once_wait_for_each_other(tmp_path: Path, network: None) -> None:
    write_at_once(tmp_path / "ledger.sqlite", "nfs4")
    assert mode(tmp_path / "ledger.sqlite") == "rollback"


def test_the_same_on_a_real_file_system_that_is_not_known_to_be_local(tmp_path: Path) -> None:
    with elsewhere(tmp_path / "mount") as folder:
        assert journal_mode.file_system(folder) == "fuse"
        write_at_once(folder / "ledger.sqlite", "")
        assert mode(folder / "ledger.sqlite") == "rollback"
