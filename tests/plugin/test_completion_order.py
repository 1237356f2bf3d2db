"""The loop beside other people's: session limits act while jobs are waited for, and everyone's loop is
asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.plugin.conftest import Project

WAITS = "{recipes: {a: sleep 300}, nodes: [1], conditions: {c: {}, d: {}}}"

ORDERS = pytest.mark.parametrize("arguments", [[], ["--cluster-order=file"], ["-n1"]], ids=str)


@ORDERS
def test_a_session_timeout_acts_while_jobs_are_waited_for(project: Project, arguments: list[str]) -> None:
    project.matrix(WAITS)
    result = project.pytester.runpytest_subprocess("--session-timeout=2", *arguments, timeout=100)
    assert result.ret not in (pytest.ExitCode.OK, pytest.ExitCode.INTERNAL_ERROR)
    result.stdout.fnmatch_lines(["*session-timeout: 2* sec exceeded*"])
    assert set(project.verdicts().values()) == {"not run"}


@ORDERS
@pytest.mark.parametrize("what", ["shouldstop", "shouldfail"])
def test_a_session_that_should_stop_stops_while_jobs_are_waited_for(
    project: Project, what: str, arguments: list[str]
) -> None:
    project.matrix(WAITS)
    project.pytester.makeconftest(
        f"""
        import threading
        def pytest_collection_finish(session):
            timer = threading.Timer(2.0, setattr, (session, "{what}", "enough"))
            timer.daemon = True
            timer.start()
        """
    )
    result = project.pytester.runpytest_subprocess(*arguments, timeout=100)
    assert result.ret not in (pytest.ExitCode.OK, pytest.ExitCode.INTERNAL_ERROR)
    assert set(project.verdicts().values()) == {"not run"}


def test_a_conftest_has_a_loop_of_its_own(project: Project) -> None:
    project.matrix("{recipes: {a: 'true', b: 'true'}, nodes: [1], conditions: {c: {}}}")
    project.pytester.makeconftest("def pytest_runtestloop(session): print('ASKED')")
    result = project.run("-s")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*ASKED*"])
    project.pytester.makeconftest(
        """
        def pytest_runtestloop(session):
            for item, following in zip(session.items, [*session.items[1:], None]):
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                print("MINE", item.name)
            return True
        """
    )
    result = project.run("-s")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*MINE a-1n-c", "*MINE b-1n-c"])


def test_workers_run_python_tests_before_they_wait(project: Project) -> None:
    project.matrix(WAITS)
    project.pytester.makepyfile(test_python="def test_fails(): assert False")
    result = project.pytester.runpytest_subprocess("-n1", "-x", timeout=100)
    assert result.ret == pytest.ExitCode.INTERRUPTED or result.ret == pytest.ExitCode.TESTS_FAILED
    assert result.parseoutcomes()["failed"] == 1
    assert set(project.verdicts().values()) == {"not run"}


def test_repeating_says_that_it_does_not_apply_to_cells(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.pytester.makepyfile(
        pytest_repeat="def pytest_addoption(parser): parser.addoption('--count', type=int, default=1)"
    )
    project.matrix("{recipes: {a: 'true'}, nodes: [1], conditions: {c: {}}}")
    monkeypatch.setenv("PYTHONPATH", str(project.path))
    line = "--count 3 does not apply to cells: each ran once*"
    for arguments in ([], ["-n1"]):
        result = project.pytester.runpytest_subprocess(
            "--cluster-backend=spy", "-ppytest_repeat", "--count=3", *arguments
        )
        result.assert_outcomes(passed=1)
        result.stdout.fnmatch_lines([line])
    result = project.pytester.runpytest_subprocess("--cluster-backend=spy", "-ppytest_repeat")
    result.stdout.no_fnmatch_line(line)
