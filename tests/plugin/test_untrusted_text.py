"""Text from matrices, jobs and ledgers steers no terminal, and no line of a job passes for ours or for a
command."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from lxml import etree

if TYPE_CHECKING:
    from tests.plugin.conftest import Project


def steers(text: str) -> set[str]:
    """What in a text could steer a terminal."""
    return set(re.findall("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", text))


def test_reasons_of_marks_in_a_matrix(project: Project) -> None:
    """Control characters are refused there; what turns the order of the line round is no better."""
    project.matrix(
        """
        recipes: {a: exit 1}
        nodes: [1]
        conditions:
          skipped: {marks: [{skip: "today \\u202e"}]}
          because: {marks: [{skip: {reason: "today \\u202e"}}]}
          known: {marks: [{xfail: {reason: "known \\u202e"}}]}
          dead: {marks: [{xfail: {reason: "dead \\u202e", run: false}}]}
          open: {run: "true"}
        """
    )
    for arguments in (["--junitxml=report.xml"], ["--cluster-check"], ["--cluster-check", "-v", "-rA"]):
        result = project.run("-rsxXpfE", *arguments)
        result.assert_outcomes(passed=1, skipped=2, xfailed=2)
        assert not steers(result.stdout.str() + result.stderr.str())
        assert r"today \u202e" in result.stdout.str()
    etree.parse(str(project.path / "report.xml"))


WAITS = """
from dataclasses import replace

import clusterjobs_spy

from pytest_clusterjobs.model import Phase


def poll(self, handles, ordinary=clusterjobs_spy.NoopBackend.poll):
    seen = ordinary(self, handles)
    words = "waits \\x1b[2J\\x9b31m\\n=== 1 passed in 0.1s ==="
    return {token: replace(each, phase=Phase.PENDING, native_reason=words) for token, each in seen.items()}


clusterjobs_spy.Spy.poll = poll
"""


def test_words_of_a_cluster_in_the_reason_of_a_skip(project: Project) -> None:
    project.matrix('{recipes: {a: "true"}, nodes: [1], conditions: {c: {}}}')
    project.pytester.makeconftest(WAITS)
    project.run("--cluster-launch")
    result = project.run("--cluster-check", "-rs", "--junitxml=report.xml")
    result.assert_outcomes(skipped=1)
    assert r"waits \x1b[2J\x9b31m === 1 passed" in result.stdout.str()
    assert not steers(result.stdout.str())
    etree.parse(str(project.path / "report.xml"))


def test_what_a_ledger_says_of_a_launch(project: Project) -> None:
    """Of a run that is somebody else's, or was touched."""
    project.matrix("{recipes: {a: 'true'}, nodes: [1], conditions: {c: {}, d: {marks: [{skip: not}]}}}")
    project.run().assert_outcomes(passed=1, skipped=1)
    (path,) = project.path.glob(".clusterjobs/runs/*/ledger.sqlite")
    with closing(sqlite3.connect(path)) as db:
        evil = json.dumps({"matrices/m.yaml::a-1n-d": ["skip", "no \x1b[2J\x9b"]})
        db.execute("UPDATE meta SET value = ? WHERE name = 'left_out'", (evil,))
        db.commit()
    result = project.run("--cluster-check", "-rs")
    result.assert_outcomes(passed=1, skipped=1)
    assert not steers(result.stdout.str())


def test_names_of_runs(project: Project) -> None:
    project.matrix("{recipes: {a: 'true'}, nodes: [1], conditions: {c: {}}}")
    project.run().assert_outcomes(passed=1)
    (folder,) = project.path.glob(".clusterjobs/runs/*")
    folder.rename(folder.with_name("2\x1b[2J\x9b31m"))
    (folder.with_name("2\x1b[2J\x9b31m") / "ledger.sqlite").write_text(
        "no ledger at all, but somebody's text"
    )
    for option in ("--cluster-check=2", "--cluster-check=1", "--cluster-resume"):
        result = project.run(option)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        (line,) = [line for line in result.errlines if line.startswith("ERROR: ")]
        assert r"\x1b[2J" in line
        assert not steers(result.stderr.str())


