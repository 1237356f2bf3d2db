"""Plugins that other projects use, beside matrices: reports agree, the exit code is right, and nothing hangs.

Most are not installed for development, since some change what pytest shows wherever they are:
CLUSTERJOBS_PLUGINS
names a folder that has them (see others.txt).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.plugin.test_together import junit

if TYPE_CHECKING:
    from tests.plugin.conftest import Project

MATRIX = """
recipes: {a: "true"}
nodes: [1]
conditions:
  ok: {}
  bad: {run: exit 3}
  exp3: {run: exit 3, expect: {exit_code: 3}}
  gone: {run: hint node_failed}
"""

VERDICTS = {"a-1n-ok": "passed", "a-1n-bad": "failed", "a-1n-exp3": "passed", "a-1n-gone": "error"}
TAGS = {"a-1n-ok": [], "a-1n-bad": ["failure"], "a-1n-exp3": [], "a-1n-gone": ["error"]}

OTHERS = {
    "pytest_asyncio.plugin": ["-o", "asyncio_mode=auto"],
    "pytest_bdd.plugin": [],
    "pytest_cov.plugin": ["--cov=.", "--cov-report="],
    "pytest_freezer": [],
    "pytest_instafail": ["--instafail"],
    "pytest_mock": [],
    "pytest_randomly": [],
    "pytest_repeat": ["--count=2"],
    "pytest_retry.retry_plugin": ["--retries=1"],
    "pytest_rich.plugin": ["--rich"],
    "pytest_socket": ["--disable-socket"],
    "pytest_split.plugin": ["--splits=1", "--group=1"],
    "pytest_subtests.plugin": [],
    "pytest_sugar": [],
    "random_order.plugin": ["--random-order"],
    "time_machine": [],
}

INSTALLED = {
    "pytest_dependency": [],
    "pytest_html.plugin": ["--html=page.html"],
    "pytest_order.plugin": [],
    "pytest_rerunfailures": ["--reruns=1"],
    "pytest_timeout": ["--timeout=60"],
}

PARALLEL = pytest.mark.parametrize("parallel", [[], ["-n2"]], ids=str)


def run(project: Project, plugin: str, *arguments: str) -> pytest.RunResult:
    """Run pytest with no other plugins than this one, xdist and ours, loaded by their modules."""
    plugins = [
        "pytest_clusterjobs.plugin.hookimpls",
        "xdist",
        "pytest_metadata.plugin",
        "pytest_html.fixtures",
        plugin,
    ]
    named = [f"-p{each}" for each in plugins if "html" in plugin or "html" not in each]
    return project.pytester.runpytest_subprocess(
        "--cluster-backend=spy", "-pno:cacheprovider", *named, *arguments, timeout=120
    )


@pytest.fixture
def alone(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project in which no plugin is loaded by itself."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return project


@pytest.fixture
def others(alone: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The same where the plugins of others.txt can be imported."""
    folder = os.environ.get("CLUSTERJOBS_PLUGINS")
    if not folder:
        pytest.skip("CLUSTERJOBS_PLUGINS names no folder with the plugins of others.txt")
    monkeypatch.setenv("PYTHONPATH", str(Path(folder).absolute()))
    return alone


def check(project: Project, plugin: str, arguments: list[str]) -> None:
    project.matrix(MATRIX)
    project.pytester.makepyfile("def test_python(clusterjobs): assert clusterjobs.run('true').exit_code == 0")
    result = run(project, plugin, "--junitxml=report.xml", *arguments)
    output = result.stdout.str() + result.stderr.str()
    assert "INTERNALERROR" not in output and "Traceback" not in output
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    cells = {
        cell["registration"]["cell"]["id"]: cell
        for cell in project.report("report.json")["cells"]
        if cell["registration"]["test"] is None
    }
    assert {name: cell["verdict"] for name, cell in cells.items()} == VERDICTS
    assert {name: cell["reported"] for name, cell in cells.items()} == VERDICTS
    assert {name: tags for name, tags in junit(project).items() if name in TAGS} == TAGS
    jobs = project.report("report.json")["cells"]
    assert {cell["verdict"] for cell in jobs if cell["registration"]["test"]} == {"passed"}


@PARALLEL
@pytest.mark.parametrize("plugin", INSTALLED)
def test_reports_agree(alone: Project, plugin: str, parallel: list[str]) -> None:
    check(alone, plugin, [*INSTALLED[plugin], *parallel])


@PARALLEL
@pytest.mark.parametrize("plugin", OTHERS)
def test_reports_agree_beside_others(others: Project, plugin: str, parallel: list[str]) -> None:
    check(others, plugin, [*OTHERS[plugin], *parallel])


RERUNS = {
    "pytest_rerunfailures": (["--reruns=1"], "reruns", 3),
    # This option goes before any mark.
    "pytest_rerunfailures ": (["--force-reruns=1"], "reruns", 2),
    "pytest_retry.retry_plugin": (["--retries=1"], "retries", 3),
}


@PARALLEL
@pytest.mark.parametrize("plugin", RERUNS)
def test_a_test_with_jobs_is_rerun_and_a_cell_is_submitted_again(
    others: Project, plugin: str, parallel: list[str]
) -> None:
    options, word, often = RERUNS[plugin]
    others.matrix(
        f"{{recipes: {{a: exit 3, b: exit 4}}, nodes: [1], conditions: {{c: {{only: {{recipe: a}}}}, d: {{only: {{recipe: b}}, marks: [{{flaky: {{{word}: 2}}}}]}}}}}}"
    )
    others.pytester.makepyfile(
        """
        import pathlib
        def test_python(clusterjobs):
            clusterjobs.run("true")
            first = not pathlib.Path("once").exists()
            pathlib.Path("once").touch()
            assert not first
        """
    )
    result = run(others, plugin.strip(), *options, *parallel)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    outcomes = result.parseoutcomes()
    again = outcomes.pop("rerun", 0) + outcomes.pop("retried", 0)
    assert (outcomes, again) == ({"passed": 1, "failed": 2}, 1)
    submitted = others.submitted()
    assert (submitted["a-1n-c"], submitted["b-1n-d"]) == (1, often)
    assert set(others.verdicts().values()) == {"passed", "failed"}


def test_a_frozen_clock_reaches_no_job(others: Project) -> None:
    others.matrix(MATRIX.replace('"true"', "sleep 1"))
    others.pytester.makepyfile(
        """
        import time
        import time_machine
        def test_frozen(freezer, clusterjobs):
            freezer.move_to("2000-01-01")
            assert clusterjobs.run("sleep 1", backend="local").exit_code == 0
        def test_travelled(clusterjobs):
            with time_machine.travel("2100-01-01", tick=False):
                assert clusterjobs.run("sleep 1", backend="local").exit_code == 0
        """
    )
    result = run(others, "pytest_freezer")
    assert result.parseoutcomes() == {"passed": 4, "failed": 1, "errors": 1}
