"""Order: as jobs end, or as the file says; fail fast means fast."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.plugin.conftest import Project

pytestmark = pytest.mark.quiet

STAGGERED = """
recipes: {a: "true"}
nodes: [1]
conditions:
  slow: {run: sleep 1.5}
  middle: {run: sleep 0.8}
  fast: {run: exit 1}
"""


def reported(text: str) -> list[str]:
    return re.findall(r"::a-1n-(\w+) (?:PASSED|FAILED)", text)


def test_cells_are_reported_as_their_jobs_end(project: Project) -> None:
    project.matrix(STAGGERED)
    result = project.pytester.runpytest("-v")
    assert reported(result.stdout.str()) == ["fast", "middle", "slow"]


def test_file_order_on_request_and_under_stepwise(project: Project) -> None:
    project.matrix(STAGGERED)
    result = project.pytester.runpytest("-v", "--cluster-order=file")
    assert reported(result.stdout.str()) == ["slow", "middle", "fast"]
    result = project.pytester.runpytest("-v", "--sw")
    assert reported(result.stdout.str()) == ["slow", "middle", "fast"]


def test_the_first_failure_ends_the_session_and_the_other_jobs(project: Project) -> None:
    project.matrix(STAGGERED.replace("1.5", "60").replace("0.8", "60"))
    result = project.pytester.runpytest("-x", "-v")
    assert reported(result.stdout.str()) == ["fast"]
    assert result.duration < 40
    assert result.ret == 1
    verdicts = project.verdicts()
    assert verdicts == {"a-1n-fast": "failed", "a-1n-slow": "not run", "a-1n-middle": "not run"}


def test_python_tests_run_while_jobs_do(project: Project) -> None:
    project.matrix("{recipes: {a: touch started}, nodes: [1], conditions: {c: {}}}", "matrices/a.yaml")
    project.pytester.makepyfile(
        test_z="""
        import pathlib, time
        def test_z():
            until = time.monotonic() + 30
            while not pathlib.Path("started").exists() and time.monotonic() < until: time.sleep(0.05)
            assert pathlib.Path("started").exists()
        """
    )
    result = project.pytester.runpytest("-v")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["test_z.py::test_z PASSED*", "matrices/a.yaml::a-1n-c PASSED*"])


def test_jobs_of_many_files_run_at_once(project: Project) -> None:
    for number in range(4):
        project.matrix("{recipes: {a: sleep 1}, nodes: [1], conditions: {c: {}}}", f"matrices/m{number}.yaml")
    result = project.pytester.runpytest()
    result.assert_outcomes(passed=4)
    times = [cell["attempts"][0]["outcome"]["times"] for cell in project.report()["cells"]]
    assert max(time["started"] for time in times) < min(time["ended"] for time in times)
    result.stdout.re_match_lines([r"\.\.\.\. +\[100%\]"])


def test_the_timeout_mark_and_option_are_the_jobs(project: Project) -> None:
    project.matrix(
        """
        recipes: {a: sleep 30}
        nodes: [1]
        conditions: {by_option: {}, by_mark: {marks: [{timeout: 0.5}]}, meets: {expect: {reason: any}}}
        """
    )
    for arguments in (["--timeout=1"], ["--timeout=1", "--timeout-method=thread", "--cluster-order=file"]):
        result = project.pytester.runpytest(*arguments)
        result.assert_outcomes(failed=3)
        assert result.duration < 25
        result.stdout.fnmatch_lines(["*Timeout (>1*s) from job start*"])
