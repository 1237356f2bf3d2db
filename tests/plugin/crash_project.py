"""A project whose sessions are killed and resumed, and what must be true of it afterwards.

CLUSTERJOBS_KILLS says how many kills at random are tried on top of those at named steps; from 100 on,
every named step is tried with every fate of the jobs, else some of them with one of them.
CLUSTERJOBS_KILLS_LOG names a file that gets a line for each kill.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import closing
from contextlib import suppress
from pathlib import Path
from typing import Any
from typing import TypeVar

import pytest

from tests.plugin.crasher import STEPS
from tests.plugin.test_leaks import of_project
from tests.plugin.test_leaks import until

KILLS = int(os.environ.get("CLUSTERJOBS_KILLS", "0"))
"""Kills at random; 0 for as many as each module tries by default."""

# Every start of every rank leaves a line; the flaky cell's first one that gets so far fails to start.
MATRIX = """
defaults: {setup: 'echo "$CLUSTERJOBS_CELL $CLUSTERJOBS_ATTEMPT $CLUSTERJOBS_NODE_RANK" >> starts'}
recipes: {a: "true", b: sleep 0.3}
nodes: [1, 2]
conditions:
  good: {}
  bad: {run: exit 3, expect: {exit_code: 3}}
  worse: {run: exit 4}
  flaky:
    only: {recipe: a, nodes: 1}
    infra_retries: 1
    setup: |
      echo "$CLUSTERJOBS_CELL $CLUSTERJOBS_ATTEMPT $CLUSTERJOBS_NODE_RANK" >> starts
      mkdir once && exit 1 || true
