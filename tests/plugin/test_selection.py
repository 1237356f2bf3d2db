"""Nothing is submitted unless it is selected and will run; pytest's own options say what that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.plugin.conftest import Project

CELL = "matrices/m.yaml::arena-1n-cmd_fails"


def test_all_cells_run_and_have_stable_ids(six: Project) -> None:
    result = six.run("-v")
    result.assert_outcomes(passed=6)
    result.stdout.fnmatch_lines([f"{CELL} PASSED*"])
    assert six.submitted().total() == 6


@pytest.mark.parametrize("option", ["--collect-only", "--setup-plan", "--setup-only"])
def test_options_that_only_show_submit_nothing(six: Project, option: str) -> None:
    result = six.run(option)
    assert result.ret == 0
    assert not six.submitted()
    assert not (six.path / ".clusterjobs").exists()


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (["-k", "heartbeat"], 2),
        (["-k", "arena and not heartbeat"], 2),
        (["-k", "nothing_like_it"], 0),
        (["--deselect", CELL], 5),
        ([CELL], 1),
        (["matrices"], 6),
        (["matrices/m.yaml"], 6),
        (["-m", "nightly"], 0),
        (["--ignore", "matrices"], 0),
    ],
)
def test_selection(six: Project, arguments: list[str], count: int) -> None:
    six.ini("markers = nightly")
    six.run(*arguments)
    assert six.submitted().total() == count


def test_marks_select_cells(project: Project) -> None:
    project.ini("markers = nightly")
    project.matrix(
        """
        recipes: {a: "true"}
        nodes: [1, 2]
        conditions: {c: {}}
        overrides: [{where: {nodes: 2}, marks: [nightly]}]
        """
    )
    project.run("-m", "nightly").assert_outcomes(passed=1, deselected=1)
    assert project.submitted() == {"a-2n-c": 1}


def test_skipped_cells_are_not_submitted(project: Project) -> None:
    project.matrix(
        """
        recipes: {a: "true"}
        nodes: [1]
        conditions:
          runs: {}
          skipped: {marks: [{skip: not today}]}
          skipped_if: {marks: [{skipif: {condition: "True", reason: nope}}]}
          xfailed: {marks: [{xfail: {reason: known, run: false}}]}
        """
    )
    result = project.run("-rs")
    result.assert_outcomes(passed=1, skipped=2, xfailed=1)
    result.stdout.fnmatch_lines(["*not today*"])
    assert project.submitted() == {"a-1n-runs": 1}


def test_an_error_in_collection_submits_nothing(six: Project) -> None:
    six.matrix("recipes: {", "matrices/broken.yaml")
    result = six.run()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert not six.submitted()
    assert six.run("--continue-on-collection-errors").ret == pytest.ExitCode.TESTS_FAILED
    assert six.submitted().total() == 6


def test_only_files_under_the_patterns_are_claimed(six: Project) -> None:
    six.matrix("not: a matrix", "config/settings.yaml")
    six.matrix("- a list", "deep/matrices/other.yaml")
    six.run().assert_outcomes(passed=6)
    six.ini("cluster_matrices = nightly/**/*.yml")
    six.matrix('{recipes: {a: "true"}, nodes: [1], conditions: {c: {}}}', "nightly/a.yml")
    six.matrix('{recipes: {a: "true"}, nodes: [1], conditions: {c: {}}}', "nightly/deep/er/b.yml")
    six.run().assert_outcomes(passed=2)


def test_a_yaml_file_named_on_the_command_line_is_a_matrix_wherever_it_is(project: Project) -> None:
    project.matrix('{recipes: {a: "true"}, nodes: [1], conditions: {c: {}}}', "elsewhere.yaml")
    project.run("elsewhere.yaml").assert_outcomes(passed=1)


def test_last_failed_runs_what_failed(six: Project) -> None:
    six.matrix(
        """
        recipes: {a: "true"}
        nodes: [1]
        conditions: {good: {}, bad: {run: exit 1}, worse: {run: exit 2}}
        """
    )
    run = six.pytester.runpytest
    run("--cluster-backend=spy").assert_outcomes(passed=1, failed=2)
    run("--cluster-backend=spy", "--lf").assert_outcomes(failed=2)
    assert six.submitted() == {"a-1n-good": 1, "a-1n-bad": 2, "a-1n-worse": 2}
    run("--cluster-backend=spy", "--ff", "-v").assert_outcomes(passed=1, failed=2)


def test_new_first_and_stepwise(six: Project) -> None:
    six.matrix(
        """
        recipes: {a: "true"}
        nodes: [1]
        conditions: {good: {}, bad: {run: exit 1}, never: {}}
        """
    )
    run = six.pytester.runpytest
    run("--cluster-backend=spy", "--nf").assert_outcomes(passed=2, failed=1)
    result = run("--cluster-backend=spy", "--sw")
    result.assert_outcomes(passed=1, failed=1)
    result = run("--cluster-backend=spy", "--sw")
    result.stdout.fnmatch_lines(["*skipping 1 already passed item*"])
    result.assert_outcomes(failed=1, deselected=1)


def test_only_on_backend_skips_and_keeps_the_id(project: Project) -> None:
    project.matrix(
        """
        recipes: {a: "true"}
        nodes: [1]
        conditions: {c: {}, elsewhere: {only: {backend: local}}}
        """
    )
    result = project.run("-rs", "-v")
    result.assert_outcomes(passed=1, skipped=1)
    assert project.submitted() == {"a-1n-c": 1}


def test_an_unknown_backend_is_a_usage_error_with_advice(six: Project) -> None:
    result = six.pytester.runpytest("--cluster-backend=spi")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --cluster-backend: unknown backend 'spi', did you mean 'spy'?"])


def test_python_tests_and_cells_mix(six: Project) -> None:
    six.pytester.makepyfile(test_plain="def test_plain(): pass")
    six.run().assert_outcomes(passed=7)
    assert six.submitted().total() == 6


def test_the_plugin_can_be_switched_off(six: Project) -> None:
    six.pytester.makepyfile(test_plain="def test_plain(): pass")
    six.pytester.runpytest("-p", "no:clusterjobs").assert_outcomes(passed=1)
    assert not six.submitted()
