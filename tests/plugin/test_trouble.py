"""What goes wrong around a run: disks, names, plugins and impatient people. No hang, no trace, no false
green."""

from __future__ import annotations

import signal
import sqlite3
import time
from typing import TYPE_CHECKING

import pytest

from tests.plugin.test_leaks import jobs_run
from tests.plugin.test_leaks import of_project
from tests.plugin.test_leaks import SLEEPERS
from tests.plugin.test_leaks import start
from tests.plugin.test_leaks import until

if TYPE_CHECKING:
    from tests.plugin.conftest import Project

pytestmark = pytest.mark.quiet

GOOD_AND_BAD = '{recipes: {a: "true"}, nodes: [1], conditions: {good: {}, bad: {run: exit 3}}}'


def fill_the_disk(project: Project) -> None:
    """Let every statement that adds to the ledger fail as SQLite does on a full disk."""
    (path,) = project.path.glob(".clusterjobs/runs/*/ledger.sqlite")
    other = sqlite3.connect(path, timeout=30)
    for table in ("meta", "actions", "observations", "submissions", "outcomes", "results", "reports"):
        other.execute(
            f"CREATE TRIGGER full_{table} BEFORE INSERT ON {table}"
            " BEGIN SELECT RAISE(ROLLBACK, 'database or disk is full'); END"
        )
    other.close()


@pytest.mark.parametrize("arguments", [[], ["-n1"]])
def test_a_ledger_that_cannot_be_made_is_one_line_and_nothing_is_submitted(
    six: Project, arguments: list[str]
) -> None:
    (six.path / ".clusterjobs").touch()
    result = six.run(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: *.clusterjobs: Not a folder: name a folder for the runs with --cluster-dir=DIR*"]
    )
    assert "Traceback" not in result.stdout.str() + result.stderr.str()
    assert not six.submitted()


@pytest.mark.parametrize("arguments", [[], ["-n1"]])
def test_a_disk_that_fills_up_ends_the_run_its_jobs_and_says_so_in_one_line(
    project: Project, arguments: list[str]
) -> None:
    project.matrix(SLEEPERS)
    project.matrix("{recipes: {b: sleep 4}, nodes: [1], conditions: {c: {}}}", "matrices/b.yaml")
    process = start(project, *arguments)
    until(lambda: jobs_run(project.path), 30)
    fill_the_disk(project)
    output = process.communicate(timeout=60)[0].decode()
    assert process.returncode == pytest.ExitCode.USAGE_ERROR
    assert "\nERROR: " in output and "ledger.sqlite: database or disk is full" in output
    assert "cut short" in output
    assert "INTERNALERROR" not in output and "Traceback" not in output
    until(lambda: not of_project(project.path), 30)


def test_kill_9_while_the_disk_is_full_leaves_no_process_either(project: Project) -> None:
    project.matrix(SLEEPERS)
    process = start(project)
    until(lambda: jobs_run(project.path), 30)
    fill_the_disk(project)
    process.kill()
    process.communicate()
    until(lambda: not of_project(project.path), 30)


def test_the_reaper_finds_a_backend_where_pytest_found_it(project: Project) -> None:
    (project.path / "src").mkdir()
    (project.path / "src" / "clusterjobs_own.py").write_text(
        "from pytest_clusterjobs.backends.local import TYPE as TYPE"
    )
    project.pytester.makeini("[pytest]\npythonpath = src\n")
    project.pytester.makepyprojecttoml('[tool.clusterjobs.backends.own]\ntype = "clusterjobs_own:TYPE"\n')
    project.matrix(SLEEPERS)
    process = start(project, "--cluster-backend=own")
    until(lambda: jobs_run(project.path), 30)
    process.kill()
    process.communicate()
    until(lambda: not of_project(project.path), 30)


@pytest.mark.parametrize("arguments", [[], ["-n1"]])
def test_a_cluster_that_cannot_be_reached_is_said_in_one_line(project: Project, arguments: list[str]) -> None:
    project.pytester.makepyfile(
        clusterjobs_away="""
        from pytest_clusterjobs.backends.protocol import BackendError, BackendType
        def open_it(context):
            raise BackendError("no credentials")
        TYPE = BackendType("away", open_it)
        """
    )
    project.pytester.makepyprojecttoml('[tool.clusterjobs.backends.spy]\ntype = "clusterjobs_away:TYPE"\n')
    project.matrix(GOOD_AND_BAD)
    result = project.run(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: no credentials"])


@pytest.mark.parametrize("pause", [0.05, 0.3])
def test_impatient_ctrl_c_leaves_no_job_and_a_whole_report(project: Project, pause: float) -> None:
    project.matrix(SLEEPERS.replace("exec sleep 300", "trap '' TERM INT; while :; do sleep 1; done"))
    process = start(project, "-v")
    until(lambda: jobs_run(project.path), 30)
    process.send_signal(signal.SIGINT)
    time.sleep(pause)  # somebody's second thoughts
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=30)[0].decode()
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output
    assert "Traceback" not in output
    assert project.report()["summary"]["not_run"] == 4
    until(lambda: not of_project(project.path), 40)


