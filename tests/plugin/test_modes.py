"""Runs that outlive their session: launch here, check there, resume after a crash."""

from __future__ import annotations

import signal
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_clusterjobs.plugin import single_process
from tests.plugin.test_leaks import of_project
from tests.plugin.test_leaks import start
from tests.plugin.test_leaks import until

if TYPE_CHECKING:
    from tests.plugin.conftest import Project

MATRIX = """
recipes: {a: "true"}
nodes: [1]
conditions:
  good: {}
  bad: {run: exit 3}
  later: {run: "while [ ! -e go ]; do sleep 0.1; done"}
"""


@pytest.fixture(autouse=True)
def nothing_waits_for_ever(project: Project) -> Iterator[None]:
    yield
    (project.path / "go").touch()


def verdicts(project: Project) -> dict[str, str | None]:
    return {name.removeprefix("a-1n-"): verdict for name, verdict in project.verdicts().items()}


def test_launch_returns_and_check_judges(project: Project) -> None:
    project.matrix(MATRIX)
    launched = project.pytester.runpytest("--cluster-launch", "-rs")
    assert launched.ret == pytest.ExitCode.OK
    launched.assert_outcomes(skipped=3)
    launched.stdout.fnmatch_lines(
        [
            "run *: 3 pending",
            "the jobs keep running; judge them with: *pytest --cluster-check=*",
            "SKIPPED [[]1[]] matrices/m.yaml:7: pending: job * of run *: running",
        ]
    )
    assert verdicts(project) == {"good": None, "bad": None, "later": None}

    run = next(iter(project.path.glob(".clusterjobs/runs/*"))).name
    until(lambda: project.pytester.runpytest(f"--cluster-check={run}").parseoutcomes().get("passed") == 1, 20)
    checked = project.pytester.runpytest("--cluster-check", "-rs")
    assert checked.ret == pytest.ExitCode.TESTS_FAILED
    checked.assert_outcomes(passed=1, failed=1, skipped=1)
    checked.stdout.fnmatch_lines(["*pending: job * of run *: running*"])
    assert verdicts(project) == {"good": "passed", "bad": "failed", "later": None}

    (project.path / "go").touch()
    waited = project.pytester.runpytest("--cluster-check", "--cluster-check-wait")
    waited.assert_outcomes(passed=2, failed=1)
    assert verdicts(project) == {"good": "passed", "bad": "failed", "later": "passed"}
    assert len(list(project.path.glob(".clusterjobs/runs/*"))) == 1
    until(lambda: not of_project(project.path), 5)


def test_a_check_that_finds_everything_pending_is_not_green(project: Project) -> None:
    project.matrix('{recipes: {a: "while [ ! -e go ]; do sleep 0.1; done"}, nodes: [1], conditions: {c: {}}}')
    assert project.pytester.runpytest("--cluster-launch").ret == 0
    assert project.pytester.runpytest("--cluster-check").ret == 1
    (project.path / "go").touch()
    assert project.pytester.runpytest("--cluster-check", "--cluster-check-wait").ret == 0


def test_a_launch_with_a_refused_cell_is_not_green(project: Project) -> None:
    project.matrix('{recipes: {a: "true", b: refuse}, nodes: [1], conditions: {c: {}}}')
    result = project.run("--cluster-launch")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(skipped=1, errors=1)


def test_a_launch_with_a_cell_that_was_not_taken_is_not_green(project: Project) -> None:
    project.matrix(
        '{defaults: {queue_timeout: 1s}, recipes: {a: "true", b: busy}, nodes: [1], conditions: {c: {}}}'
    )
    result = project.run("--cluster-launch")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(skipped=1, errors=1)
    result.stdout.fnmatch_lines(["*not accepted within queue_timeout (1 s): too many of your jobs*"])