def test_a_name_of_a_run_stays_on_its_line(project: Project) -> None:
    """Also that of one which can be judged, and of one of several that an id may mean."""
    project.matrix("{recipes: {a: 'true'}, nodes: [1], conditions: {c: {}}}")
    project.run().assert_outcomes(passed=1)
    (folder,) = project.path.glob(".clusterjobs/runs/*")
    folder.rename(folder.with_name("3\x1b[2J\n::error::x"))
    result = project.run("--cluster-check")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines([r"run 3\x1b[[]2J ::error::x: 1 passed"])
    shutil.copytree(folder.with_name("3\x1b[2J\n::error::x"), folder.with_name("3"))
    shutil.copytree(folder.with_name("3"), folder.with_name("31"))
    several = project.run("--cluster-check=3\x1b")
    for text in (result.stdout.str(), project.run("--cluster-check=2").stderr.str(), several.stderr.str()):
        assert not steers(text)
        assert "\n::" not in text


def test_reasons_of_marks_stay_on_their_line(project: Project) -> None:
    project.matrix(
        r"""
        recipes: {a: exit 3}
        nodes: [1]
        conditions:
          s: {marks: [{skip: "why\n::error::x"}]}
          i: {marks: [{skipif: {condition: "1 <\n 2", reason: "why\n::error::x"}}]}
          x: {marks: [{xfail: {reason: "why\n::error::x"}}]}
          b: {only: {backend: slurm}, description: "why\n::error::x"}
        """
    )
    launched = project.run("--cluster-launch", "-rA", "--cluster-backend=local")
    for result in (project.run("-rA"), launched, project.run("--cluster-check", "-rA")):
        assert "why ::error::x" in result.stdout.str()
        assert not [line for line in result.stdout.lines if line.startswith("::")]


SHOUTS = r"""
recipes:
  a: |
    echo "::error file=x,line=1::owned"
    echo "  ::set-output name=x::owned"
    echo "##vso[task.setvariable variable=x]owned"
    echo "then ##teamcity[testStarted name='x'] and ##[error]owned"
    echo "=========== 1 passed in 0.1s ==========="
    echo "--- end of the log of rank 7 ---"
    printf 'x\r::warning::after a carriage return\n'
    exit 1
nodes: [1]
conditions: {c: {}}
"""


def test_no_line_of_a_job_passes_for_a_command_or_for_ours(project: Project) -> None:
    project.matrix(SHOUTS)
    result = project.pytester.runpytest("--junitxml=report.xml")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    failure = next(etree.parse(str(project.path / "report.xml")).iter("failure"))
    for text in (result.stdout.str(), failure.text or ""):
        assert "| ::error file=x,line=1::owned" in text
        assert not [line for line in text.splitlines() if line.strip().startswith("::")]
        # What a matrix says is shown nowhere in it, so every bracket is of the log.
        assert not re.search(r"##\w*\[", text)
        assert "| then # #teamcity[testStarted name='x'] and # #[error]owned" in text
        assert "\n=========== 1 passed" not in text
        assert [line for line in text.splitlines() if line.startswith("--- end")] == [
            "--- end of the log of rank 0 ---"
        ]


def test_the_json_report_is_valid_and_steers_nothing(project: Project) -> None:
    project.matrix('{recipes: {a: "true"}, nodes: [1], conditions: {c: {}}}')
    project.pytester.makeconftest(
        """
        def pytest_clusterjobs_modify_cells(cells):
            from dataclasses import replace

            owner = "\\x1b[2J\\x9b31m\\u202e\\u2028\\x7f"
            cells[:] = [replace(cell, spec=replace(cell.spec, owner=owner)) for cell in cells]
        """
    )
    project.run("--cluster-json=report.json").assert_outcomes(passed=1)
    assert not steers((project.path / "report.json").read_text("utf-8"))
    (cell,) = project.report("report.json")["cells"]
    assert cell["registration"]["cell"]["spec"]["owner"] == "\x1b[2J\x9b31m\u202e\u2028\x7f"
