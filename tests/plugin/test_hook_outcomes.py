"""pytest.fail, skip, xfail and exit in a user's hook mean for the cell what they mean in a test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_clusterjobs.plugin import hookspecs
from tests.plugin.test_together import junit
from tests.plugin.test_together import table

if TYPE_CHECKING:
    from tests.plugin.conftest import Project

AFTER = ("check", "report_fields", "job_ended")
"""The hooks that are called when the job is over."""

PARALLEL = pytest.mark.parametrize("arguments", [[], ["-n2"]], ids=str)


def hook(project: Project, name: str, statement: str) -> None:
    """A hook that runs a statement for the cell a-1n-c; the project also has b-1n-c, which passes."""
    project.matrix("{recipes: {a: 'true', b: 'true'}, nodes: [1], conditions: {c: {}}}")
    project.pytester.makeconftest(
        f"""
        import pytest
        def pytest_clusterjobs_{name}(cell):
            if cell.spec.recipe == "a":
                {statement}
        """
    )


def words(project: Project) -> tuple[str, str | None]:
    """The verdict and pytest's word of a-1n-c; that of b-1n-c is checked."""
    a, b = project.report()["cells"]
    assert (b["verdict"], b["reported"]) == ("passed", "passed")
    return a["verdict"], a["reported"]


@PARALLEL
@pytest.mark.parametrize("name", AFTER)
@pytest.mark.parametrize(
    ("statement", "outcome", "verdict"),
    [
        ("pytest.fail('WHY')", "failed", "failed"),
        ("pytest.skip('WHY')", "skipped", "not run"),
        ("pytest.xfail('WHY')", "xfailed", "passed"),
    ],
)
def test_an_outcome_in_a_hook_is_that_cells(
    project: Project, name: str, statement: str, outcome: str, verdict: str, arguments: list[str]
) -> None:
    hook(project, name, statement)
    result = project.run("-rA", *arguments)
    assert result.parseoutcomes() == {"passed": 1, outcome: 1}
    assert words(project) == (verdict, outcome)
    assert "WHY" in result.stdout.str()
    assert result.ret == (pytest.ExitCode.OK if outcome == "xfailed" else pytest.ExitCode.TESTS_FAILED)
    assert set(project.submitted()) == {"a-1n-c", "b-1n-c"}


@PARALLEL
@pytest.mark.parametrize(
    ("statement", "outcome", "word", "verdict"),
    [
        ("pytest.fail('WHY')", "errors", "error", "error"),
        ("pytest.skip('WHY')", "skipped", "skipped", "not run"),
        ("pytest.xfail('WHY')", "xfailed", "xfailed", "passed"),
        ("raise __import__('unittest').SkipTest('WHY')", "skipped", "skipped", "not run"),
    ],
)
def test_an_outcome_before_the_submission_saves_the_job(
    project: Project, statement: str, outcome: str, word: str, verdict: str, arguments: list[str]
) -> None:
    hook(project, "before_submit", statement)
    result = project.run("-rA", "--junitxml=report.xml", *arguments)
    assert result.parseoutcomes() == {"passed": 1, outcome: 1}
    assert set(project.submitted()) == {"b-1n-c"}
    (a, _) = project.report("report.json")["cells"]
    assert (a["verdict"], a["reported"]) == (verdict, word)
    assert junit(project)["a-1n-c"] == (["error"] if word == "error" else ["skipped"])
    assert "WHY" in result.stdout.str()


@PARALLEL
@pytest.mark.parametrize("name", ["before_submit", *AFTER])
def test_an_exit_in_a_hook_ends_the_session(project: Project, name: str, arguments: list[str]) -> None:
    hook(project, name, "pytest.exit('WHY', returncode=9)")
    project.matrix(
        "{recipes: {a: 'true', b: sleep 300}, nodes: [1], conditions: {c: {}}}"
    )  # on this machine, so that it waits
    result = project.pytester.runpytest_subprocess(*arguments)
    assert result.ret == 9
    result.stdout.fnmatch_lines(["!* _pytest.outcomes.Exit: WHY !*"])
    assert "INTERNALERROR" not in result.stdout.str() + result.stderr.str()
    assert set(project.verdicts().values()) == {"not run"}
    assert project.report()["run"]["left_to_reaper"] == 0