"""

EXPECTED = {"good": "passed", "bad": "passed", "worse": "failed", "flaky": "passed"}

CANCEL, KEEP, UNATTENDED = "cancel", "keep", "unattended"
"""What becomes of the jobs: the reaper ends them, it leaves them, or it was killed too."""

PATH = [
    "take_over",
    "register",
    *["commit"] * 3,
    *["submit"] * 4,
    "handle",
    "find",
    "poll",
    "commit",
    "_publish",
]
"""The steps of the submission path, the ones that matter most the most often."""


T = TypeVar("T")


def with_fates(points: list[T], every: int = 2) -> list[tuple[T, str]]:
    """Each point with each fate in a long run; otherwise one of ``every`` points with one of them."""
    fates = (CANCEL, KEEP, UNATTENDED)
    if KILLS >= 100:
        return [(point, fate) for point in points for fate in fates]
    return [(point, fates[number % len(fates)]) for number, point in enumerate(points[::every])]


def kill_reaper(folder: Path) -> None:
    for line in of_project(folder):
        if "engine.reaper" in line:
            with suppress(ProcessLookupError):
                os.kill(int(line.split()[0]), signal.SIGKILL)


class Crash:
    """A project whose sessions die, and what is true of it whenever one of them does not."""

    options: Sequence[str] = ()
    """Of each session."""
    variables: Mapping[str, str] = {}
    """In the environment of each session."""
    seconds = 1.2
    """How long a session takes that is not killed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "pytest.ini").write_text("[pytest]\n")
        (path / "conftest.py").write_text(Path(__file__).with_name("crasher.py").read_text())
        (path / "matrices").mkdir()
        self.matrix(MATRIX)

    def matrix(self, text: str) -> None:
        """Write the project's matrix."""
        (self.path / "matrices" / "m.yaml").write_text(text)

    def session(self, *arguments: str, fate: str = CANCEL, **environment: str) -> subprocess.Popen[bytes]:
        """Start pytest, as light as it can be: it starts a thousand times in a long run."""
        ours = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "CRASH_TRACE": str(self.path / "trace")}
        if fate == UNATTENDED:
            ours["CRASH_REAPER"] = "1"
        light = ["-q", "-p", "pytest_clusterjobs.plugin.hookimpls", "-p", "no:cacheprovider"]
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "pytest",
                *light,
                f"--cluster-on-crash={KEEP if fate == KEEP else CANCEL}",
                *self.options,
                *arguments,
            ],
            cwd=self.path,
            env={**os.environ, **ours, **self.variables, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def dies(self, point: str, *arguments: str, fate: str) -> None:
        """Run a session that dies at ``point``."""
        process = self.session(*arguments, fate=fate, CRASH_AT=point)
        output, _ = process.communicate(timeout=120)
        assert process.returncode == -signal.SIGKILL, output.decode()
        self.log(point, fate)

    def at_random(self, chance: random.Random, *arguments: str, fate: str) -> bool:
        """Kill a session at any step or at any instant; whether it came to that."""
        slow = chance.choice([0.0, 0.01, 0.05])
        point = (
            f"{chance.choice(['before', 'inside', 'after'])}-{chance.choice(PATH)}-{chance.randint(1, 13)}"
        )
        by_time = chance.random() < 0.5
        trace = self.path / "trace"
        trace.unlink(missing_ok=True)
        variables = {"CRASH_SLOW": str(slow)} if by_time else {"CRASH_SLOW": str(slow), "CRASH_AT": point}
        process = self.session(*arguments, fate=fate, **variables)
        if by_time:
            until(lambda: trace.exists() and bool(self.ledgers()), 60)
            time.sleep(chance.uniform(0.0, self.seconds + 30 * slow))
            if fate == UNATTENDED:
                kill_reaper(self.path)
            process.kill()
        process.communicate(timeout=120)
        died = process.returncode == -signal.SIGKILL
        self.log(("any instant" if by_time else point) if died else "too late", fate)
        return died

    def some_at_random(self, number: int) -> None:
        """Kill a session at random, and perhaps those that resume it."""
        chance = random.Random(number)
        kills = 0
        while kills < 3 and (not kills or chance.random() < 0.3):
            fate = chance.choice([CANCEL, KEEP, UNATTENDED])
            resume = ["--cluster-resume"] if kills else []
            if not self.at_random(chance, *resume, fate=fate):
                break
            kills += 1
        if not kills:
            pytest.skip("it was done before it was killed")

    def under_way(self) -> list[str]:
        """The steps in the middle of which the last session died."""
        trace = self.path / "trace"
        counts = trace.read_bytes() if trace.exists() else b""
        return [name for name, count in zip(STEPS, counts, strict=False) if count]

    def ledgers(self) -> list[Path]:
        """The ledger, once there is one."""
        return list(self.path.glob(".clusterjobs/runs/*/ledger.sqlite"))

    def rows(self) -> dict[str, int]:
        """How far the last session got, by its ledger."""
        tables = ("cells", "attempts", "submissions", "actions", "outcomes", "results")
        (path,) = self.ledgers()
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as db:
            there = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
            return {
                table: db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
                for table in tables
                if table in there
            }

    def log(self, point: str, fate: str) -> None:
        """Note a kill in the file that CLUSTERJOBS_KILLS_LOG names."""
        if name := os.environ.get("CLUSTERJOBS_KILLS_LOG"):
            known = {"rows": self.rows(), "under_way": self.under_way()}
            line = json.dumps({"point": point, "fate": fate, **known})
            with open(name, "a") as notes:
                notes.write(line + "\n")

    def resume_and_check(self) -> None:
        """The resumed run has every verdict of an undisturbed one, no twin, and leaves nothing behind."""
        resumed = self.session("--cluster-resume", "--cluster-json=report.json")
        output, _ = resumed.communicate(timeout=120)
        assert resumed.returncode == pytest.ExitCode.TESTS_FAILED, output.decode()
        cells = json.loads((self.path / "report.json").read_text())["cells"]
        assert len(cells) == 13
        assert {cell["key"].rpartition("-")[2]: cell["verdict"] for cell in cells} == EXPECTED
        for cell in cells:
            # Only what was cancelled because its session died runs again, and the flaky one.
            *earlier, last = (attempt["outcome"]["reason"] for attempt in cell["attempts"])
            assert last in ("job_completed", "job_failed")
            assert set(earlier) <= {"cancelled", "start_failed"}, cell["key"]
            assert earlier.count("start_failed") <= cell["key"].endswith("flaky"), cell["key"]
        self.each_start_was_the_only_one(cells)
        until(lambda: not self.left(), 30)

    def left(self) -> list[str]:
        """What the sessions and their jobs have left running."""
        return of_project(self.path)

    def each_start_was_the_only_one(self, cells: list[dict[str, Any]]) -> None:
        """No attempt ran twice, and none ran that the ledger does not know."""
        starts = Counter((self.path / "starts").read_text().splitlines())
        assert set(starts.values()) == {1}, starts
        known = {
            f"{cell['registration']['cell']['id']} {attempt['number']}"
            for cell in cells
            for attempt in cell["attempts"]
        }
        assert {line.rpartition(" ")[0] for line in starts} <= known
