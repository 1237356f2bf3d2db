"""A verdict is seen as what it is: in the terminal, the exit code, JUnit and the JSON report."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.plugin.conftest import Project

MATRIX = """
recipes: {a: "true"}
nodes: [1]
conditions:
  good: {}
  bad: {run: exit 7}
  infra: {run: hint preempted}
  refused: {run: refuse}
"""


def test_failures_and_errors_are_told_apart(project: Project) -> None:
    project.matrix(MATRIX)
    result = project.run("--junitxml=report.xml")
    result.assert_outcomes(passed=1, failed=1, errors=2)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    cases = {
        case.get("name"): [child.tag for child in case] for case in ET.parse("report.xml").iter("testcase")
    }
    assert cases == {
        "a-1n-good": [],
        "a-1n-bad": ["failure"],
        "a-1n-infra": ["error"],
        "a-1n-refused": ["error"],
    }
    cells = project.report("report.json")["cells"]
    verdicts = {cell["key"].rpartition("-")[2]: cell["verdict"] for cell in cells}
    assert verdicts == {"good": "passed", "bad": "failed", "infra": "error", "refused": "error"}


def test_the_failure_text_explains_itself(project: Project) -> None:
    project.matrix(MATRIX)
    result = project.run()
    result.stdout.fnmatch_lines(
        [
            "*ERROR at setup of m: a-1n-refused*",
            "matrices/m.yaml:8: a-1n-refused: expected job_completed exit 0, got rejected",
            "*quota exceeded: no nodes*",
        ]
    )
    result.stdout.fnmatch_lines(
        [
            "matrices/m.yaml:6: a-1n-bad: expected job_completed exit 0, got job_failed exit 7",
            "*expected*seen",
            "E reason*job_completed*job_failed",
            "E exit_code*0*7",
            "*pytest --cluster-backend=spy * matrices/m.yaml::a-1n-bad",
        ]
    )
    result.stdout.fnmatch_lines(
        ["FAILED matrices/m.yaml::a-1n-bad - got job_failed exit 7, expected job_compl*"]
    )
    assert "Traceback" not in result.stdout.str()


def test_the_first_line_of_a_junit_failure_names_file_and_line(project: Project) -> None:
    project.matrix(MATRIX)
    project.run("--junitxml=report.xml")
    for failure in ET.parse("report.xml").iter("failure"):
        assert (failure.text or "").startswith("matrices/m.yaml:6: a-1n-bad: expected")
        # The case has name and file by itself.
        assert failure.get("message") == "got job_failed exit 7, expected job_completed exit 0"
    (one, two) = (error.get("message", "") for error in ET.parse("report.xml").iter("error"))
    assert {one, two} == {
        f'failed on setup with "got {reason}, expected job_completed exit 0"'
        for reason in ("preempted", "rejected")
    }


def test_xfail_covers_the_product_only(project: Project) -> None:
    project.matrix(
        """
        defaults: {marks: [{xfail: {reason: known, strict: true}}]}
        recipes: {a: "true"}
        nodes: [1]
        conditions:
          bad: {run: exit 7}
          good: {}
          infra: {run: hint node_failed}
        """
    )
    result = project.run("-rxX")
    result.assert_outcomes(xfailed=1, failed=1, errors=1)
    verdicts = project.verdicts()
    assert verdicts == {"a-1n-bad": "passed", "a-1n-good": "failed", "a-1n-infra": "error"}


def test_cancelled_by_somebody_else_is_an_error(project: Project) -> None:
    project.matrix("{recipes: {a: hint cancelled}, nodes: [1], conditions: {c: {}}}")
    project.run().assert_outcomes(errors=1)


def test_all_that_is_unmet_is_said_at_once(project: Project) -> None:
    project.matrix(
        """
        recipes: {a: exit 4}
        nodes: [1]
        conditions:
          c: {max_restarts: 2, expect: {reason: job_failed, exit_code: 3, restarts: 2, heartbeats: ">=5", log: {contains: [hello]}}}
        """
    )
    result = project.run()
    result.stdout.fnmatch_lines(["E exit_code*", "E restarts*", "E heartbeats*", "E log.contains*"])


def test_a_heartbeat_test_of_a_job_that_never_beats_is_no_test(project: Project) -> None:
    project.matrix(
        """
        recipes:
          never: "while echo alive; do sleep 0.1; done"
          once: touch "$CLUSTERJOBS_HEARTBEAT_FILE"; sleep 1000
        nodes: [1]
        defaults: {grace_period: 1s}
        conditions:
          stalls: {heartbeat_timeout: 1s, expect: {reason: heartbeat_timeout}}
          any_way: {heartbeat_timeout: 1s, expect: {reason: heartbeat_timeout, heartbeats: ">=0"}}
        """
    )
    result = project.pytester.runpytest()
    assert project.verdicts() == {
        "never-1n-stalls": "failed",
        "never-1n-any_way": "passed",
        "once-1n-stalls": "passed",
        "once-1n-any_way": "passed",
    }
    result.stdout.fnmatch_lines(
        [
            "E heartbeats *>=1 (implied by heartbeat_timeout)*0: the job never touched"
            " $CLUSTERJOBS_HEARTBEAT_FILE; output does not count (*expect heartbeats: '>=0')"
        ]
    )


def test_a_hook_that_expects_a_heartbeat_timeout_expects_a_beat_too(project: Project) -> None:
    project.matrix("{recipes: {a: sleep 1000}, nodes: [1], conditions: {c: {heartbeat_timeout: 1s}}}")
    project.pytester.makeconftest(
        """
        from dataclasses import replace
        from pytest_clusterjobs.model import Expectation

        def pytest_clusterjobs_modify_cells(cells):
            expect = Expectation(reasons=("heartbeat_timeout",), exit_codes=None)
            cells[:] = [replace(cell, expect=expect) for cell in cells]
        """
    )
    project.pytester.runpytest()
    assert project.verdicts() == {"a-1n-c": "failed"}
    assert [miss["field"] for miss in project.report()["cells"][0]["result"]["judgement"]["misses"]] == [
        "heartbeats"
    ]


def test_a_number_counts_whole_and_from_the_last_line_of_its_name(project: Project) -> None:
    project.matrix(
        r"""
        recipes:
          nan: printf 'loss=1.5\nloss=nan\n'
          more: printf 'loss=1.5\nloss=1e20\n'
          grouped: printf 'loss=1.5\nloss=1,234\n'
          below: printf 'loss=\n1.5\n'
          good: printf 'loss=9\r\033[1mloss=\033[32m1.5\033[0m\r\n'
        nodes: [1]
        conditions:
          number: {expect: {metrics: {LOSS: {pattern: 'loss={number}', max: 2}}}}
          group: {expect: {metrics: {LOSS: {pattern: 'loss=\s*([0-9.]+)', max: 2}}}}
        """
    )
    result = project.pytester.runpytest()
    assert {key for key, verdict in project.verdicts().items() if verdict == "passed"} == {
        "good-1n-number",
        "good-1n-group",
    }
    result.stdout.fnmatch_lines_random(
        [
            'E metrics.LOSS *"nan" is not finite*',
            'E metrics.LOSS *"1" is only part of "1e20"; write {number} in place of the number*',
            'E metrics.LOSS *"loss=" is followed by nothing, where the pattern does not match*',
        ]
    )


def test_a_failing_fixture_is_its_own_error_and_the_last_word(project: Project) -> None:
    project.matrix(
        """
        recipes: {a: "true"}
        nodes: [1]
        conditions: {c: {fixtures: [broken]}}
        """
    )
    project.pytester.makeconftest(
        """
        import pytest
        @pytest.fixture
        def broken(): raise RuntimeError("no such luck")
        """
    )
    project.run().assert_outcomes(errors=1)
    assert project.verdicts() == {"a-1n-c": "error"}


def test_quiet_and_verbose(project: Project) -> None:
    project.matrix('{recipes: {a: "true"}, nodes: [1], conditions: {c: {}}}')
    project.run("-q").stdout.fnmatch_lines(["run *: 1 passed", "report: .clusterjobs/runs/*/report.json"])
    project.run().stdout.fnmatch_lines(
        ["*= cluster jobs =*", "job * reason *", "* a * passed * job_completed *"]
    )


def test_durations_and_junit_times_are_the_jobs(project: Project) -> None:
    project.matrix("{recipes: {a: sleep 1}, nodes: [1], conditions: {c: {}}}")
    result = project.pytester.runpytest("--durations=3", "--junitxml=report.xml")
    result.assert_outcomes(passed=1)
    result.stdout.re_match_lines([r"1\.\d+s call +matrices/m.yaml::a-1n-c"])
    case = next(ET.parse("report.xml").iter("testcase"))
    assert 1.0 <= float(case.get("time", "0")) < 3.0
