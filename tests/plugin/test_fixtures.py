"""Cells and fixtures: a cell is a test item like any other, of a file that stands for a module."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.plugin.conftest import Project

TWO_FILES = """
recipes: {a: "true", b: "true"}
nodes: [1]
conditions: {c: {fixtures: [checked]}}
"""


def test_named_and_autouse_fixtures_of_every_scope(project: Project) -> None:
    project.matrix(TWO_FILES)
    project.matrix(TWO_FILES, "matrices/deep/n.yaml")
    project.pytester.makeconftest(
        """
        import pytest
        from collections import Counter
        built = Counter()

        @pytest.fixture(scope="session", autouse=True)
        def a_session(): built["session"] += 1

        @pytest.fixture(scope="module", autouse=True)
        def a_module(request): built["module"] += 1; assert request.node.path.suffix == ".yaml"

        @pytest.fixture(autouse=True)
        def a_function(request): built["function"] += 1

        @pytest.fixture
        def checked(request, record_property):
            yield
            assert request.node.result.outcome.reason == "job_completed"
            record_property("checked", "yes")

        def pytest_unconfigure(config): print("BUILT", dict(sorted(built.items())))
        """
    )
    result = project.run("-s", "--cluster-order=file")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["BUILT {'function': 4, 'module': 2, 'session': 1}"])
    result = project.run("-s")
    result.assert_outcomes(passed=4)
    result.stdout.re_match_lines([r"BUILT \{'function': 4, 'module': [234], 'session': 1\}"])


def test_a_fixture_sees_the_outcome_and_can_fail_the_cell(project: Project) -> None:
    project.matrix(TWO_FILES)
    project.pytester.makeconftest(
        """
        import pytest
        @pytest.fixture
        def checked(request):
            outcome = request.node.result.outcome
            assert outcome.run_seconds < 3600
            if request.node.cell.spec.recipe == "b":
                pytest.fail("not good enough")
        """
    )
    project.run().assert_outcomes(passed=1, errors=1)


def test_an_unknown_fixture_is_an_error_of_its_cells_and_submits_nothing_twice(project: Project) -> None:
    project.matrix(TWO_FILES)
    result = project.run()
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*fixture 'checked' not found*"])


def test_conftest_hooks_see_cells(project: Project) -> None:
    project.matrix('{recipes: {a: "true", b: "true"}, nodes: [1], conditions: {c: {}}}')
    project.pytester.makeconftest(
        """
        import pytest
        def pytest_collection_modifyitems(items):
            for item in items:
                if item.cell.axes["recipe"] == "b":
                    item.add_marker(pytest.mark.skip(reason="not b"))
        """
    )
    project.run().assert_outcomes(passed=1, skipped=1)
    assert project.submitted() == {"a-1n-c": 1}
