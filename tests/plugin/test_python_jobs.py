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
    assert cell["result"]["outcome"]["action"]["why"] == "its submitter no longer waits for it"


def test_a_failed_test_is_its_jobs_verdict(project: Project) -> None:
    project.pytester.makepyfile("def test_a(clusterjobs): assert clusterjobs.run('exit 3').exit_code == 0")
    project.pytester.runpytest().assert_outcomes(failed=1)
    assert project.report()["cells"][0]["verdict"] == "failed"


UNMET = """
import pytest
from pytest_clusterjobs import Expectation

def test_unmet(clusterjobs):
    clusterjobs.submit("true", name="fine", expect={})
    job = clusterjobs.submit("echo words; exit 3", expect={"exit_code": [4, 5]})
    job.wait()
    assert job.result.judgement.verdict == "failed"

def test_nobody_waited(clusterjobs):
    clusterjobs.submit("sleep 0.3; exit 3", expect=Expectation())

@pytest.fixture
def through(clusterjobs):
    return clusterjobs

def test_by_a_fixture(through):
    through.run("exit 3", expect=Expectation(reasons="job_completed"))

@pytest.mark.xfail
def test_expected(clusterjobs):
    clusterjobs.run("exit 3", expect=Expectation())

def test_infrastructure(clusterjobs):
    clusterjobs.run("true", setup="exit 1", expect=Expectation())

def test_met(clusterjobs):
    clusterjobs.submit("exit 3", expect={"reason": "job_failed"})
    clusterjobs.submit("exit 3", expect=Expectation(exit_codes={3, 4}))
    clusterjobs.submit("exit 200", expect=Expectation(reasons=["job_failed"]))
    clusterjobs.submit("sleep 60", max_runtime="0.2s", expect={"reason": "max_runtime_reached"})
    clusterjobs.submit("sleep 60", expect={}).cancel()
"""


