"""Projects that test their own plugins with pytester: one run in their process after another."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.plugin.conftest import Project

OUTER = """
import pytest
pytest_plugins = ["pytester"]

def run(pytester):
    (pytester.path / "matrices").mkdir(exist_ok=True)
    (pytester.path / "matrices/m.yaml").write_text("{recipes: {a: 'true'}, nodes: [1], conditions: {c: {}}}")
    pytester.makepyfile("def test_job(clusterjobs): assert clusterjobs.run('true').exit_code == 0")
    pytester.makeini("[pytest]")
    pytester.runpytest_inprocess().assert_outcomes(passed=2)

@pytest.mark.parametrize("time", [1, 2])
def test_it(pytester, time):
    run(pytester)
    run(pytester)
"""


def test_a_second_run_in_the_same_process_is_like_the_first(project: Project) -> None:
    project.pytester.makepyfile(test_outer=OUTER)
    project.pytester.runpytest_subprocess("test_outer.py", timeout=100).assert_outcomes(passed=2)
