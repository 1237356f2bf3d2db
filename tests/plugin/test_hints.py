"""What pytest's end tells people to run can be pasted into their shell, and does what it says."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import COMMAND
from tests.plugin.test_leaks import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plugin.conftest import Project

pytestmark = pytest.mark.quiet

MATRIX = """
recipes: {a: "[ -e go ] || exec sleep 300"}
nodes: [1]
conditions: {one: {}, two: {}, three: {}}
"""

HOOKS = """
def pytest_clusterjobs_report_fields(cell, result):
    return {"seen": "by the plugin"}
"""

ODD = "it's an odd folder"


@pytest.fixture
def odd(project: Project) -> Project:
    """A project that only its whole command line finds: another ini file, a plugin, a folder with a quote
    in it."""
    project.matrix(MATRIX, f"{ODD}/m.yaml")
    (project.path / "tox.ini").unlink()
    (project.path / "other.ini").write_text(f"[pytest]\npythonpath = .\ncluster_matrices = {ODD}/*.yaml\n")
    (project.path / "the_hooks.py").write_text(HOOKS)
    return project


ARGUMENTS = [
    "-c",
    "other.ini",
    "--rootdir",
    ".",
    "-p",
    "the_hooks",
    "--cluster-backend",
    "local",
    ODD,
    "-k",
    "one or two",
]


def environment() -> dict[str, str]:
    scripts = os.path.dirname(sys.executable)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return {**kept, "PATH": f"{scripts}:{os.environ['PATH']}", "PYTHONPATH": "."}


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["pytest", *arguments],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        executable=f"{os.path.dirname(sys.executable)}/pytest",
    )


def paste(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        shell=True,
        check=False,
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


def hint(output: str, words: str) -> str:
    """The command after ``words``, which stand on one line only."""
    (line,) = (line for line in output.splitlines() if words in line)
    return line.partition(words)[2]


def is_running(project: Project) -> bool:
    """Whether a session is at work, and a job runs."""
    said = [
        subprocess.run([*COMMAND, *what, "--json"], check=False, cwd=project.path, capture_output=True).stdout
        for what in (["runs"], ["show", "*"])
    ]
    return all(b'"running"' in each for each in said)


def seen(project: Project) -> set[str]:
    """What the plugin has added to the cells' results."""
    found = [cell["result"]["fields"] for cell in project.report()["cells"] if cell["result"]]
    return {fields.get("seen", "") for fields in found}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("more", [[], ["-n2"], ["-n", "2"]], ids=str)
def test_an_interrupted_session_says_how_to_go_on(
    odd: Project, number: signal.Signals, more: list[str]
) -> None:
    process = start(odd.path, *ARGUMENTS, *more)
    until(lambda: is_running(odd), 60)
    process.send_signal(number)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    command = hint(output, "2 cells not run; continue with: ")
    assert command.startswith("pytest --cluster-resume=")
    (odd.path / "go").touch()
    resumed = paste(odd.path, command)
    assert "2 passed" in resumed.stdout, resumed.stdout
    assert resumed.returncode == 0
    assert seen(odd) == {"by the plugin"}


def test_a_sigterm_is_named(odd: Project) -> None:
    process = start(odd.path, *ARGUMENTS)
    until(lambda: is_running(odd), 60)
    process.terminate()
    output = process.communicate(timeout=60)[0]
    assert "! Interrupted: stopped by SIGTERM !" in output
    assert "KeyboardInterrupt" not in output


@pytest.mark.parametrize("more", [[], ["-n2"]], ids=str)
def test_a_kill_from_elsewhere_says_who(odd: Project, more: list[str]) -> None:
    process = start(odd.path, *ARGUMENTS, *more)
    until(lambda: is_running(odd), 60)
    killer = subprocess.Popen(
        [*COMMAND, "kill"], cwd=odd.path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    said = killer.communicate(timeout=60)[0]
    output = process.communicate(timeout=60)[0]
    assert f"! Interrupted: stopped by `clusterjobs kill` (process {killer.pid}) !" in output
    assert "KeyboardInterrupt" not in output and "run_session.py" not in output
    assert "2 ended, none survived" in said
    assert "had ended" not in said
    # What an earlier session was stopped by is nothing to a later one.
    later = start(odd.path, *shlex.split(hint(output, "continue with: "))[1:])
    until(lambda: is_running(odd), 60)
    later.terminate()
    assert "stopped by SIGTERM" in later.communicate(timeout=60)[0]


def test_a_launch_says_how_to_judge(odd: Project) -> None:
    (odd.path / "go").touch()
    launch = start(odd.path, "--cluster-launch", *ARGUMENTS)
    output = launch.communicate(timeout=60)[0]
    checked = paste(odd.path, f"{hint(output, 'judge them with: ')} --cluster-check-wait")
    assert checked.returncode == 0, checked.stdout
    assert "2 passed" in checked.stdout
    assert seen(odd) == {"by the plugin"}


def test_a_check_that_is_interrupted_says_how_to_go_on(odd: Project) -> None:
    start(odd.path, *ARGUMENTS, "--cluster-launch").communicate(timeout=60)
    check = start(odd.path, *ARGUMENTS, "--cluster-check", "--cluster-check-wait")
    until(lambda: is_running(odd), 60)
    check.send_signal(signal.SIGINT)
    output = check.communicate(timeout=60)[0]
    command = hint(output, "2 cells not judged; the jobs keep running; judge them with: ")
    (odd.path / "go").touch()
    assert "2 pending" in paste(odd.path, command).stdout
    subprocess.run([*COMMAND, "kill"], check=False, cwd=odd.path, capture_output=True)


def test_x_says_why_cells_were_not_run(project: Project) -> None:
    project.ini()
    project.matrix(MATRIX.replace("three: {}", "three: {run: exit 3}"))
    process = start(project.path, "-x")
    output = process.communicate(timeout=60)[0]
    assert process.returncode == pytest.ExitCode.TESTS_FAILED
    command = hint(output, "2 cells not run (stopping after 1 failures); continue with: ")
    (project.path / "go").touch()
    assert "1 failed, 2 passed" in paste(project.path, command.replace(" -x", "")).stdout


@pytest.mark.parametrize("more", [[], ["-n2"]], ids=str)
def test_a_failure_says_how_to_run_its_cell_again(odd: Project, more: list[str]) -> None:
    odd.matrix(
        MATRIX.replace("one: {}", "one: {run: 'exit 3'}").replace("two: {}", "two: {run: 'true'}"),
        f"{ODD}/m.yaml",
    )
    output = start(odd.path, *ARGUMENTS, *more).communicate(timeout=60)[0]
    again = paste(odd.path, hint(output, "run it again:").strip())
    assert "1 failed" in again.stdout and "passed" not in again.stdout, again.stdout + again.stderr
    assert again.returncode == pytest.ExitCode.TESTS_FAILED
    assert seen(odd) == {"by the plugin"}
