"""A third-party backend of one node: wider cells are rejected at collection or submission, never green."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.plugin.conftest import Project

ONE_NODE = '''
"""One process whatever ``nodes`` is, and its log for each rank."""

from dataclasses import replace

from pytest_clusterjobs.backends.local import TYPE
from pytest_clusterjobs.backends.protocol import BackendType
from pytest_clusterjobs.backends.protocol import Capabilities

CAN = Capabilities(min_poll_interval=0.05, max_nodes=1, restarts=False)


class OneNode:
    capabilities = CAN

    def __init__(self, context):
        self.rootdir, self.inner = context.rootdir, TYPE.open(context)

    def submit(self, spec, token):
        with open(self.rootdir / "submissions.txt", "a") as notes:
            notes.write(f"0 {token} {spec.name}\\\\n")
        return self.inner.submit(replace(spec, nodes=1, max_restarts=0), token)

    def logs(self, handle, *, node=0, **rest):
        return self.inner.logs(handle, **rest)

    def __getattr__(self, name):
        if name == "subscribe":
            raise AttributeError(name)
        return getattr(self.inner, name)


class Odd(OneNode):
    capabilities = {"max_nodes": 1}


LATE = BackendType("late", OneNode, TYPE.settings)
EARLY = BackendType("early", OneNode, TYPE.settings, capabilities=lambda settings: CAN)
ODD = BackendType("odd", Odd, TYPE.settings)
'''.replace("\\\\", "\\")

MATRIX = """
recipes: {a: echo hello}
nodes: [1, 2, 8]
conditions: {c: {}}
"""

LATE = "--cluster-backend=late"


@pytest.fixture
def one_node(project: Project) -> Project:
    project.pytester.makepyfile(onenode=ONE_NODE)
    tables = [
        f'[tool.clusterjobs.backends.{name}]\ntype = "onenode:{name.upper()}"\n'
        for name in ("late", "early", "odd")
    ]
    project.pytester.makepyprojecttoml("\n".join(tables))
    project.matrix(MATRIX)
    return project


def test_what_a_type_states_is_refused_at_collection(one_node: Project) -> None:
    result = one_node.pytester.runpytest("--cluster-backend=early")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [
            "matrices/m.yaml:3:12: backend early runs jobs of 1 node at most, not of 2 nodes: *",
            "matrices/m.yaml:3:15: backend early runs jobs of 1 node at most, not of 8 nodes: *",
        ]
    )
    assert not one_node.submitted()


@pytest.mark.parametrize("arguments", [[], ["-n2"], ["-p", "no:rerunfailures", "--cluster-order=file"]])
def test_what_only_the_opened_backend_knows_is_refused_before_a_submission(
    one_node: Project, arguments: list[str]
) -> None:
    result = one_node.pytester.runpytest(LATE, *arguments)
    result.assert_outcomes(passed=1, errors=2)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["why: *backend late runs jobs of 1 node at most, not of 8 nodes*"])
    assert one_node.submitted() == {"a-1n-c": 1}
    assert one_node.verdicts() == {"a-1n-c": "passed", "a-2n-c": "error", "a-8n-c": "error"}


@pytest.mark.parametrize("reason", ["rejected", "any", "job_completed"])
def test_no_expectation_is_met_by_it(one_node: Project, reason: str) -> None:
    one_node.matrix(
        f"recipes: {{a: echo}}\nnodes: [2]\nconditions: {{c: {{expect: {{reason: {reason}}}, marks: [xfail]}}}}\n"
    )
    result = one_node.pytester.runpytest(LATE)
    result.assert_outcomes(errors=1)
    assert not one_node.submitted()


def test_many_of_a_kind_are_told_in_one_line(one_node: Project) -> None:
    one_node.matrix("recipes: {a: echo, b: echo, d: echo}\nnodes: [2]\nconditions: {c: {}}\n")
    result = one_node.pytester.runpytest(LATE)
    result.assert_outcomes(errors=3)
    result.stdout.fnmatch_lines(
        ["3 cells are refused: backend late runs jobs of 1 node at most, not of 2 nodes"]
    )


def test_restarts_that_it_has_not(one_node: Project) -> None:
    one_node.matrix("recipes: {a: echo}\ndefaults: {max_restarts: 1}\n")
    one_node.pytester.runpytest(LATE).assert_outcomes(errors=1)
    result = one_node.pytester.runpytest("--cluster-backend=early")
    result.stdout.fnmatch_lines(["matrices/m.yaml:2:26: backend early does not start jobs again, *"])
    assert not one_node.submitted()


def test_what_a_hook_asks_for(one_node: Project) -> None:
    one_node.pytester.makeconftest(
        """
        from dataclasses import replace
        def pytest_clusterjobs_before_submit(cell):
            return replace(cell.spec, nodes={1: 2, 2: 1, 8: 8}[cell.spec.nodes])
        """
    )
    one_node.pytester.runpytest(LATE).assert_outcomes(passed=1, errors=2)
    assert one_node.submitted() == {"a-2n-c": 1}


def test_a_launch_and_what_comes_after_it(one_node: Project) -> None:
    result = one_node.pytester.runpytest(LATE, "--cluster-launch")
    result.assert_outcomes(skipped=1, errors=2)
    run = next((one_node.path / ".clusterjobs/runs").iterdir()).name
    one_node.pytester.runpytest(LATE, f"--cluster-resume={run}").assert_outcomes(passed=1, errors=2)
    assert one_node.submitted() == {"a-1n-c": 1}


def test_jobs_from_python(one_node: Project) -> None:
    one_node.pytester.makepyfile(
        """
        import pytest
        def test_stated(clusterjobs):
            with pytest.raises(ValueError, match="backend early runs jobs of 1 node at most, not of 2 nodes"):
                clusterjobs.submit("true", nodes=2, backend="early")
            with pytest.raises(ValueError, match="does not start jobs again"):
                clusterjobs.submit("true", max_restarts=1, backend="early")
        def test_opened(clusterjobs):
            outcome = clusterjobs.run("true", nodes=2, backend="late")
            assert outcome.reason == "rejected" and "1 node at most" in outcome.detail
        """
    )
    one_node.pytester.runpytest("test_jobs_from_python.py").assert_outcomes(passed=2)
    assert not one_node.submitted()


def test_an_opened_backend_that_tells_nonsense_is_one_line(one_node: Project) -> None:
    result = one_node.pytester.runpytest("--cluster-backend=odd")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: backend 'odd': its capabilities must be Capabilities, not {'max_nodes': 1}"]
    )
    assert "Traceback" not in result.stdout.str() + result.stderr.str()
    assert not one_node.submitted()
