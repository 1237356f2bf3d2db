"""Site settings come from pyproject.toml; a mistake there is one clear line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.plugin.conftest import Project

ONE = '{recipes: {a: "true"}, nodes: [1], conditions: {c: {}}}'


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("[tool.clusterjobs]\nbackend = 'x'", "*[[]tool.clusterjobs[]]: unknown key 'backend'*"),
        ("[tool.clusterjobs.backends]\nlocal = 3", "*each backend is a table of its settings"),
        ("[tool.clusterjobs", "*pyproject.toml: *"),
        ("[tool.clusterjobs.backends.mine]\ntype = 'slrum'", "*type must be one of *local*not 'slrum'*"),
        ("[tool.clusterjobs.backends.local]\nslot = 4", "*unknown setting 'slot', did you mean 'slots'?*"),
        (
            "[tool.clusterjobs.backends.mine]\ntype = 'no.such:TYPE'",
            "*cannot load no.such:TYPE: No module named*",
        ),
    ],
)
def test_mistakes(project: Project, settings: str, message: str) -> None:
    (project.path / "pyproject.toml").write_text(settings)
    name = "mine" if ".mine" in settings else "local"
    project.matrix(ONE.replace("{recipes", f"{{backend: {name}, recipes"))
    result = project.pytester.runpytest()
    assert result.ret != 0
    text = result.stdout.str() + result.stderr.str()
    pytest.LineMatcher(text.splitlines()).fnmatch_lines([message])
    assert "Traceback" not in text


def test_a_name_of_ones_own_for_a_type(project: Project) -> None:
    (project.path / "pyproject.toml").write_text(
        '[tool.clusterjobs.backends.laptop]\ntype = "local"\nslots = 2\n'
    )
    project.matrix(ONE)
    result = project.pytester.runpytest(
        "--cluster-backend=laptop", "--junitxml=r.xml", "-o", "junit_family=xunit1"
    )
    result.assert_outcomes(passed=1)
    assert 'value="laptop"' in (project.path / "r.xml").read_text()


def test_a_job_that_needs_more_slots_than_there_are_is_refused_at_collection(project: Project) -> None:
    (project.path / "pyproject.toml").write_text("[tool.clusterjobs.backends.local]\nslots = 2\n")
    project.matrix(ONE.replace("[1]", "[4]"))
    result = project.pytester.runpytest()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["matrices/m.yaml:1:*slots*"])
