"""Cells and fixtures: a cell is a test item like any other, of a file that stands for a module."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

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


@pytest.mark.parametrize(
    ("conftest", "words"),
    [
        ("", "fixture 'checked' not found: see pytest --fixtures for the available ones"),
        (
            "import pytest\n@pytest.fixture(params=[1, 2])\ndef checked(request): return request.param",
            "fixture 'checked' is parametrized, and no cell has parameters: name one that is not",
        ),
        (
            "import pytest\n@pytest.fixture\ndef checked(deeper): pass",
            "fixture 'deeper' not found: see pytest --fixtures for the available ones",
        ),
        (
            "import pytest\n@pytest.fixture\ndef checked(): pass\n"
            "@pytest.fixture(autouse=True, params=[1])\ndef everywhere(request): request.param",
            "fixture 'everywhere' is parametrized, and no cell has parameters: name one that is not",
        ),
        (
            "import pytest\n@pytest.fixture\ndef short(): pass\n"
            "@pytest.fixture\ndef checked(wide): pass\n@pytest.fixture(scope='module')\ndef wide(short): pass",
            "fixture 'wide' has the scope module and asks for 'short', which has the scope function:"
            " give 'short' the scope module",
        ),
        (
            "import pytest\n@pytest.fixture\ndef checked(back): pass\n@pytest.fixture\ndef back(checked): pass",
            "fixture 'checked' requests itself: checked -> back -> checked",
        ),
    ],
)
@pytest.mark.parametrize("arguments", [[], ["-n1"]], ids=str)
def test_mistakes_with_fixtures_are_told_before_a_job_is_spent(
    project: Project, conftest: str, words: str, arguments: list[str]
) -> None:
    project.matrix(TWO_FILES)
    project.pytester.makeconftest(conftest)
    result = project.run(*arguments)
    assert result.parseoutcomes() == {"errors": 1}
    result.stdout.fnmatch_lines([f"matrices/m.yaml:4:1: a-1n-c: {words}"])
    assert not project.submitted()


def test_a_fixture_that_overrides_one_and_asks_for_it_is_no_mistake(project: Project) -> None:
    project.matrix(TWO_FILES)
    project.pytester.makeconftest("import pytest\n@pytest.fixture(scope='session')\ndef checked(): return 1")
    (project.path / "matrices" / "conftest.py").write_text(
        "import pytest\n@pytest.fixture\ndef checked(checked, request, tmp_path): assert checked == 1"
    )
    assert set(project.run().parseoutcomes()) == {"passed"}


def test_cells_have_what_conftests_ask_of_test_functions(project: Project) -> None:
    project.matrix(TWO_FILES)
    project.pytester.makeconftest(
        """
        import pytest
        def look(item):
            assert (item.module.__name__, item.cls, item.instance) == ("m", None, None)
            assert item.module.__file__.endswith("matrices/m.yaml") and not hasattr(item.module, "nonsense")
            assert callable(item.function) and item.function is item.obj and item.originalname
        def pytest_collection_modifyitems(items):
            for item in items: look(item)
        def pytest_runtest_setup(item): look(item)
        @pytest.fixture(autouse=True)
        def everywhere(request):
            look(request.node)
            assert request.module is request.node.module and request.module.__name__ == "m"
            assert getattr(request.module, "PORT", 7) == 7
            assert (request.cls, request.instance) == (None, None)
            assert request.function.__name__ and request.path.name == request.fspath.basename == "m.yaml"
        @pytest.fixture(scope="module")
        def checked(request): assert request.module.__doc__ is None
        """
    )
    for arguments in ([], ["-n1"]):
        project.run(*arguments).assert_outcomes(passed=2)


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
