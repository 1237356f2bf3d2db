from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

from pytest_clusterjobs.devclusters.supervisor import below
from pytest_clusterjobs.devclusters.supervisor import Bind
from pytest_clusterjobs.devclusters.supervisor import MountNamespace


def inside(namespace: MountNamespace, script: str) -> list[str]:
    done = subprocess.run(
        namespace.command(["/bin/sh", "-c", script]), capture_output=True, text=True, check=False
    )
    if "this user may not create namespaces" in done.stderr:
        pytest.skip("this user may not create namespaces")
    assert not done.stderr
    return done.stdout.split()


def test_only_the_program_sees_its_namespace(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("127.0.0.9 elsewhere\n")
    namespace = MountNamespace("elsewhere", (Bind(tmp_path / "hosts", Path("/etc/hosts")),))
    assert inside(namespace, "hostname; cat /etc/hosts") == ["elsewhere", "127.0.0.9", "elsewhere"]
    assert socket.gethostname() != "elsewhere"


def test_a_kept_folder_stays_visible(tmp_path: Path) -> None:
    over, hidden, kept = tmp_path / "over", tmp_path / "there" / "hidden", tmp_path / "there" / "a" / "kept"
    for path in (over, hidden, kept):
        path.mkdir(parents=True)
    (kept / "file").touch()
    namespace = MountNamespace(binds=(Bind(over, hidden.parent, below(hidden.parent, [kept])),))
    assert inside(namespace, f"ls {hidden.parent} {kept}; touch {kept}/new {hidden.parent}/own")[-1] == "file"
    assert (kept / "new").exists()
    assert (over / "own").exists()
    assert not (hidden.parent / "own").exists()


def test_a_missing_source_is_reported(tmp_path: Path) -> None:
    namespace = MountNamespace(binds=(Bind(tmp_path / "no", Path("/etc/hosts")),))
    done = subprocess.run(namespace.command(["/bin/true"]), capture_output=True, text=True, check=False)
    if "this user may not create namespaces" in done.stderr:
        pytest.skip("this user may not create namespaces")
    assert done.returncode == 1
    assert done.stderr.startswith("fatal: ")
    assert f"'{tmp_path}/no' -> '/etc/hosts'" in done.stderr


def test_only_the_outermost_folders_below_are_kept(tmp_path: Path) -> None:
    for name in ("a/b", "c"):
        (tmp_path / name).mkdir(parents=True)
    paths = [tmp_path / name for name in ("a/b", "a", "c", "no")]
    assert below(tmp_path, [*paths, tmp_path, Path("/")]) == (tmp_path / "a", tmp_path / "c")