def test_the_same_cell_twice_is_one_job_told_twice(project: Project) -> None:
    path = str(project.matrix(GOOD_AND_BAD))
    project.run("--keep-duplicates", path, path).assert_outcomes(passed=2, failed=2)
    assert set(project.submitted().values()) == {1}


def test_a_conftest_that_repeats_and_reorders(six: Project) -> None:
    six.pytester.makeconftest(
        "def pytest_collection_modifyitems(items): items[:] = [*reversed(items), *items[:2]]"
    )
    six.run().assert_outcomes(passed=8)
    assert set(six.submitted().values()) == {1}


def test_files_outside_of_rootdir_are_told_apart(project: Project) -> None:
    (inner := project.path / "inner").mkdir()
    (inner / "pytest.ini").write_text("[pytest]\npythonpath = ..\n")
    (inner / "pyproject.toml").write_text((project.path / "pyproject.toml").read_text())
    one = project.matrix(GOOD_AND_BAD, "one/m.yaml")
    two = project.matrix(GOOD_AND_BAD.replace("exit 3", '"true # fine"'), "two/m.yaml")
    result = project.run("-c", str(inner / "pytest.ini"), "--rootdir", str(inner), str(one), str(two))
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(
        ["run it again:*pytest --cluster-backend=spy -p no:cacheprovider -c * one/m.yaml::a-1n-bad"]
    )


@pytest.mark.parametrize("arguments", [[], ["-n1", "--dist=loadgroup"]])
def test_an_odd_file_name_is_reported_like_any_other(project: Project, arguments: list[str]) -> None:
    project.matrix(GOOD_AND_BAD, "matrices/sp ace [1] ü@home.yaml")
    project.run(*arguments).assert_outcomes(passed=1, failed=1)
    assert [cell["reported"] for cell in project.report()["cells"]] == ["passed", "failed"]


def test_a_condition_that_cannot_be_evaluated_is_that_cells_error(project: Project) -> None:
    project.matrix(
        """
        recipes: {a: "true"}
        nodes: [1]
        conditions: {c: {marks: [{skipif: "no such thing"}]}, d: {}}
        """
    )
    project.run().assert_outcomes(passed=1, errors=1)
    assert set(project.submitted()) == {"a-1n-d"}


@pytest.mark.parametrize("arguments", [[], ["-n1"]])
def test_rerunfailures_does_not_tell_the_same_end_twice(project: Project, arguments: list[str]) -> None:
    project.matrix(GOOD_AND_BAD.replace("run: exit 3", "run: exit 3, marks: [{flaky: {reruns: 3}}]"))
    project.pytester.makepyfile("def test_python(): assert False")
    result = project.run("--reruns=2", *arguments)
    assert result.parseoutcomes() == {"passed": 1, "failed": 2, "rerun": 2}
    assert project.submitted() == {"a-1n-good": 1, "a-1n-bad": 4}, "its own mark is three new attempts"
    assert project.verdicts() == {"a-1n-good": "passed", "a-1n-bad": "failed"}


def test_skipping_an_item_does_not_make_its_failed_job_green(project: Project) -> None:
    """A fixture's skip comes when the job is over: the report says failed, and so does the exit code."""
    project.matrix(GOOD_AND_BAD)
    project.pytester.makeconftest(
        "import pytest\n@pytest.fixture(autouse=True)\ndef not_today(): pytest.skip('not today')"
    )
    result = project.run()
    result.assert_outcomes(skipped=2)
    assert project.verdicts()["a-1n-bad"] == "failed"
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_a_report_that_cannot_be_written_is_not_green(six: Project) -> None:
    (six.path / "there").touch()
    result = six.run("--cluster-json=there/report.json")
    result.assert_outcomes(passed=6)
    result.stdout.fnmatch_lines(["cannot write *there/report.json: *"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_the_report_is_beside_a_junit_file_in_the_home_folder(
    six: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(six.path / "home"))
    six.run("--junitxml=~/out/report.xml").assert_outcomes(passed=6)
    assert {path.name for path in (six.path / "home" / "out").iterdir()} == {"report.xml", "report.json"}


def test_the_summary_needs_no_working_folder(six: Project) -> None:
    six.pytester.makepyfile(
        """
        import os
        def test_leaves(tmp_path):
            (tmp_path / "gone").mkdir()
            os.chdir(tmp_path / "gone")
            (tmp_path / "gone").rmdir()
        """
    )
    result = six.pytester.runpytest_subprocess("--cluster-backend=spy", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=7)
    assert result.ret == 0


def test_a_matrix_is_run_again_from_where_pytest_was_started(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.matrix(GOOD_AND_BAD)
    (project.path / "inner").mkdir()
    monkeypatch.chdir(project.path / "inner")
    result = project.run("../matrices")
    result.stdout.fnmatch_lines(["run it again:*../matrices/m.yaml::a-1n-bad"])
