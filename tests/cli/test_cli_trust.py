"""Another user's run can be read, and causes no other action."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Place

NOBODY = 65534

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def copy(ended: Place, place: Place) -> Place:
    shutil.copytree(
        ended.path / ".clusterjobs", place.path / ".clusterjobs", ignore=shutil.ignore_patterns("socket")
    )
    return place


@pytest.fixture
def given_away(copy: Place) -> Place:
    for folder, _, files in os.walk(copy.path / ".clusterjobs"):
        os.chown(folder, NOBODY, NOBODY)
        for name in files:
            os.lchown(Path(folder, name), NOBODY, NOBODY)
    return copy


def names_a_module(place: Place) -> Path:
    """Have the run's ledger name a module as its backend's type; the file that tells of its import."""
    mark = place.path / "imported"
    (place.path / "stranger.py").write_text(f"open({str(mark)!r}, 'w')\nTYPE = None\n")
    with closing(sqlite3.connect(place.folder / "ledger.sqlite")) as db, db:
        (text,) = db.execute("SELECT value FROM meta WHERE name = 'backends'").fetchone()
        backends = {**json.loads(text), "local": {"type": "stranger:TYPE"}}
        db.execute("UPDATE meta SET value = ? WHERE name = 'backends'", (json.dumps(backends),))
        db.execute("UPDATE meta SET value = ? WHERE name = 'path'", (json.dumps([str(place.path)]),))
    return mark


@needs_root
@pytest.mark.parametrize("arguments", [["logs", "a-1n-good"], ["kill"], ["watch"]])
def test_another_users_ledger_causes_no_action(given_away: Place, arguments: list[str]) -> None:
    mark = names_a_module(given_away)
    before = sorted(given_away.folder.iterdir())
    done = given_away.command(*arguments)
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert f"belongs to another user (uid {NOBODY})" in line
    assert f"set CLUSTERJOBS_SAFE_DIRECTORY={given_away.folder}" in line
    assert not mark.exists()
    assert sorted(given_away.folder.iterdir()) == before


@needs_root
def test_another_users_run_is_read(given_away: Place) -> None:
    before = sorted(given_away.folder.iterdir())
    assert given_away.command("runs").returncode == 0
    assert "a-1n-bad" in given_away.command("show", "a-1n-bad").stdout
    assert sorted(given_away.folder.iterdir()) == before


@needs_root
def test_sweep_reports_another_users_run_and_continues(given_away: Place) -> None:
    done = given_away.command("sweep")
    assert done.returncode == 1
    assert "belongs to another user" in done.stdout + done.stderr


@needs_root
@pytest.mark.parametrize("option", ["--cluster-check", "--cluster-resume"])
def test_pytest_does_not_continue_another_users_run(given_away: Place, option: str) -> None:
    given_away.matrix("recipes: {a: 'true'}\nnodes: [1]\nconditions: {c: {}}\n")
    done = given_away.start(f"{option}={given_away.folder.name}", "matrices")
    said, _ = done.communicate(timeout=60)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "belongs to another user" in said


@needs_root
@pytest.mark.parametrize("declared", ["*", "folder"])
def test_a_folder_that_the_caller_declares_safe_is_trusted(
    given_away: Place, monkeypatch: pytest.MonkeyPatch, declared: str
) -> None:
    monkeypatch.setenv("CLUSTERJOBS_SAFE_DIRECTORY", "*" if declared == "*" else str(given_away.path))
    assert "hello" in given_away.command("logs", "a-1n-good").stdout


@needs_root
def test_the_user_behind_sudo_is_trusted(given_away: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_UID", str(NOBODY))
    assert "hello" in given_away.command("logs", "a-1n-good").stdout


@needs_root
def test_no_module_is_imported_because_of_another_users_settings(copy: Place) -> None:
    mark = copy.path / "imported"
    (copy.path / "stranger.py").write_text(f"open({str(mark)!r}, 'w')\nTYPE = None\n")
    settings = copy.path / "pyproject.toml"
    settings.write_text('[tool.clusterjobs.backends.local]\ntype = "stranger:TYPE"\n')
    below = copy.path / "mine"
    below.mkdir()
    copy.command("show", "local:1", cwd=below, PYTHONPATH=str(copy.path))
    assert mark.exists(), "those of the caller's own do"
    mark.unlink()
    os.chown(settings, NOBODY, NOBODY)
    done = copy.command("show", "local:1", cwd=below, PYTHONPATH=str(copy.path))
    assert done.returncode == 3
    assert f"{settings} belongs to another user" in done.stderr
    assert not mark.exists()


@needs_root
def test_runs_of_another_user_above_are_read_and_not_acted_on(given_away: Place) -> None:
    below = given_away.path / "mine"
    below.mkdir()
    before = sorted(given_away.folder.iterdir())
    assert given_away.command("runs", cwd=below).returncode == 0
    assert "belongs to another user" in given_away.command("kill", cwd=below).stderr
    assert sorted(given_away.folder.iterdir()) == before


def test_only_modules_in_the_projects_settings_are_imported(copy: Place) -> None:
    """An unpacked run belongs to the user who unpacked it."""
    mark = names_a_module(copy)
    done = copy.command("logs", "a-1n-good")
    assert done.returncode == 3
    assert "imported only if the project names it" in done.stderr
    assert 'set type = "stranger:TYPE" in [tool.clusterjobs.backends.local]' in done.stderr
    assert not mark.exists()
