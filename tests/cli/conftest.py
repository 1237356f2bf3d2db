from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PYTEST = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
COMMAND = [sys.executable, "-m", "pytest_clusterjobs.cli"]

ENDS = r"""
recipes:
  a: 'echo "rank $CLUSTERJOBS_NODE_RANK says hello"; printf "\033[31mred\033[0m \007\n"'
nodes: [1, 2]
conditions:
  good: {expect: {log: {contains: [hello]}}}
  bad: {run: 'echo oh; [ $CLUSTERJOBS_NODE_RANK != 1 ] && [ $CLUSTERJOBS_NUM_NODES = 2 ] || exit 7'}
  known: {run: exit 1, marks: [{xfail: {reason: known}}]}
  infra: {setup: "false"}
"""

SLEEPERS = """
recipes: {s: "echo $$ > pid-$CLUSTERJOBS_CELL; exec sleep 300"}
nodes: [1]
conditions: {one: {}, two: {}}
"""


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait for something that another process does."""
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < seconds, "it did not come to pass"
        time.sleep(0.02)


class Place:
    """A project in which pytest and the command run as real processes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "pytest.ini").write_text("[pytest]\n")

    def matrix(self, text: str, name: str = "matrices/m.yaml") -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start pytest."""
        return subprocess.Popen(
            [*PYTEST, *arguments],
            cwd=self.path,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def pytest(self, *arguments: str) -> int:
        """Run pytest; its exit code."""
        process = self.start(*arguments)
        process.communicate(timeout=60)
        return process.returncode

    def command(
        self, *arguments: str, prefix: tuple[str, ...] = (), cwd: Path | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run ``clusterjobs``."""
        return subprocess.run(
            [*prefix, *COMMAND, *arguments],
            check=False,
            cwd=cwd or self.path,
            env={**environment(), **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def read(self, *arguments: str) -> Any:
        """What ``clusterjobs ... --json`` says."""
        done = self.command(*arguments, "--json")
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    def sleepers(self) -> list[int]:
        """The processes of SLEEPERS."""
        return [int(text) for path in self.path.glob("pid-*") if (text := path.read_text())]

    def asleep(self) -> bool:
        return len(self.sleepers()) == 2

    @property
    def folder(self) -> Path:
        """The latest run's."""
        return max(self.path.glob(".clusterjobs/runs/*"))


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "NO_COLOR"))}
    return {**kept, "COLUMNS": "200"}


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """An empty project; what it leaves running is killed."""
    found = Place(tmp_path)
    yield found
    if list(tmp_path.glob(".clusterjobs/runs/*/ledger.sqlite")):
        found.command("kill")


@pytest.fixture
def launched(place: Place) -> Place:
    """A run whose session is gone and whose two jobs live."""
    place.matrix(SLEEPERS)
    assert place.pytest("--cluster-launch") == 0
    until(place.asleep)
    return place


@pytest.fixture(scope="session")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A run that has ended; tests only read it."""
    found = Place(tmp_path_factory.mktemp("ended"))
    found.matrix(ENDS)
    assert found.pytest("--junitxml=report.xml", "-o", "junit_family=xunit1") == pytest.ExitCode.TESTS_FAILED
    return found