@pytest.mark.parametrize("statement", ["raise SystemExit(3)", "raise GeneratorExit"])
def test_any_other_exception_is_a_complaint(project: Project, statement: str) -> None:
    hook(project, "check", statement)
    result = project.run()
    assert result.parseoutcomes() == {"passed": 1, "failed": 1}
    result.stdout.fnmatch_lines(["E check*pytest_clusterjobs_check raised *"])


def test_no_hook_makes_an_answer_of_an_end_that_is_none(project: Project) -> None:
    hook(project, "report_fields", "pytest.xfail('WHY')")
    project.matrix("{recipes: {a: hint node_failed, b: 'true'}, nodes: [1], conditions: {c: {}}}")
    result = project.run()
    assert result.parseoutcomes() == {"passed": 1, "errors": 1}
    assert words(project) == ("error", "error")


def test_a_skip_does_not_hide_that_the_job_failed_and_an_xfail_expects_it(project: Project) -> None:
    hook(project, "check", "pytest.skip('WHY') if cell.spec.run == 'exit 3' else pytest.xfail('WHY')")
    project.matrix("{recipes: {a: exit 3, b: 'true'}, nodes: [1], conditions: {c: {}}}")
    project.run().assert_outcomes(passed=1, failed=1)
    project.matrix("{recipes: {a: exit 4, b: 'true'}, nodes: [1], conditions: {c: {}}}")
    result = project.run()
    result.assert_outcomes(passed=1, xfailed=1)
    assert sorted(table(result)) == ["passed", "xfailed"]


def test_a_cell_that_a_hook_ruled_on_is_not_rerun(project: Project) -> None:
    hook(project, "check", "pytest.xfail('WHY')")
    project.matrix(
        "{recipes: {a: exit 3, b: 'true'}, nodes: [1], conditions: {c: {marks: [{flaky: {reruns: 2}}]}}}"
    )
    project.run().assert_outcomes(passed=1, xfailed=1)
    assert project.submitted() == {"a-1n-c": 1, "b-1n-c": 1}


@PARALLEL
@pytest.mark.parametrize(
    ("statement", "outcome", "why"),
    [
        ("pytest.skip('WHY')", "skipped", "WHY"),
        ("raise __import__('unittest').SkipTest('WHY')", "skipped", "WHY"),
        ("pytest.fail('WHY')", "errors", "Failed: WHY"),
        ("pytest.xfail('WHY')", "errors", "_pytest.outcomes.XFailed: WHY"),
        ("pytest.exit('WHY', returncode=9)", "errors", "_pytest.outcomes.Exit: WHY"),
        ("assert not cells, 'WHY'", "errors", "AssertionError: WHY"),
        (
            "cells.append(7)",
            "errors",
            "matrices/m.yaml: *left 7 among the cells; a Cell is needed, such as *",
        ),
    ],
)
def test_outcomes_at_collection_are_what_they_are_in_a_module(
    project: Project, statement: str, outcome: str, why: str, arguments: list[str]
) -> None:
    hook(project, "modify_cells", "pass")
    project.pytester.makeconftest(
        f"import pytest\ndef pytest_clusterjobs_modify_cells(cells):\n    {statement}"
    )
    result = project.run("-ra", *arguments)
    assert result.parseoutcomes().keys() == {outcome}
    result.stdout.fnmatch_lines([f"*{why}"])
    for ours in ("INTERNALERROR", "_hookexec", "pytest_clusterjobs/plugin/items.py"):
        assert ours not in result.stdout.str()
    assert not project.submitted()


def test_these_are_all_the_hooks() -> None:
    declared = {name for name in vars(hookspecs) if name.startswith("pytest_")}
    assert declared == {f"pytest_clusterjobs_{name}" for name in ("modify_cells", "before_submit", *AFTER)}


def test_what_a_hook_said_before_the_submission_is_said_by_a_launch(project: Project) -> None:
    hook(project, "before_submit", "pytest.xfail('WHY')")
    assert project.run("--cluster-launch").parseoutcomes() == {"skipped": 1, "xfailed": 1}
    assert set(project.submitted()) == {"b-1n-c"}
