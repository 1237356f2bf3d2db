"""The fixture ``clusterjobs``: Python tests that submit jobs themselves, on the run's own engine."""

from __future__ import annotations

import signal
import textwrap
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest

from tests.plugin.test_leaks import of_project
from tests.plugin.test_leaks import start
from tests.plugin.test_leaks import until

if TYPE_CHECKING:
    from tests.plugin.conftest import Project

TESTS = """
import pytest
from pytest_clusterjobs import JobSpec, Reason

def test_blocks(clusterjobs):
    outcome = clusterjobs.run(JobSpec("exit 3", nodes=2))
    assert (outcome.reason, outcome.exit_code, len(outcome.nodes)) == (Reason.JOB_FAILED, 3, 2)

def test_submits_now_and_waits_later(clusterjobs):
    jobs = [clusterjobs.submit("echo hello $CLUSTERJOBS_CELL; sleep 0.2", name=name) for name in ("one", "two", "two")]
    assert [job.wait(30).reason for job in jobs] == ["job_completed"] * 3
    assert [job.key.rpartition("::")[2] for job in jobs] == ["one", "two", "two.2"]
    assert "hello two" in jobs[1].logs() and jobs[1].logs(tail=4) == "two\\n"
    assert jobs[0].poll().phase == "ended" and jobs[0].job_id

def test_cancels(clusterjobs):
    job = clusterjobs.submit("sleep 600", grace_period=1)
    with pytest.raises(TimeoutError, match="after 0.2 s"):
        job.wait(0.2)
    job.cancel()
    assert job.wait(30).reason == Reason.CANCELLED
    job.cancel()
"""


@pytest.mark.parametrize("arguments", [[], ["-n2"]])
def test_submit_wait_logs_cancel(project: Project, arguments: list[str]) -> None:
    project.pytester.makepyfile(test_jobs=TESTS)
    result = project.pytester.runpytest("--junitxml=report.xml", *arguments)
    result.assert_outcomes(passed=3)
    assert result.ret == pytest.ExitCode.OK
    cells = {cell["key"]: cell for cell in project.report("report.json")["cells"]}
    assert {name.partition("::")[2]: cell["verdict"] for name, cell in cells.items()} == {
        "test_blocks::job": "passed",
        "test_submits_now_and_waits_later::one": "passed",
        "test_submits_now_and_waits_later::two": "passed",
        "test_submits_now_and_waits_later::two.2": "passed",
        "test_cancels::job": "not run",
    }
    assert len(list(ET.parse("report.xml").iter("testcase"))) == 3
    until(lambda: not of_project(project.path), 10)


def test_beside_cells(project: Project) -> None:
    project.matrix('recipes: {a: "true"}\nnodes: [1]\nconditions: {c: {}}\n')
    project.pytester.makepyfile(test_jobs=TESTS)
    result = project.pytester.runpytest(".", "-v")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["run *: 5 passed, 1 not run"])


def test_what_a_test_leaves_running_is_cancelled_when_it_ends(project: Project) -> None:
    project.pytester.makepyfile(
        test_a="def test_a(clusterjobs): clusterjobs.submit('sleep 600')",
        test_b="import time\ndef test_b():\n    time.sleep(1)",
    )
    result = project.pytester.runpytest("-v")
    result.assert_outcomes(passed=2)
    until(lambda: not of_project(project.path), 5)
    cell = project.report()["cells"][0]
    assert cell["result"]["outcome"]["action"]["why"] == "nobody waits for it any more"


def test_a_failed_test_is_its_jobs_verdict(project: Project) -> None:
    project.pytester.makepyfile("def test_a(clusterjobs): assert clusterjobs.run('exit 3').exit_code == 0")
    project.pytester.runpytest().assert_outcomes(failed=1)
    assert project.report()["cells"][0]["verdict"] == "failed"


def test_an_expectation_that_is_unmet_is_not_green_whatever_the_test_says(project: Project) -> None:
    project.pytester.makepyfile(
        """
        from pytest_clusterjobs.jobs import Expectation
        def test_a(clusterjobs):
            job = clusterjobs.submit("exit 3", expect=Expectation())
            job.wait()
            assert job.result.judgement.verdict == "failed"
        """
    )
    result = project.pytester.runpytest()
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("submit('true', nodes=0)", "ValueError: job spec: nodes: at least 1, not 0"),
        ("submit('true', max_runtime='1h')", "ValueError: job spec: max_runtime: * not '1h'"),
        ("submit('true', name='a b')", "ValueError: job spec: name: 'a b' is not within *"),
        ("submit('true', nodes=99)", "ValueError: job spec: * 99 *"),
        (
            "submit('true', backend='lokal')",
            "*UnknownBackend: unknown backend 'lokal', did you mean 'local'?",
        ),
    ],
)
def test_specs_that_cannot_be(project: Project, call: str, message: str) -> None:
    project.pytester.makepyfile(f"def test_a(clusterjobs): clusterjobs.{call}")
    result = project.pytester.runpytest("-rf", "--tb=line")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"*{message}"])


def test_nothing_is_submitted_for_show(project: Project) -> None:
    project.pytester.makepyfile("def test_a(clusterjobs): clusterjobs.run('touch ran')")
    for option in ("--collect-only", "--setup-plan", "--setup-only"):
        project.pytester.runpytest(option)
    assert not (project.path / "ran").exists()
    assert not list(project.path.glob(".clusterjobs/runs/*"))


def test_asked_for_at_run_time_it_explains_itself(project: Project) -> None:
    project.pytester.makepyfile("def test_a(request): request.getfixturevalue('clusterjobs')")
    result = project.pytester.runpytest()
    result.stdout.fnmatch_lines(["*'clusterjobs' has to be among the arguments of a test*"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_session_leaves_nothing_running(project: Project, number: signal.Signals) -> None:
    body = "def test_a(clusterjobs): clusterjobs.run('echo up; exec sleep 600')"
    (project.path / "test_a.py").write_text(textwrap.dedent(body))
    process = start(project)
    logs = project.path / ".clusterjobs"
    until(lambda: any("up" in path.read_text() for path in logs.glob("runs/*/local/logs/*.log")), 30)
    process.send_signal(number)
    process.communicate()
    until(lambda: not of_project(project.path), 10)


def test_a_forked_process_is_told_that_jobs_are_not_for_it(project: Project) -> None:
    project.pytester.makepyfile(
        """
        import os
        def test_forks(clusterjobs):
            job = clusterjobs.submit("true")
            for act in (lambda: clusterjobs.submit("true"), job.wait, job.cancel):
                child = os.fork()
                if not child:
                    try:
                        act()
                    except RuntimeError as error:
                        os._exit(7 if "forked" in str(error) else 1)
                    os._exit(2)
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        """
    )
    for arguments in ([], ["-n1"]):
        project.run(*arguments).assert_outcomes(passed=1)
