"""However pytest ends, its jobs end too."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_clusterjobs.model import Reason

if TYPE_CHECKING:
    from tests.plugin.conftest import Project

pytestmark = pytest.mark.quiet

SLEEPERS = """
recipes: {a: "echo $$ > pid-$CLUSTERJOBS_CELL-$CLUSTERJOBS_NODE_RANK; exec sleep 300"}
nodes: [1, 2]
conditions: {one: {}, two: {}}
"""


def start(project: Project, *arguments: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(project.path)}
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", *arguments],
        cwd=project.path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def until(condition: Callable[[], bool], seconds: float) -> float:
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < seconds, "it did not come to pass"
        time.sleep(0.02)
    return time.monotonic() - begin


def of_project(folder: Path) -> list[str]:
    """Command lines of all processes that work in this folder or for a run in it."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            inside = Path(os.readlink(entry / "cwd")).is_relative_to(folder)
        except OSError:
            continue
        if command and (inside or str(folder) in command):
            found.append(f"{entry.name} {command}")
    return found


def jobs_run(folder: Path) -> bool:
    return len([path for path in folder.glob("pid-*") if path.read_text().strip()]) == 6


@pytest.fixture
def sleepers(project: Project) -> Iterator[Project]:
    project.matrix(SLEEPERS)
    yield project
    until(lambda: not of_project(project.path), 20)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_cancel_everything_and_exit_within_two_seconds(
    sleepers: Project, number: signal.Signals
) -> None:
    process = start(sleepers, "--junitxml=report.xml")
    until(lambda: jobs_run(sleepers.path), 30)
    process.send_signal(number)
    begin = time.monotonic()
    output, _ = process.communicate(timeout=30)
    # Two seconds is the aim, and what a machine that does nothing else takes.
    assert time.monotonic() - begin < 6
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output.decode()
    assert b"4 not run" in output
    assert (sleepers.path / "report.xml").exists()
    until(lambda: not of_project(sleepers.path), 10)
    for cell in sleepers.report("report.json")["cells"]:
        assert cell["verdict"] == "not run"
        assert cell["attempts"][0]["outcome"]["reason"] == Reason.CANCELLED


def test_kill_9_leaves_no_process_within_three_seconds(sleepers: Project) -> None:
    process = start(sleepers)
    until(lambda: jobs_run(sleepers.path), 30)
    process.kill()
    process.communicate()
    until(lambda: not of_project(sleepers.path), 10)


def test_kill_9_of_pytest_under_xdist(sleepers: Project) -> None:
    process = start(sleepers, "-n2")
    until(lambda: jobs_run(sleepers.path), 60)
    process.kill()
    process.communicate()
    until(lambda: not of_project(sleepers.path), 12)


def test_os_exit_in_a_python_test(sleepers: Project) -> None:
    sleepers.pytester.makepyfile(
        test_exit="""
        import os, pathlib, time
        def test_exit():
            while len(list(pathlib.Path().glob("pid-*"))) < 6: time.sleep(0.05)
            os._exit(5)
        """
    )
    process = start(sleepers)
    process.communicate(timeout=60)
    assert process.returncode == 5
    until(lambda: not of_project(sleepers.path), 10)


def test_keep_on_crash_keeps(sleepers: Project) -> None:
    process = start(sleepers, "--cluster-on-crash=keep")
    until(lambda: jobs_run(sleepers.path), 30)
    process.kill()
    process.communicate()
    pids = [int(path.read_text()) for path in sleepers.path.glob("pid-*")]
    time.sleep(1.5)  # the time in which a reaper that cancels would have done so
    for pid in pids:
        os.kill(pid, 0)
    # The jobs' own side is what ends them now; here, this test.
    for pid in pids:
        # The runner stops a job's other ranks as soon as one has died.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_a_job_that_ignores_term_does_not_hold_pytest_up(project: Project) -> None:
    project.matrix(
        """
        recipes: {a: "trap '' TERM; echo $$ > pid-$CLUSTERJOBS_CELL; while :; do sleep 1; done"}
        nodes: [1]
        conditions: {c: {grace_period: 20s}}
        """
    )
    process = start(project)
    until(lambda: any(path.read_text() for path in project.path.glob("pid-*")), 30)
    process.send_signal(signal.SIGINT)
    begin = time.monotonic()
    output, _ = process.communicate(timeout=30)
    assert time.monotonic() - begin < 12, "it waited for the grace period"
    assert b"left to the reaper" in output
    until(lambda: not of_project(project.path), 40)


def test_a_killed_session_leaves_a_whole_report_with_every_verdict_there_was(project: Project) -> None:
    project.matrix(
        """
        recipes: {a: "true"}
        nodes: [1]
        conditions: {good: {}, bad: {run: exit 3}, slow: {run: sleep 300}}
        """
    )
    process = start(project, "--cluster-json=out/report.json")
    path = project.path / "out" / "report.json"

    def two_verdicts() -> bool:
        return path.exists() and project.report("out/report.json")["summary"]["failed"] == 1

    until(two_verdicts, 30)
    process.kill()
    process.communicate()
    verdicts = {
        cell["key"].rpartition("-")[2]: cell["verdict"] for cell in project.report("out/report.json")["cells"]
    }
    assert verdicts == {"good": "passed", "bad": "failed", "slow": None}
    until(lambda: not of_project(project.path), 12)
