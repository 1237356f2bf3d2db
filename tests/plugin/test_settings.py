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


FAULTY = """
[tool.clusterjobs.backends.mine]
type = "slurm"
partiton = "x"
poll_interval = "2s"
time = "10"
[tool.clusterjobs.backends.unused]
type = "not_installed"
"""


@pytest.mark.parametrize("named", [False, True], ids=["in the matrix", "on the command line"])
def test_all_faults_of_a_backend_are_reported_with_their_lines(project: Project, named: bool) -> None:
    (project.path / "pyproject.toml").write_text(FAULTY)
    project.matrix(ONE if named else ONE.replace("{recipes", "{backend: mine, recipes"))
    result = project.pytester.runpytest(*(["--cluster-backend=mine"] if named else []))
    assert result.ret != 0
    text = result.stdout.str() + result.stderr.str()
    where = "[tool.clusterjobs.backends.mine]"
    for fault in (
        f"pyproject.toml:4: {where}: unknown setting 'partiton', did you mean 'partition'?",
        f"pyproject.toml:5: {where}: poll_interval must be 0.1 to 60 seconds, not '2s'",
        f"pyproject.toml:6: {where}: time is set by the backend: use max_runtime",
    ):
        assert f"{'--cluster-backend' if named else 'backend'}: {fault}" in text
    assert "Traceback" not in text and "not_installed" not in text


def test_a_faulty_backend_that_is_not_used_is_left_alone(project: Project) -> None:
    (project.path / "pyproject.toml").write_text(FAULTY)
    project.matrix(ONE)
    project.pytester.runpytest().assert_outcomes(passed=1)


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
