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