@pytest.mark.parametrize("arguments", [[], ["-n2"]])
def test_an_unmet_expectation_fails_its_test(project: Project, arguments: list[str]) -> None:
    project.pytester.makepyfile(test_unmet=UNMET)
    result = project.pytester.runpytest("-rf", "--reruns=0", *arguments)
    result.assert_outcomes(failed=4, passed=1, xfailed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    lines = result.outlines
    assert sum("expected job_failed exit 4 or 5, got job_failed exit 3" in line for line in lines) >= 1
    assert any("test_unmet.py:4: job: expected" in line for line in lines)
    result.stdout.fnmatch_lines(["run it again: *pytest test_unmet.py::test_unmet", "*words"])
    result.stdout.no_fnmatch_line("*exit code 1:*")
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*During handling of the above exception*")


def test_a_rerun_that_meets_it_is_green(project: Project) -> None:
    project.pytester.makepyfile(
        """
        count = iter("31")
        def test_a(clusterjobs):
            clusterjobs.run(f"exit {int(next(count)) - 1}", expect={})
        """
    )
    result = project.pytester.runpytest("--reruns=1")
    assert result.ret == pytest.ExitCode.OK


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("submit('true', nodes=0)", "BadSpec: job spec: nodes: at least 1, not 0"),
        ("submit('true', nodes=1.5)", "WrongType: job spec: nodes: expected a whole number, not 1.5"),
        ("submit('true', nodes=True)", "WrongType: job spec: nodes: expected a whole number, not True"),
        ("submit('true', node=2)", "TypeError: unknown keyword 'node', did you mean 'nodes'?"),
        ("submit('true', expct={})", "TypeError: unknown keyword 'expct', did you mean 'expect'?"),
        (
            "submit('true', timeout=5)",
            "TypeError: unknown keyword 'timeout'; run() and wait() take it, and max_runtime is the job's own limit",
        ),
        (
            "submit('true', max_runtime='60')",
            "BadSpec: job spec: max_runtime: a duration needs a unit: 60s, 60m or 60h",
        ),
        (
            "submit('true', max_runtime=[1])",
            "WrongType: * expected seconds as a number (60.0), or a text with a unit ('60s'), not *1*",
        ),
        ("submit(['a', 'b c'])", "*WrongType: job spec: run: a shell command is one text: \"a 'b c'\""),
        ("submit('true', args='--x 3')", "*args: expected a list, such as *'--x', '3'*, not one text"),
        ("submit('true', env={'A': 3})", "*job spec: env.A: expected a text, not 3: write '3'"),
        (
            "submit('true', name='a b')",
            "BadSpec: job spec: name: 'a b' has characters other than letters, digits and . _ + -*",
        ),
        ("submit('true', nodes=99)", "ValueError: job spec: * 99 *"),
        (
            "submit('true', infra_retries=-1)",
            "ValueError: infra_retries: expected a whole number from 0 to 20, not -1",
        ),
        (
            "submit('true', expect=3)",
            "TypeError: expect: expected an Expectation or a mapping, such as *'reason': *",
        ),
        (
            "submit('true', expect={'reason': 'jobfailed'})",
            "*unknown reason 'jobfailed', did you mean 'job_failed'?",
        ),
        (
            "submit('true', expect={'exit_code': '3'})",
            "*expect.exit_code: an exit code is a whole number from 0*",
        ),
        (
            "submit('true', expect={'reason': 'heartbeat_timeout'})",
            "*heartbeat_timeout can never be the reason: heartbeat_timeout is not set",
        ),
        ("submit('true', expect={'restarts': '>=1'})", "*can never be met: max_restarts is 0"),
        ("submit('true', infra_retries='1')", "TypeError: infra_retries: expected a whole number, not '1'"),
        ("submit()", "TypeError: Jobs.submit() missing 1 required positional argument: 'spec'"),
        ("submit('true', run='false')", "TypeError: run: the first argument already is the command: *"),
        (
            "submit('true', options={'partition': 'big'})",
            "ValueError: job spec: options: unknown option 'partition' of backend 'local'; it has no options",
        ),
        (
            "submit('true', backend='slurm', options={'partitio': 'big'})",
            "ValueError: * unknown option 'partitio' of backend 'slurm', did you mean 'partition'?",
        ),
        ("run('true', timeout='5')", "ValueError: timeout: a duration needs a unit: 5s, 5m or 5h"),
        ("run('true', timeout=-1)", "ValueError: timeout: expected at least 0 seconds, not -1"),
        ("run('true', timeout=[1])", "TypeError: timeout: expected seconds as a number (60.0), *"),
        ("run('true', timout=5)", "TypeError: unknown keyword 'timout', did you mean 'timeout'?"),
        ("submit('true').wait('5')", "ValueError: timeout: a duration needs a unit: 5s, 5m or 5h"),
        ("submit('true').logs('0')", "TypeError: node: expected a whole number, not '0'"),
        ("submit('true').logs(1)", "ValueError: node: expected a whole number from 0 to 0, not 1"),
        ("submit('true').logs(tail='9')", "TypeError: tail: expected a whole number, not '9'"),
        ("submit('true').logs(tail=0)", "ValueError: tail: expected a whole number from 1 to *, not 0"),
        ("submit('true', backend=3)", "TypeError: backend: expected a text, not 3"),
        (
            "submit('true', backend='lokal')",
            "*UnknownBackend: unknown backend 'lokal', did you mean 'local'?",
        ),
    ],
)
def test_arguments_that_cannot_be_are_refused_at_the_call(project: Project, call: str, message: str) -> None:
    project.pytester.makepyfile(f"def test_a(clusterjobs): clusterjobs.{call}")
    result = project.pytester.runpytest("-rf", "--tb=line")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"*{message}"])


def test_a_wrong_argument_harms_no_other_job(project: Project) -> None:
    project.matrix('recipes: {a: "sleep 0.5"}\nnodes: [1]\nconditions: {c: {}}\n')
    project.pytester.makepyfile(
        """
        import pytest
        def test_a(clusterjobs):
            for wrong in ({"expect": {"reason": 3}}, {"options": {"x": object()}}, {"env": {"A=B": "x"}},
                          {"max_runtime": float("nan")}, {"name": "x\\0"}, {"resources": {"gpu": 1}}):
                with pytest.raises((TypeError, ValueError)):
                    clusterjobs.submit("true", **wrong)
            assert clusterjobs.run("true", env={"A": "1"}).exit_code == 0
        """
    )
    result = project.pytester.runpytest(".")
    result.assert_outcomes(passed=2)
    assert result.ret == pytest.ExitCode.OK


def test_nothing_is_submitted_for_show(project: Project) -> None:
    project.pytester.makepyfile("def test_a(clusterjobs): clusterjobs.run('touch ran')")
    for option in ("--collect-only", "--setup-plan", "--setup-only"):
        project.pytester.runpytest(option)
    assert not (project.path / "ran").exists()
    assert not list(project.path.glob(".clusterjobs/runs/*"))


def test_asked_for_at_run_time_it_explains_itself(project: Project) -> None:
    project.pytester.makepyfile("def test_a(request): request.getfixturevalue('clusterjobs')")
    result = project.pytester.runpytest()
    result.stdout.fnmatch_lines(["*'clusterjobs' must be an argument of the test*"])


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
