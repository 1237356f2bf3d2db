"""Hooks for users: what hookspecs.py offers, each in the process and at the moment that it names."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from typing import Any
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.plugin.conftest import Project

TWO = 'recipes: {a: "true", b: "true"}\nnodes: [1]\nconditions: {c: {}}\n'


@pytest.fixture
def two(project: Project) -> Project:
    project.matrix(TWO)
    return project


def cells_of(project: Project) -> dict[str, dict[str, Any]]:
    return {cell["registration"]["cell"]["id"]: cell for cell in project.report()["cells"]}


def test_cells_are_changed_before_selection(two: Project) -> None:
    two.pytester.makeconftest(
        """
        from dataclasses import replace
        def pytest_clusterjobs_modify_cells(path, cells):
            assert path.name == "m.yaml"
            cells[:] = [replace(cell, id=cell.id + suffix) for cell in cells for suffix in ("-x", "-y")]
            cells.pop()
        """
    )
    result = two.run("-k", "x", "-v")
    result.assert_outcomes(passed=2, deselected=1)
    assert two.submitted() == {"a-1n-c": 1, "b-1n-c": 1}
    two.run("-n2", "-k", "c-y").assert_outcomes(passed=1)


@pytest.mark.parametrize(("id", "what"), [("a-1n-c", "a second cell"), ("a[1]", "a cell")])
def test_cells_that_cannot_be_are_one_line(two: Project, id: str, what: str) -> None:
    two.pytester.makeconftest(
        f"""
        from dataclasses import replace
        def pytest_clusterjobs_modify_cells(cells):
            cells[1] = replace(cells[1], id={id!r})
        """
    )
    result = two.run()
    result.stdout.fnmatch_lines(
        [f"matrices/m.yaml: pytest_clusterjobs_modify_cells left {what} with the id*"]
    )
    assert "Traceback" not in result.stdout.str()
    assert not two.submitted()


CHANGES = """
from dataclasses import replace
def pytest_clusterjobs_before_submit(cell, attempt):
    if cell.spec.recipe == "b":
        return replace(cell.spec, run="exit 3", env={"ATTEMPT": str(attempt)})
