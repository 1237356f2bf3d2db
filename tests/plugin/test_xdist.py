"""Under xdist the controller submits, once each, and workers wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_clusterjobs.ledger.ledger import Ledger

if TYPE_CHECKING:
    from tests.plugin.conftest import Project

TWELVE = """
recipes: {a: "true", b: "true", c: "true"}
nodes: [1, 2]
conditions: {good: {}, bad: {run: exit 3, expect: {exit_code: 3}}}
"""


@pytest.mark.parametrize("dist", ["load", "worksteal", "loadfile", "loadgroup"])
def test_each_cell_is_submitted_once_by_one_process(project: Project, dist: str) -> None:
    project.matrix(TWELVE)
    project.matrix(TWELVE, "matrices/n.yaml")
    project.ini("markers = xdist_group")
    result = project.run("-n2", "--dist", dist, "--junitxml=report.xml")
    result.assert_outcomes(passed=24)
    assert sorted(project.submitted().values()) == [2] * 12, "twelve names in two files"
    assert len(project.submitters()) == 1
    assert project.report("report.json")["summary"]["passed"] == 24


def test_groups_do_not_change_a_cells_key(project: Project) -> None:
    project.matrix(
        """
        defaults: {marks: [{xdist_group: {name: one}}]}
        recipes: {a: "true"}
        nodes: [1, 2]
        conditions: {c: {}}
        """
    )
    project.run("-n2", "--dist=loadgroup").assert_outcomes(passed=2)
    assert set(project.verdicts()) == {"a-1n-c", "a-2n-c"}
    assert set(project.verdicts().values()) == {"passed"}


def test_the_jobs_run_at_once_although_workers_are_few(project: Project) -> None:
    project.matrix(
        "{recipes: {a: sleep 2, b: sleep 2, c: sleep 2, d: sleep 2}, nodes: [1], conditions: {c: {}}}"
    )
    result = project.pytester.runpytest_subprocess("-n1")
    result.assert_outcomes(passed=4)
    times = [cell["attempts"][0]["outcome"]["times"] for cell in project.report()["cells"]]
    assert max(time["started"] for time in times) < min(time["ended"] for time in times)


def test_failures_explain_themselves_through_a_worker(project: Project) -> None:
    project.matrix("{recipes: {a: exit 7}, nodes: [1], conditions: {c: {}, i: {run: hint preempted}}}")
    result = project.run("-n1")
    result.assert_outcomes(failed=1, errors=1)
    result.stdout.fnmatch_lines(
        ["matrices/m.yaml:1: a-1n-c: expected job_completed exit 0, got job_failed exit 7"]
    )


def test_maxfail_stops_workers_that_wait(project: Project) -> None:
    project.matrix(
        "{recipes: {a: sleep 300}, nodes: [1], conditions: {fails: {run: exit 1}, waits: {}, too: {}}}"
    )
    result = project.pytester.runpytest_subprocess("-n2", "-x")
    assert result.duration < 60
    assert result.ret != 0
    assert project.verdicts()["a-1n-waits"] == "not run"


def test_a_killed_worker_doubles_nothing(project: Project) -> None:
    project.matrix("{recipes: {a: sleep 1, b: sleep 1, c: sleep 1}, nodes: [1], conditions: {c: {}, d: {}}}")
    project.pytester.makeconftest(
        """
        import os, pathlib, signal
        def pytest_runtest_setup(item):
            if "b-1n" in item.nodeid and not pathlib.Path("killed").exists():
                pathlib.Path("killed").touch()
                os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    result = project.pytester.runpytest_subprocess("-n2")
    outcomes = result.parseoutcomes()
    assert outcomes["passed"] >= 4 and outcomes["failed"] == 1
    folder = max(project.path.glob(".clusterjobs/runs/*"))
    ledger = Ledger(folder / "ledger.sqlite")
    attempts = ledger.attempts()
    ledger.close()
    assert len(attempts) == 6
    assert {attempt.number for attempt in attempts} == {1}


def test_nothing_is_submitted_after_errors_in_collection(project: Project) -> None:
    project.matrix(TWELVE)
    project.matrix("recipes: {", "matrices/broken.yaml")
    assert project.run("-n2").ret != 0
    assert not project.submitted()


@pytest.mark.parametrize("arguments", [[], ["-n2"]], ids=str)
def test_cells_beside_a_file_that_does_not_import_are_not_run(project: Project, arguments: list[str]) -> None:
    project.matrix(TWELVE)
    project.pytester.makepyfile(test_broken="import nonsense_module")
    project.pytester.makepyfile(test_jobs="def test_job(clusterjobs): clusterjobs.run('true')")
    result = project.run("-rs", *arguments)
    assert result.ret not in (pytest.ExitCode.OK, pytest.ExitCode.INTERNAL_ERROR)
    assert "KeyError" not in result.stdout.str()
    assert result.parseoutcomes() == ({"errors": 1, "skipped": 13} if arguments else {"errors": 1})
    if arguments:
        result.stdout.fnmatch_lines(["SKIPPED*not run: nothing is submitted after errors in collection*"])
    assert not project.submitted()


def test_errors_in_collection_can_be_passed_over(project: Project) -> None:
    project.matrix(TWELVE)
    project.pytester.makepyfile(test_broken="import nonsense_module")
    result = project.run("-n2", "--continue-on-collection-errors")
    assert result.parseoutcomes() == {"errors": 1, "passed": 12}


def test_a_python_test_whose_id_looks_like_a_cell_starts_no_run(project: Project) -> None:
    project.pytester.makepyfile(
        """
        import pytest
        @pytest.mark.parametrize("name", ["m.yaml::a"])
        def test_it(name): pass
        """
    )
    project.run("-n1").assert_outcomes(passed=1)
    assert not (project.path / ".clusterjobs").exists()
