"""Exactly once: a session is killed at every step of its work, then resumed.

CLUSTERJOBS_KILLS says how many kills at random instants are tried on top of those at named steps.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.plugin.test_leaks import of_project
from tests.plugin.test_leaks import until

if TYPE_CHECKING:
    from tests.plugin.conftest import Project

pytestmark = pytest.mark.alone

MATRIX = """
recipes: {a: "true", b: sleep 0.3}
nodes: [1, 2]
conditions: {good: {}, bad: {run: exit 3, expect: {exit_code: 3}}, worse: {run: exit 4}}
"""

EXPECTED = {"good": "passed", "bad": "passed", "worse": "failed"}

# Kills its own process right before or after the nth call of a step.
CRASHER = """
import os, signal
from pytest_clusterjobs.backends.local.client import LocalBackend
from pytest_clusterjobs.engine.ledger import Ledger

when, step, count = os.environ.get("CRASH_AT", "never-none-0").split("-")
owner = {"record": Ledger, "register": Ledger, "observe": Ledger, "submit": LocalBackend, "poll": LocalBackend}.get(step)
if owner is not None:
    ordinary, calls = getattr(owner, step), []

    def crashing(self, *args, **kwargs):
        calls.append(1)
        its_turn = len(calls) == int(count)
        if when == "before" and its_turn:
            os.kill(os.getpid(), signal.SIGKILL)
        answer = ordinary(self, *args, **kwargs)
        if when == "after" and its_turn:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    setattr(owner, step, crashing)
"""


def session(project: Project, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", *arguments],
        cwd=project.path,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def kill_reaper(folder: Path) -> None:
    for line in of_project(folder):
        if "engine.reaper" in line:
            os.kill(int(line.split()[0]), signal.SIGKILL)


def resume_and_check(project: Project) -> None:
    """The resumed run has every verdict of an undisturbed one, no twin, and leaves nothing behind."""
    resumed = session(project, "--cluster-resume", "--cluster-json=report.json")
    output, _ = resumed.communicate(timeout=60)
    assert resumed.returncode == pytest.ExitCode.TESTS_FAILED, output.decode()
    report = project.report("report.json")
    assert {c["key"].rpartition("-")[2]: c["verdict"] for c in report["cells"]} == EXPECTED
    assert len(report["cells"]) == 12
    for cell in report["cells"]:
        # Only what was cancelled because its session died runs again.
        *earlier, last = cell["attempts"]
        assert last["outcome"]["reason"] in ("job_completed", "job_failed")
        assert all(attempt["outcome"]["reason"] == "cancelled" for attempt in earlier), cell["key"]
    logs = [path.name.split(".")[0] for path in project.path.glob(".clusterjobs/runs/*/local/logs/*.0.0.log")]
    assert max(Counter(logs).values()) == 1
    assert len(logs) <= sum(len(cell["attempts"]) for cell in report["cells"])
    until(lambda: not of_project(project.path), 10)


@pytest.mark.parametrize("on_crash", ["cancel", "keep"])
@pytest.mark.parametrize(
    "point",
    [
        "after-register-1",
        "before-record-1",
        "after-record-1",
        "before-submit-1",
        "after-submit-1",
        "after-submit-5",
        "before-record-3",
        "before-poll-1",
        "before-observe-1",
        "after-observe-1",
    ],
)
def test_a_kill_at_each_step(project: Project, point: str, on_crash: str) -> None:
    project.matrix(MATRIX)
    project.pytester.makeconftest(CRASHER)
    crashed = session(project, f"--cluster-on-crash={on_crash}", CRASH_AT=point)
    crashed.communicate(timeout=60)
    assert crashed.returncode == -signal.SIGKILL
    if on_crash == "cancel":
        until(lambda: not of_project(project.path), 10)
    resume_and_check(project)


@pytest.mark.parametrize("number", range(int(os.environ.get("CLUSTERJOBS_KILLS", "3"))))
def test_a_kill_at_any_instant(project: Project, number: int) -> None:
    chance = random.Random(number)
    project.matrix(MATRIX)
    on_crash = chance.choice(["cancel", "keep"])
    crashed = session(project, f"--cluster-on-crash={on_crash}")
    until(lambda: any(project.path.glob(".clusterjobs/runs/*/ledger.sqlite")), 30)
    time.sleep(chance.uniform(0.0, 1.5))
    if chance.random() < 0.3:
        kill_reaper(project.path)
    if crashed.poll() is not None:
        crashed.communicate()
        pytest.skip("it was done before it was killed")
    crashed.kill()
    crashed.communicate()
    resume_and_check(project)
