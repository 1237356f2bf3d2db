from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

from pytest_clusterjobs.devclusters.supervisor import below
from pytest_clusterjobs.devclusters.supervisor import Bind
from pytest_clusterjobs.devclusters.supervisor import MountNamespace


def inside(room: MountNamespace, script: str) -> list[str]:
    done = subprocess.run(room.enter(["/bin/sh", "-c", script]), capture_output=True, text=True, check=False)
    if "no namespaces for this user" in done.stderr:
        pytest.skip("this user may not have namespaces")
    assert not done.stderr
    return done.stdout.split()


def test_a_room_is_seen_by_those_inside_alone(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("127.0.0.9 elsewhere\n")
    room = MountNamespace("elsewhere", (Bind(tmp_path / "hosts", Path("/etc/hosts")),))
    assert inside(room, "hostname; cat /etc/hosts") == ["elsewhere", "127.0.0.9", "elsewhere"]
    assert socket.gethostname() != "elsewhere"


def test_what_is_kept_stays_where_it_is(tmp_path: Path) -> None:
    over, hidden, kept = tmp_path / "over", tmp_path / "there" / "hidden", tmp_path / "there" / "a" / "kept"
    for path in (over, hidden, kept):
        path.mkdir(parents=True)
    (kept / "file").touch()
    room = MountNamespace(binds=(Bind(over, hidden.parent, below(hidden.parent, [kept])),))
    assert inside(room, f"ls {hidden.parent} {kept}; touch {kept}/new {hidden.parent}/own")[-1] == "file"
    assert (kept / "new").exists()
    assert (over / "own").exists()
    assert not (hidden.parent / "own").exists()


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    room = MountNamespace(binds=(Bind(tmp_path / "no", Path("/etc/hosts")),))
    done = subprocess.run(room.enter(["/bin/true"]), capture_output=True, text=True, check=False)
    if "no namespaces for this user" in done.stderr:
        pytest.skip("this user may not have namespaces")
    assert done.returncode == 1
    assert done.stderr.startswith("fatal: ")
    assert f"'{tmp_path}/no' -> '/etc/hosts'" in done.stderr


def test_only_the_outermost_folders_below_are_kept(tmp_path: Path) -> None:
    for name in ("a/b", "c"):
        (tmp_path / name).mkdir(parents=True)
    paths = [tmp_path / name for name in ("a/b", "a", "c", "no")]
    assert below(tmp_path, [*paths, tmp_path, Path("/")]) == (tmp_path / "a", tmp_path / "c")
