"""Exactly once: a session is killed at every step of its work, then resumed.

CLUSTERJOBS_KILLS says how many kills at random are tried on top of those at named steps; from 100 on,
every named step is tried with every fate of the jobs, else every other one with one of them.
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
from contextlib import closing
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from typing import TypeVar

import pytest

from tests.plugin.crasher import STEPS
from tests.plugin.test_leaks import of_project
from tests.plugin.test_leaks import until

if TYPE_CHECKING:
    from tests.plugin.conftest import Project

pytestmark = pytest.mark.quiet

KILLS = int(os.environ.get("CLUSTERJOBS_KILLS", "3"))

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

CANCEL, KEEP, NOBODY = "cancel", "keep", "nobody"
"""What becomes of the jobs: the reaper ends them, it leaves them, or it was killed too."""

POINTS = [
    "before-set_meta-1",
    "after-set_meta-1",
    "inside-take_over-1",
    "after-take_over-1",
    "before-register-1",
    "inside-register-1",
    "after-register-1",
    "before-commit-1",
    "inside-commit-1",
    "after-commit-1",
    "before-submit-1",
    "inside-submit-1",
    "after-submit-1",
    "inside-submit-5",
    "after-submit-9",
    "before-handle-5",
    "after-handle-5",
    "before-commit-2",
    "inside-commit-2",
    "after-commit-2",
    "before-poll-1",
    "inside-poll-1",
    "after-poll-1",
    "before-commit-3",
    "inside-commit-3",
    "after-commit-3",
    "inside-commit-4",
    "before-_publish-1",
    "after-_publish-1",
    "before-handle-12",
    "inside-add_reports-1",
    "before-release-1",
    "after-release-1",
]

RESUMED = [
    ("inside-submit-1", "before-find-1"),
    ("after-submit-3", "after-find-1"),
    ("after-submit-3", "inside-commit-1"),
    ("inside-commit-1", "inside-take_over-1"),
    ("after-commit-3", "before-submit-1"),
]
"""A session dies, and so does the one that resumes it."""

STOPPED = [
    "before-act-1",
    "after-commit-5",
    "after-act-1",
    "before-cancel-1",
    "inside-cancel-1",
    "after-cancel-1",
]
"""A session that was told to stop at the first failure dies while it cancels the rest."""


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


def with_fates(points: list[T]) -> list[tuple[T, str]]:
    """Each point with each fate in a long run; otherwise every other point with one of them."""
    fates = (CANCEL, KEEP, NOBODY)
    if KILLS >= 100:
        return [(point, fate) for point in points for fate in fates]
    return [(point, fates[number % len(fates)]) for number, point in enumerate(points[::2])]


def kill_reaper(folder: Path) -> None:
    for line in of_project(folder):
        if "engine.reaper" in line:
            with suppress(ProcessLookupError):
                os.kill(int(line.split()[0]), signal.SIGKILL)


class Crash:
    """A project whose sessions die, and what is true of it whenever one of them does not."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.path = project.path
        project.matrix(MATRIX)
        project.pytester.makeconftest(Path(__file__).with_name("crasher.py").read_text())

    def session(self, *arguments: str, fate: str = CANCEL, **environment: str) -> subprocess.Popen[bytes]:
        """Start pytest, as light as it can be: it starts a thousand times in a long run."""
        ours = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "CRASH_TRACE": str(self.path / "trace")}
        if fate == NOBODY:
            ours["CRASH_REAPER"] = "1"
        light = ["-q", "-p", "pytest_clusterjobs.plugin.hookimpls", "-p", "no:cacheprovider"]
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "pytest",
                *light,
                f"--cluster-on-crash={KEEP if fate == KEEP else CANCEL}",
                *arguments,
            ],
            cwd=self.path,
            env={**os.environ, **ours, **environment},
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
            time.sleep(chance.uniform(0.0, 1.2 + 30 * slow))
            if fate == NOBODY:
                kill_reaper(self.path)
            process.kill()
        process.communicate(timeout=120)
        died = process.returncode == -signal.SIGKILL
        self.log(("any instant" if by_time else point) if died else "too late", fate)
        return died

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
        """Note a kill for whoever counts them."""
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
        cells = self.project.report("report.json")["cells"]
        assert len(cells) == 13
        assert {cell["key"].rpartition("-")[2]: cell["verdict"] for cell in cells} == EXPECTED
        for cell in cells:
            # Only what was cancelled because its session died runs again, and the flaky one.
            *earlier, last = (attempt["outcome"]["reason"] for attempt in cell["attempts"])
            assert last in ("job_completed", "job_failed")
            assert set(earlier) <= {"cancelled", "start_failed"}, cell["key"]
            assert earlier.count("start_failed") <= cell["key"].endswith("flaky"), cell["key"]
        self.each_start_was_the_only_one(cells)
        until(lambda: not of_project(self.path), 30)

    def each_start_was_the_only_one(self, cells: list[dict[str, object]]) -> None:
        """No attempt ran twice, and none ran that the ledger does not know."""
        starts = Counter((self.path / "starts").read_text().splitlines())
        assert set(starts.values()) == {1}, starts
        known = {
            f"{cell['registration']['cell']['id']} {attempt['number']}"  # type: ignore[index]
            for cell in cells
            for attempt in cell["attempts"]  # type: ignore[attr-defined]
        }
        assert {line.rpartition(" ")[0] for line in starts} <= known


@pytest.fixture
def crash(project: Project) -> Crash:
    return Crash(project)


@pytest.mark.parametrize(("point", "fate"), with_fates(POINTS))
def test_a_kill_at_each_step(crash: Crash, point: str, fate: str) -> None:
    crash.dies(point, fate=fate)
    crash.resume_and_check()


@pytest.mark.parametrize(("points", "fate"), with_fates(RESUMED))
def test_a_kill_of_the_session_that_resumes(crash: Crash, points: tuple[str, str], fate: str) -> None:
    first, then = points
    crash.dies(first, fate=fate)
    crash.dies(then, "--cluster-resume", fate=fate)
    crash.resume_and_check()


@pytest.mark.parametrize(("point", "fate"), with_fates(STOPPED))
def test_a_kill_while_jobs_are_cancelled(crash: Crash, point: str, fate: str) -> None:
    crash.project.matrix(MATRIX.replace("sleep 0.3", "sleep 2"))
    crash.dies(point, "-x", fate=fate)
    crash.resume_and_check()


@pytest.mark.parametrize("number", range(KILLS))
def test_a_kill_at_any_instant(crash: Crash, number: int) -> None:
    chance = random.Random(number)
    kills = 0
    while kills < 3 and (not kills or chance.random() < 0.3):
        fate = chance.choice([CANCEL, KEEP, NOBODY])
        resume = ["--cluster-resume"] if kills else []
        died = crash.at_random(chance, *resume, fate=fate)
        if not died:
            break
        kills += 1
    if not kills:
        pytest.skip("it was done before it was killed")
    crash.resume_and_check()


@pytest.mark.parametrize("number", range(max(1, KILLS // 10)))
def test_a_kill_of_the_controller_under_xdist(crash: Crash, number: int) -> None:
    chance = random.Random(number)
    fate = chance.choice([CANCEL, KEEP])
    process = crash.session("-p", "xdist", "-n2", fate=fate)
    until(lambda: bool(crash.ledgers()), 60)
    time.sleep(chance.uniform(0.0, 0.8))
    process.kill()
    process.communicate(timeout=120)
    if process.returncode != -signal.SIGKILL:
        pytest.skip("it was done before it was killed")
    crash.log("any instant under xdist", fate)
    crash.resume_and_check()
