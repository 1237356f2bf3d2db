"""What the engine suffers from living in pytest's process, beside the tests of other people's projects.

Each test fails today and names what mends it: it is to pass, and lose its mark, when a run has a process
of its own.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.plugin.test_leaks import jobs_run
from tests.plugin.test_leaks import of_project
from tests.plugin.test_leaks import sleepers as sleepers
from tests.plugin.test_leaks import start
from tests.plugin.test_leaks import until

if TYPE_CHECKING:
    from tests.plugin.conftest import Project

pytestmark = pytest.mark.quiet

MATRIX = "{recipes: {a: sleep 0.5; touch ended-$CLUSTERJOBS_NODE_RANK}, nodes: [2], conditions: {c: {}}}"

HELD = """
import pathlib, time
def pytest_clusterjobs_before_submit():
    while not pathlib.Path("mocked").exists(): time.sleep(0.02)
"""
"""No job is submitted before the mock is in place, so that each step of a job's life meets it."""

MOCKED = """
import json, pathlib, subprocess, time
from unittest import mock

def test_mocked():
    with mock.patch("NAME", **HOW) as mocked:
        pathlib.Path("mocked").touch()
        while not mocked.called and len(list(pathlib.Path().glob("ended-*"))) < 2:
            time.sleep(0.02)
        time.sleep(0.5)
    assert CHECK
"""


def run(project: Project, name: str, how: str, check: str) -> pytest.RunResult:
    """A session with a test that patches ``name`` while a job is submitted and ends, or until that shows."""
    project.matrix(MATRIX)
    project.pytester.makeconftest(HELD)
    test = MOCKED.replace("NAME", name).replace("HOW", how).replace("CHECK", check)
    project.pytester.makepyfile(test_mocked=test)
    # The death of a thread ends the session, which else waits for that thread's answers for a minute.
    deaths = "error::pytest.PytestUnhandledThreadExceptionWarning"
    result = project.pytester.runpytest_subprocess("-x", "-W", deaths, timeout=100)
    until(lambda: not of_project(project.path), 20)
    return result


@pytest.mark.xfail(
    reason="engine threads call what a test has patched, until a run has a process of its own", strict=True
)
@pytest.mark.parametrize("name", ["builtins.open", "json.loads", "subprocess.Popen"])
def test_a_mock_is_called_by_its_own_test_alone(project: Project, name: str) -> None:
    result = run(project, name, f"{{'wraps': {name.removeprefix('builtins.')}}}", "not mocked.called")
    assert result.parseoutcomes() == {"passed": 2}


@pytest.mark.xfail(
    reason="engine threads use what a test has patched, until a run has a process of its own", strict=True
)
@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("builtins.open", "{'side_effect': PermissionError('mocked')}"),
        ("json.loads", "{'return_value': {}}"),
        ("subprocess.Popen", "{'side_effect': FileNotFoundError('mocked')}"),
    ],
)
def test_cells_end_beside_a_mock_as_they_do_without(project: Project, name: str, how: str) -> None:
    assert run(project, name, how, "True").parseoutcomes() == {"passed": 2}


def reapers(project: Project) -> list[int]:
    return [int(line.split()[0]) for line in of_project(project.path) if "engine.reaper" in line]


@pytest.mark.xfail(reason="a dead reaper is not replaced until a run has a process of its own", strict=True)
def test_a_dead_reaper_is_replaced_while_the_session_lives(sleepers: Project) -> None:
    session = start(sleepers)
    try:
        until(lambda: jobs_run(sleepers.path), 30)
        (first,) = reapers(sleepers)
        os.kill(first, signal.SIGKILL)
        until(lambda: reapers(sleepers) not in ([], [first]), 4)
        session.kill()
    finally:
        # A session that lives cancels its jobs by itself.
        with suppress(ProcessLookupError):
            session.send_signal(signal.SIGINT)
        session.communicate(timeout=30)