def test_a_launch_waits_for_a_slow_refusal(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(single_process, "FIRST_POLL_TIMEOUT_SECONDS", 0.2)
    project.matrix(
        "{defaults: {queue_timeout: 1s}, recipes: {a: slow and busy}, nodes: [1], conditions: {c: {}}}"
    )
    launched = project.run("--cluster-launch")
    assert launched.ret == pytest.ExitCode.TESTS_FAILED
    launched.stdout.fnmatch_lines(["*not accepted within queue_timeout (1 s): too many of your jobs*"])


def test_a_launch_that_got_no_answer_is_not_green(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(single_process, "FIRST_POLL_TIMEOUT_SECONDS", 0.2)
    project.pytester.makepyfile(
        clusterjobs_silent="""
        from clusterjobs_spy import BackendType, Spy
        from pytest_clusterjobs.backends.protocol import BackendError, Unknown

        class Silent(Spy):
            def submit(self, spec, token):
                raise BackendError("cut off")

            def find(self, token):
                return Unknown("cut off")

        TYPE = BackendType("silent", lambda context: Silent(context.rootdir))
        """
    )
    project.pytester.makepyprojecttoml('[tool.clusterjobs.backends.silent]\ntype = "clusterjobs_silent:TYPE"')
    project.matrix('{recipes: {a: "true"}, nodes: [1], conditions: {c: {}}}')
    launched = project.pytester.runpytest("--cluster-launch", "--cluster-backend=silent")
    assert launched.ret == pytest.ExitCode.TESTS_FAILED
    launched.stdout.fnmatch_lines(["1 submission not answered*"])


def test_a_launch_with_a_cell_that_is_refused_after_all_is_not_green(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first answer is lost; that there is no job comes out when the launch waits for no more words."""
    monkeypatch.setattr(single_process, "FIRST_POLL_TIMEOUT_SECONDS", 0.2)
    project.pytester.makepyfile(
        clusterjobs_late="""
        import pathlib
        from clusterjobs_spy import BackendType, Spy
        from pytest_clusterjobs.backends.protocol import BackendError, NotSubmitted, Throttled, Unknown

        class Late(Spy):
            asked = False

            def submit(self, spec, token):
                if self.asked:
                    pathlib.Path("refused").touch()
                    raise Throttled("too many of your jobs")
                self.asked = True
                raise BackendError("cut off")

            def find(self, token):
                return NotSubmitted() if pathlib.Path("told").exists() else Unknown("cut off")

        TYPE = BackendType("late", lambda context: Late(context.rootdir))
        """,
        test_meanwhile="""
        import pathlib, time

        def test_meanwhile():
            pathlib.Path("told").touch()
            while not pathlib.Path("refused").exists():
                time.sleep(0.05)
        """,
    )
    project.pytester.makepyprojecttoml('[tool.clusterjobs.backends.late]\ntype = "clusterjobs_late:TYPE"')
    project.matrix('{recipes: {a: "true"}, nodes: [1], conditions: {c: {}}}')
    launched = project.pytester.runpytest("--cluster-launch", "--cluster-backend=late")
    assert launched.ret == pytest.ExitCode.TESTS_FAILED
    launched.stdout.fnmatch_lines(["1 cell not submitted; submit with: *pytest --cluster-resume=*"])


@pytest.mark.parametrize(
    "kind", ["infra_retries: 2, setup: exit 1", "run: exit 1, marks: [{flaky: {reruns: 2}}]"]
)
def test_an_end_that_would_be_tried_again_is_judged_where_nobody_waits(project: Project, kind: str) -> None:
    project.matrix(f'{{recipes: {{a: "true"}}, nodes: [1], conditions: {{c: {{{kind}}}}}}}')
    launched = project.pytester.runpytest("--cluster-launch")
    launched.assert_outcomes(skipped=1)
    until(lambda: not of_project(project.path), 10)
    project.pytester.runpytest("--cluster-check")
    (cell,) = project.report()["cells"]
    assert cell["verdict"] in ("failed", "error")
    assert len(cell["attempts"]) == 1


def test_a_check_judges_by_what_was_expected_at_launch(project: Project) -> None:
    project.matrix("{recipes: {a: exit 3}, nodes: [1], conditions: {c: {expect: {exit_code: 3}}}}")
    project.pytester.runpytest("--cluster-launch")
    project.matrix("{recipes: {a: exit 4}, nodes: [1], conditions: {c: {expect: {exit_code: 4}}}}")
    project.pytester.runpytest("--cluster-check", "--cluster-check-wait").assert_outcomes(passed=1)


def test_a_cell_that_the_run_does_not_have_is_not_run(project: Project) -> None:
    project.matrix('{recipes: {a: "true"}, nodes: [1], conditions: {c: {}}}')
    project.run("--cluster-launch")
    project.matrix('{recipes: {a: "true", b: "true"}, nodes: [1], conditions: {c: {}}}')
    result = project.pytester.runpytest("matrices", "--cluster-check", "-rs")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "*not run: not submitted in run *",
        ]
    )
    result.stdout.fnmatch_lines(
        ["exit code 1: 1 selected cell is not in this run (select as at the launch, or nothing)"]
    )


@pytest.mark.parametrize("arguments", [[], ["-q"], ["--lf"], ["--junitxml=night.xml"]], ids=str)
def test_a_check_that_selects_nothing_is_about_the_runs_own_cells(
    project: Project, arguments: list[str]
) -> None:
    project.matrix('{recipes: {a: "true"}, nodes: [1, 2], conditions: {c: {}, d: {}}}')
    project.matrix('{recipes: {b: "true"}, nodes: [2], conditions: {c: {}}}', "matrices/other.yaml")
    project.pytester.runpytest("--cluster-launch", "-k", "1n")
    result = project.pytester.runpytest("--cluster-check", "--cluster-check-wait", *arguments)
    assert result.ret == pytest.ExitCode.OK
    result.assert_outcomes(passed=2, deselected=3)
    result.stdout.fnmatch_lines(["not part of this run, and not judged: matrices/m.yaml::a-2n-c, *"])
    chosen = project.pytester.runpytest("--cluster-check", "-k", "1n-c or 2n-c")
    assert chosen.ret == pytest.ExitCode.TESTS_FAILED
    chosen.assert_outcomes(passed=1, skipped=2, deselected=2)
    chosen.stdout.fnmatch_lines(["exit code 1: 2 selected cells are not in this run *"])


@pytest.mark.parametrize("on_crash", ["cancel", "keep"])
def test_resume_after_kill_9(project: Project, on_crash: str) -> None:
    project.matrix(MATRIX)
    process = start(project, f"--cluster-on-crash={on_crash}")
    out = project.path / ".clusterjobs"
    until(lambda: any(p.read_text() for p in out.glob("runs/*/local/logs/*.log")) or ended(project), 30)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    if on_crash == "cancel":
        until(lambda: not of_project(project.path), 10)
    (project.path / "go").touch()
    result = project.pytester.runpytest("--cluster-resume")
    result.assert_outcomes(passed=2, failed=1)
    assert verdicts(project) == {"good": "passed", "bad": "failed", "later": "passed"}
    attempts = {cell["key"].rpartition("-")[2]: cell["attempts"] for cell in project.report()["cells"]}
    # What the reaper cancelled runs again; what had ended, or was kept, does not.
    assert len(attempts["later"]) == (2 if on_crash == "cancel" else 1)
    assert len(attempts["good"]) == len(attempts["bad"]) == 1
    until(lambda: not of_project(project.path), 5)


def ended(project: Project) -> bool:
    journals = [path.read_text() for path in project.path.glob(".clusterjobs/runs/*/local/journal.jsonl")]
    return any(text.count("\n") > 6 for text in journals)


def test_resume_after_ctrl_c(project: Project) -> None:
    project.matrix(MATRIX)
    process = start(project)
    until(lambda: ended(project), 30)
    process.send_signal(signal.SIGINT)
    process.communicate()
    (project.path / "go").touch()
    project.pytester.runpytest("--cluster-resume").assert_outcomes(passed=2, failed=1)


def test_a_run_that_is_at_work_is_left_to_its_owner(project: Project) -> None:
    project.matrix(MATRIX)
    process = start(project)
    until(lambda: ended(project), 30)
    for option in ("--cluster-check", "--cluster-resume"):
        result = project.pytester.runpytest(option)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["ERROR: run * is still at work in process *"])
    process.send_signal(signal.SIGINT)
    process.communicate()


def test_kill_ends_the_jobs_of_a_launch(project: Project) -> None:
    project.matrix(MATRIX)
    project.pytester.runpytest("--cluster-launch")
    killed = project.command("kill")
    assert killed.ret == pytest.ExitCode.OK
    killed.stdout.fnmatch_lines(["a-1n-later * ended *", "run *: * ended, none survived"])
    until(lambda: not of_project(project.path), 20)
    assert project.pytester.runpytest("--cluster-check").parseoutcomes() == {
        "passed": 1,
        "failed": 1,
        "skipped": 1,
    }
    assert "no live jobs" in project.command("kill").stdout.str()


def junit(path: Path) -> dict[str | None, list[tuple[str, str | None]]]:
    """What each case of a JUnit file says, but for times and numbers of jobs."""
    cases = ET.parse(path).iter("testcase")
    return {case.get("name"): [(child.tag, child.get("message")) for child in case] for case in cases}


def test_launch_and_check_give_the_verdicts_of_a_plain_run(project: Project) -> None:
    project.matrix(
        """
        recipes: {a: "true", b: exit 4}
        nodes: [1, 2]
        conditions:
          good: {}
          bad: {expect: {exit_code: 4}}
          slow: {run: sleep 60, max_runtime: 1s, grace_period: 1s, expect: {reason: max_runtime_reached}}
        """
    )
    plain = project.pytester.runpytest_subprocess("--junitxml=plain.xml")
    assert project.pytester.runpytest_subprocess("--cluster-launch").ret == pytest.ExitCode.OK
    checked = project.pytester.runpytest_subprocess(
        "--cluster-check", "--cluster-check-wait", "--junitxml=checked.xml"
    )
    assert plain.ret == checked.ret == pytest.ExitCode.TESTS_FAILED
    assert plain.parseoutcomes() == checked.parseoutcomes() == {"passed": 8, "failed": 4}
    assert junit(project.path / "plain.xml") == junit(project.path / "checked.xml")


def test_last_failed_after_a_launch_is_what_the_check_found(project: Project) -> None:
    project.matrix(MATRIX)
    (project.path / "go").touch()
    project.pytester.runpytest("--cluster-launch").assert_outcomes(skipped=3)
    checked = project.pytester.runpytest("--cluster-check", "--cluster-check-wait")
    checked.assert_outcomes(passed=2, failed=1)
    again = project.pytester.runpytest("--lf", "-v")
    again.assert_outcomes(failed=1)
    again.stdout.fnmatch_lines(["matrices/m.yaml::a-1n-bad FAILED*"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cluster-check"], "*--cluster-check: there are no runs in *"),
        (["--cluster-launch", "--cluster-resume=x"], "*exclude each other*"),
        (["--cluster-check-wait"], "*--cluster-check-wait needs --cluster-check*"),
        (["--cluster-launch", "-n2"], "*cannot be combined with -n: write -n0*"),
        (["--cluster-check", "matrices"], "*paths stand before --cluster-check*"),
    ],
)
def test_usage_errors(project: Project, arguments: list[str], message: str) -> None:
    project.matrix(MATRIX)
    result = project.pytester.runpytest(*arguments)
    assert result.ret != 0
    pytest.LineMatcher((result.stdout.str() + result.stderr.str()).splitlines()).fnmatch_lines([message])


def test_a_run_by_the_beginning_of_its_id(project: Project) -> None:
    project.matrix('{recipes: {a: "true"}, nodes: [1], conditions: {c: {}}}')
    project.pytester.runpytest("--cluster-launch")
    project.pytester.runpytest("--cluster-launch")
    first = sorted(path.name for path in project.path.glob(".clusterjobs/runs/*"))[0]
    project.pytester.runpytest(f"--cluster-check={first[:-2]}", "--cluster-check-wait").assert_outcomes(
        passed=1
    )
    result = project.pytester.runpytest("--cluster-check=2")
    pytest.LineMatcher((result.stdout.str() + result.stderr.str()).splitlines()).fnmatch_lines(
        ["*'2' is the beginning of 2 runs*"]
    )
