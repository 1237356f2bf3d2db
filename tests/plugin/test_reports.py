"""JUnit XML through pytest's own writer, and the JSON report beside it."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any
from typing import TYPE_CHECKING

import jsonschema
import pytest
from lxml import etree

from pytest_clusterjobs.reports import schema

if TYPE_CHECKING:
    from tests.plugin.conftest import Project

MATRIX = """
recipes: {a: "true"}
nodes: [1, 2]
axes: {PRECISION: [bf16]}
conditions:
  good: {}
  bad: {run: "exit 7 # <&\\"'>"}
  infra: {run: hint preempted}
  refused: {run: refuse}
  xfailed: {run: exit 1, marks: [{xfail: {reason: known}}]}
  skipped: {marks: [{skip: not today}]}
"""


def properties(project: Project, name: str) -> dict[str, str]:
    tree = etree.parse(str(project.path / "report.xml"))
    (case,) = (case for case in tree.iter("testcase") if case.get("name") == name)
    return {str(found.attrib["name"]): str(found.attrib["value"]) for found in case.iter("property")}


def test_xunit2_is_valid_against_the_schema_that_pytest_uses(project: Project) -> None:
    path = os.environ.get("CLUSTERJOBS_XUNIT2_XSD")
    if path is None:
        pytest.skip("CLUSTERJOBS_XUNIT2_XSD does not name junit-10.xsd of pytest's source package")
    project.matrix(MATRIX)
    project.run("--junitxml=report.xml", "-o", "junit_family=xunit2")
    etree.XMLSchema(etree.parse(path)).assertValid(etree.parse(str(project.path / "report.xml")))


def test_what_a_job_has_cost_is_told_where_the_cluster_knows(project: Project) -> None:
    project.matrix("{recipes: {a: costs 1.23456789, b: 'true'}, nodes: [1], conditions: {c: {}}}")
    project.run("--junitxml=report.xml", "-o", "junit_family=xunit1")
    assert properties(project, "a-1n-c")["clusterjobs.cost"] == "1.2346"
    assert "clusterjobs.cost" not in properties(project, "b-1n-c")
    costs = [cell["result"]["outcome"]["cost"] for cell in project.report("report.json")["cells"]]
    assert costs == [1.23456789, None]


@pytest.mark.parametrize("family", ["xunit1", "xunit2"])
def test_counts_agree_with_the_cases(project: Project, family: str) -> None:
    project.matrix(MATRIX)
    project.run("--junitxml=report.xml", "-o", f"junit_family={family}")
    (suite,) = etree.parse(str(project.path / "report.xml")).iter("testsuite")
    assert int(suite.attrib["tests"]) == len(list(suite.iter("testcase"))) == 12
    assert (suite.get("failures"), suite.get("errors"), suite.get("skipped")) == ("2", "4", "4")


def test_xunit1_has_file_line_and_properties_once_each(project: Project) -> None:
    project.matrix(MATRIX)
    project.run("--junitxml=report.xml", "-o", "junit_family=xunit1")
    tree = etree.parse(str(project.path / "report.xml"))
    (case,) = (case for case in tree.iter("testcase") if case.get("name") == "a-2n-bad-bf16")
    # pytest writes lines counted from 0.
    assert (case.get("file"), case.get("line")) == ("matrices/m.yaml", "6")
    names = [found.get("name") for found in case.iter("property")]
    assert len(names) == len(set(names))
    found = properties(project, "a-2n-bad-bf16")
    assert found["clusterjobs.reason"] == "job_failed"
    assert found["clusterjobs.exit_code"] == "7"
    assert found["clusterjobs.nodes"] == "2"
    assert found["clusterjobs.PRECISION"] == "bf16"
    assert found["clusterjobs.verdict"] == "failed"


def test_the_json_report_is_valid_against_the_schema_that_is_shipped(project: Project) -> None:
    project.matrix(MATRIX)
    project.run("--junitxml=out/report.xml")
    report = project.report("out/report.json")
    jsonschema.validate(report, json.loads(schema.PATH.read_text()))
    assert report["summary"] == {
        "selected": 10,
        "passed": 4,
        "failed": 2,
        "error": 4,
        "not_run": 0,
        "pending": 0,
    }
    bad = next(cell for cell in report["cells"] if cell["key"].endswith("a-1n-bad-bf16"))
    assert bad["registration"]["cell"]["spec"]["run"].startswith("exit 7")
    assert bad["registration"]["cell"]["expect"]["exit_codes"] == [0]
    (attempt,) = bad["attempts"]
    assert attempt["outcome"]["source"] == "sentinel"
    assert attempt["submitted"] >= attempt["intended"]


def test_the_shipped_schema_is_current() -> None:
    assert schema.PATH.read_text() == schema.generate()


def test_where_the_json_report_goes(project: Project) -> None:
    project.matrix('{recipes: {a: "true"}, nodes: [1], conditions: {c: {}}}')
    project.run("--cluster-json=deep/er/my.json").stdout.fnmatch_lines(["report: deep/er/my.json"])
    assert project.report("deep/er/my.json")["summary"]["passed"] == 1


def test_a_report_that_cannot_be_written_is_said_and_costs_no_verdict(project: Project) -> None:
    project.matrix('{recipes: {a: "true"}, nodes: [1], conditions: {c: {}}}')
    (project.path / "file").touch()
    result = project.run("--cluster-json=file/report.json")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["cannot write */file/report.json: *"])


def git(project: Project, *arguments: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.invalid", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *identity, *arguments], cwd=project.path, check=True, capture_output=True)


def test_the_state_of_the_checkout_is_recorded(project: Project) -> None:
    project.matrix('{recipes: {a: "true"}, nodes: [1], conditions: {c: {}}}')
    git(project, "init")
    git(project, "add", "-A")
    git(project, "commit", "-m", "all")
    project.run("--cluster-json=report.json")
    found: dict[str, Any] = project.report("report.json")["git"]
    assert (found["branch"], found["pushed"]) == ("main", False)
    assert len(found["commit"]) == 40


def test_a_clean_checkout_can_be_required(project: Project) -> None:
    project.matrix('{recipes: {a: "true"}, nodes: [1], conditions: {c: {}}}')
    project.ini("cluster_require_clean_git = true")
    result = project.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["*cluster_require_clean_git: rootdir is not a git checkout: run pytest in one"]
    )
    (project.path / ".gitignore").write_text("/.clusterjobs/\n__pycache__/\n/submissions.txt\n/origin.git/\n")
    git(project, "init")
    git(project, "add", "-A")
    git(project, "commit", "-m", "all")
    project.run().stderr.fnmatch_lines(["*cluster_require_clean_git: commit * is not pushed: push it first"])
    git(project, "init", "--bare", "origin.git")
    git(project, "remote", "add", "origin", "origin.git")
    git(project, "push", "origin", "main")
    git(project, "fetch", "origin")
    project.run().assert_outcomes(passed=1)
    # Last night's reports, and what else nobody has added.
    project.run("--junitxml=report.xml").assert_outcomes(passed=1)
    project.run().assert_outcomes(passed=1)
    assert project.report()["git"]["dirty"] is False
    (project.path / "matrices/m.yaml").write_text('{recipes: {a: "true "}, nodes: [1], conditions: {c: {}}}')
    project.run().stderr.fnmatch_lines(["*cluster_require_clean_git: uncommitted changes*"])
    # A check submits nothing.
    project.run("--cluster-check").assert_outcomes(passed=1)
    assert project.submitted() == {"a-1n-c": 3}


def test_secrets_are_in_no_report(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "hunter2-very-secret")
    project.matrix(
        """
        recipes: {a: 'echo "key is $API_KEY"; exit 1'}
        nodes: [1]
        conditions: {c: {secrets: [API_KEY], expect: {log: {contains: [something else]}}}}
        """
    )
    result = project.pytester.runpytest("--junitxml=report.xml")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*key is ?*?"])
    result.stdout.no_fnmatch_line("*hunter2*")
    for path in project.path.rglob("*"):
        # The job's own log is the job's, and the values are kept in a file of their own.
        if path.is_file() and "log" not in path.suffix and path.name != "secrets":
            assert b"hunter2" not in path.read_bytes(), path


def test_hostile_text_breaks_neither_terminal_nor_xml(project: Project) -> None:
    project.matrix(
        r"""
        recipes: {a: "printf '\\033[2J\\000\\001 ]]> <x>&amp; \\377\\n'; exit 1"}
        nodes: [1]
        conditions: {c: {}}
        """
    )
    result = project.pytester.runpytest("--junitxml=report.xml")
    result.assert_outcomes(failed=1)
    assert "\x1b[2J" not in result.stdout.str()
    etree.parse(str(project.path / "report.xml"))
