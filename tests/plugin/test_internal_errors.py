"""After an internal error, ours or another plugin's: one line on the jobs, exit code 3, reports that are
true."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.plugin.test_leaks import of_project
from tests.plugin.test_leaks import until
from tests.plugin.test_together import junit

if TYPE_CHECKING:
    from tests.plugin.conftest import Project

MATRIX = "{recipes: {ends: 'true', waits: sleep 300}, nodes: [1], conditions: {c: {}}}"

THIRD_PARTY = """
def pytest_runtest_logfinish(nodeid):
    if "ends-1n" in nodeid:
        raise OSError("third party")
"""

OURS = """
from pytest_clusterjobs.engine.conclusions import Conclusions

def end(self, job):
    raise RuntimeError("our own")

Conclusions.end = end
"""

BACKEND = """
from pytest_clusterjobs.backends.local import TYPE as LOCAL
from pytest_clusterjobs.backends.protocol import BackendType

class Odd:
    times = 0
    def __init__(self, inner):
        self.inner = inner
    def __getattr__(self, name):
        return getattr(self.inner, name)
    def poll(self, handles):
        seen = self.inner.poll(handles)
        Odd.times += 1
        if Odd.times == 1:
            raise SystemExit(3)
        # No observations are no usable answer either.
        return dict.fromkeys(seen) if Odd.times == 2 else seen

TYPE = BackendType("odd", lambda context: Odd(LOCAL.open(context)), LOCAL.settings)
"""

PARALLEL = pytest.mark.parametrize("arguments", [[], ["-n2"]], ids=str)


def run(project: Project, *arguments: str) -> pytest.RunResult:
    project.matrix(MATRIX)
    result = project.pytester.runpytest_subprocess("--junitxml=report.xml", *arguments, timeout=120)
    assert result.ret == pytest.ExitCode.INTERNAL_ERROR
    until(lambda: not of_project(project.path), 30)
    return result


@PARALLEL
def test_of_another_plugin(project: Project, arguments: list[str]) -> None:
    project.pytester.makeconftest(THIRD_PARTY)
    result = run(project, *arguments)
    result.stdout.fnmatch_lines(["run * ended by an internal error: 1 job cancelled; report: report.json"])
    report = project.report("report.json")
    said = {cell["key"].rpartition("::")[2]: (cell["verdict"], cell["reported"]) for cell in report["cells"]}
    assert said == {"ends-1n-c": ("passed", "passed"), "waits-1n-c": ("not run", None)}
    assert junit(project) == {"ends-1n-c": [], "internal": ["error"]}


@PARALLEL
def test_of_a_thread(project: Project, arguments: list[str]) -> None:
    project.pytester.makeconftest(OURS)
    result = run(project, *arguments)
    result.stdout.fnmatch_lines(
        ["run * ended by an internal error: 2 jobs left to the reaper, which cancels them; report: *"]
    )
    report = project.report("report.json")
    assert report["run"]["left_to_reaper"] == 2
    assert {cell["verdict"] for cell in report["cells"]} == {"not run"}
    assert junit(project) == {"internal": ["error"]}


@PARALLEL
def test_an_exit_in_a_backend_is_an_error_of_its_api(project: Project, arguments: list[str]) -> None:
    project.matrix(MATRIX.replace("sleep 300", "sleep 1"))
    project.pytester.makepyfile(clusterjobs_odd=BACKEND)
    project.pytester.makepyprojecttoml('[tool.clusterjobs.backends.odd]\ntype = "clusterjobs_odd:TYPE"\n')
    result = project.pytester.runpytest_subprocess("--cluster-backend=odd", *arguments)
    assert result.parseoutcomes() == {"passed": 2}


def test_of_a_launch(project: Project) -> None:
    project.pytester.makeconftest(THIRD_PARTY)
    project.matrix(MATRIX)
    result = project.pytester.runpytest_subprocess("--cluster-launch")
    assert result.ret == pytest.ExitCode.INTERNAL_ERROR
    result.stdout.fnmatch_lines(
        ["run * ended by an internal error: * left running (pytest --cluster-check=*"]
    )
    project.command("kill")
    until(lambda: not of_project(project.path), 30)
