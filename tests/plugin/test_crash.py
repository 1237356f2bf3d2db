"""Exactly once: a session is killed at every step of its work, then resumed (see crash_project.py)."""

from __future__ import annotations

import random
import signal
import time

import pytest

from tests.plugin.crash_project import CANCEL
from tests.plugin.crash_project import Crash
from tests.plugin.crash_project import KEEP
from tests.plugin.crash_project import KILLS
from tests.plugin.crash_project import MATRIX
from tests.plugin.crash_project import with_fates
from tests.plugin.test_leaks import until

pytestmark = pytest.mark.quiet

RANDOM_KILLS = KILLS or 3

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


@pytest.fixture
def crash(pytester: pytest.Pytester) -> Crash:
    return Crash(pytester.path)


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
    crash.matrix(MATRIX.replace("sleep 0.3", "sleep 2"))
    crash.dies(point, "-x", fate=fate)
    crash.resume_and_check()


@pytest.mark.parametrize("number", range(RANDOM_KILLS))
def test_a_kill_at_any_instant(crash: Crash, number: int) -> None:
    crash.some_at_random(number)
    crash.resume_and_check()


@pytest.mark.parametrize("number", range(max(1, RANDOM_KILLS // 10)))
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