"""


@pytest.mark.parametrize("arguments", [[], ["-n2"]])
def test_a_submission_is_changed_and_the_change_is_kept(two: Project, arguments: list[str]) -> None:
    two.pytester.makeconftest(CHANGES)
    result = two.run(*arguments)
    result.assert_outcomes(passed=1, failed=1)
    attempts = {name: cell["attempts"][0] for name, cell in cells_of(two).items()}
    assert attempts["a-1n-c"]["spec"] is None
    assert attempts["b-1n-c"]["spec"]["run"] == "exit 3"
    assert attempts["b-1n-c"]["spec"]["env"] == {"ATTEMPT": "1"}
    shown = two.pytester.run(sys.executable, "-m", "pytest_clusterjobs.cli", "show", "b-1n-c")
    shown.stdout.fnmatch_lines(["*by a hook*run: exit 3"])


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return 'over budget this week'", "over budget this week"),
        ("assert cell.spec.nodes > 4, 'too small for this cluster'", "too small for this cluster*"),
        ("1 / 0", "pytest_clusterjobs_before_submit raised ZeroDivisionError: division by zero"),
        ("return 7", "pytest_clusterjobs_before_submit returned 7, not a JobSpec or a text"),
    ],
)
def test_a_submission_is_refused(two: Project, body: str, words: str) -> None:
    two.pytester.makeconftest(
        f"""
        def pytest_clusterjobs_before_submit(cell):
            if cell.spec.recipe == "b":
                {body}
        """
    )
    result = two.run()
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines([f"this run: *refused: {words}"])
    assert two.submitted() == {"a-1n-c": 1}
    assert cells_of(two)["b-1n-c"]["result"]["outcome"]["reason"] == "rejected"


def test_hooks_that_refuse_everything_end_the_session(two: Project) -> None:
    two.pytester.makeconftest("def pytest_clusterjobs_before_submit(): return 'no'")
    two.run().assert_outcomes(errors=2)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return 'the loss went up'", "the loss went up"),
        ("assert outcome.exit_code == 7, 'wrong code'", "wrong code"),
        ("assert 'WARN' not in 'hi\\\\nNCCL WARN x' * 40", "assert 'WARN' not in *"),
        ("1 / 0", "pytest_clusterjobs_check raised ZeroDivisionError: division by zero"),
        ("return True", "pytest_clusterjobs_check returned True, not a text"),
    ],
)
def test_a_check_fails_a_cell(two: Project, body: str, words: str) -> None:
    two.pytester.makeconftest(
        f"""
        def pytest_clusterjobs_check(cell, outcome):
            if cell.spec.recipe == "b":
                {body}
        """
    )
    result = two.run()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines([f"matrices/*: b-1n-c: check: {words}", f"E check * -  *{words}"])
    assert two.verdicts() == {"a-1n-c": "passed", "b-1n-c": "failed"}


@pytest.mark.parametrize(
    ("body", "row", "below"),
    [
        ("assert log == [1, 3], 'WHY'", "WHY", ["| WHY", "| assert *1, 2* == *1, 3*", "|   At index 1 diff: 2 != 3"]),
        ("assert log == [1, 3]", "assert *1, 2* == *1, 3*", ["| assert *", "|   At index 1 diff: 2 != 3"]),
        ("pytest.fail('WHY\\n::error::x')", "WHY", ["| WHY", "| ::error::x"]),
        ("return 'WHY\\n##vso[task.complete]'", "WHY", ["| WHY", "| # #vso[[]task.complete]"]),
    ],
)  # fmt: skip
def test_what_a_check_says_on_several_lines_stands_below_the_table(
    two: Project, body: str, row: str, below: list[str]
) -> None:
    two.pytester.makeconftest(
        f"""
        import pytest
        def pytest_clusterjobs_check(cell):
            log = [1, 2]
            {body}
        """
    )
    result = two.run("-k", "a-1n")
    result.stdout.fnmatch_lines([f"E check * -  *{row}", "--- check ---", *below])
    (miss,) = cells_of(two)["a-1n-c"]["result"]["judgement"]["misses"]
    assert len(miss["explanation"].splitlines()) > len(miss["seen"].splitlines()) == 1


def test_a_check_reads_logs_and_what_it_says_is_no_secret(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSWORD", "swordfish")
    project.matrix(
        "recipes: {a: 'echo $PASSWORD'}\nnodes: [2]\nconditions: {c: {secrets: [PASSWORD]}}\n",
        "matrices/s.yaml",
    )
    project.pytester.makeconftest(
        """
        import os
        def pytest_clusterjobs_check(log):
            assert log(1).splitlines()[0] == "***"
            return os.environ["PASSWORD"] + "\\n" + 99 * " " + os.environ["PASSWORD"]
        def pytest_clusterjobs_report_fields():
            return {"secret": os.environ["PASSWORD"]}
        """
    )
    result = project.pytester.runpytest("--junitxml=report.xml", "-o", "junit_family=xunit1")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E check * -  *[*][*][*]", "--- check ---", "| [*][*][*]", "| * [*][*][*]"])
    for path in [*project.path.glob(".clusterjobs/runs/*/*.*"), project.path / "report.xml"]:
        assert b"swordfish" not in path.read_bytes(), path


def test_an_end_that_is_no_answer_is_not_checked(project: Project) -> None:
    project.matrix("recipes: {a: hint preempted}\nnodes: [1]\nconditions: {c: {}}\n")
    project.pytester.makeconftest("def pytest_clusterjobs_check(): return 'wrong'")
    result = project.run()
    result.assert_outcomes(errors=1)
    assert "E check" not in result.stdout.str()


@pytest.mark.parametrize("arguments", [[], ["-n2"]])
def test_fields_are_in_both_reports_and_checks_count(two: Project, arguments: list[str]) -> None:
    two.pytester.makeconftest(
        """
        def pytest_clusterjobs_report_fields(cell, result):
            return {"owner": "team " + cell.spec.recipe, "code": result.outcome.exit_code, "ratio": float("inf"), 7: None}
        def pytest_clusterjobs_check(cell):
            assert cell.spec.recipe == "a"
        """
    )
    result = two.run("--junitxml=report.xml", "-o", "junit_family=xunit1", *arguments)
    result.assert_outcomes(passed=1, failed=1)
    fields = {cell["key"][-6:]: cell["result"]["fields"] for cell in two.report("report.json")["cells"]}
    assert fields["a-1n-c"] == {"owner": "team a", "code": 0, "ratio": "inf", "7": "None"}
    properties = [(p.get("name"), p.get("value")) for p in ET.parse("report.xml").iter("property")]
    assert {("clusterjobs.fields.owner", "team a"), ("clusterjobs.fields.owner", "team b")} <= set(properties)


def test_being_told_of_every_attempt_and_what_goes_wrong_there(project: Project) -> None:
    project.matrix("recipes: {a: exit 3}\nnodes: [1]\nconditions: {c: {marks: [flaky: {reruns: 1}]}}\n")
    project.pytester.makeconftest(
        """
        def pytest_clusterjobs_job_ended(cell, result):
            with open("ended.txt", "a") as notes:
                print(cell.id, result.attempt, result.outcome.exit_code, file=notes)
            raise OSError("nobody listens")
        """
    )
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["pytest_clusterjobs_job_ended raised OSError: nobody listens (2 times)"])
    assert (project.path / "ended.txt").read_text() == "a-1n-c 1 3\na-1n-c 2 3\n"


def test_names_of_hooks_are_checked(two: Project) -> None:
    two.pytester.makeconftest("def pytest_clusterjobs_check(cel): pass")
    result = two.run()
    assert result.ret != 0
    assert "cel" in result.stdout.str() + result.stderr.str()
