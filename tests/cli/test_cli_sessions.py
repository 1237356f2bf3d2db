"""launch, check and resume run pytest and exit with its codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Place

MATRIX = """
recipes: {a: "true"}
nodes: [1]
conditions: {good: {}, bad: {run: exit 3}}
"""


def test_launch_submits_and_check_judges(place: Place) -> None:
    place.matrix(MATRIX)
    launched = place.command("launch", "matrices", "-k", "good or bad")
    assert launched.returncode == 0, launched.stdout
    assert "2 pending" in launched.stdout
    checked = place.command("check", "--wait", "matrices", "--junitxml=report.xml")
    assert checked.returncode == pytest.ExitCode.TESTS_FAILED
    assert "1 failed, 1 passed" in checked.stdout
    assert (place.path / "report.xml").exists()
    named = place.command("check", "--run", place.folder.name[:18], "-k", "good")
    assert named.returncode == 0


def test_resume_continues_a_run(place: Place) -> None:
    place.matrix(MATRIX)
    place.command("launch", "-k", "good")
    resumed = place.command("resume")
    assert "1 failed, 1 passed" in resumed.stdout


@pytest.mark.parametrize(
    ("command", "end"), [("check", "2 passed, 1 deselected"), ("resume", "1 failed, 2 passed")]
)
def test_tests_of_the_current_folder_are_not_run_if_another_project_is_named(
    place: Place, tmp_path_factory: pytest.TempPathFactory, command: str, end: str
) -> None:
    place.matrix(MATRIX)
    (place.path / "test_own.py").write_text("def test_own(): pass")
    current = tmp_path_factory.mktemp("current")
    (current / "test_other.py").write_text("def test_other(): assert False")
    place.command("launch", "matrices", "-k", "good")
    done = place.command("--rootdir", str(place.path), command, "--junitxml=report.xml", cwd=current)
    assert end in done.stdout
    assert "test_other.py" not in done.stdout
    assert (current / "report.xml").exists()


def test_testpaths_apply_if_another_project_is_named(
    place: Place, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (place.path / "pytest.ini").write_text("[pytest]\ntestpaths = unit/*\n")
    place.matrix(MATRIX)
    for name in ("unit/a/test_in.py", "test_out.py"):
        (place.path / name).parent.mkdir(parents=True, exist_ok=True)
        (place.path / name).write_text("def test_it(): pass")
    place.command("launch", "matrices", "-k", "good")
    current = tmp_path_factory.mktemp("current")
    done = place.command("--rootdir", str(place.path), "check", cwd=current)
    assert "2 passed" in done.stdout
    assert "test_in.py" in done.stdout
    assert "test_out.py" not in done.stdout
