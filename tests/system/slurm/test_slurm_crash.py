"""Exactly once, on a real Slurm: sessions are killed at steps and at instants, then resumed.

The variables CLUSTERJOBS_KILLS and CLUSTERJOBS_KILLS_LOG are those of tests/plugin/crash_project.py.
"""

from __future__ import annotations

import pytest

from pytest_clusterjobs.devclusters.slurm import SlurmClient
from tests.plugin.crash_project import Crash
from tests.plugin.crash_project import KILLS
from tests.plugin.crash_project import MATRIX
from tests.plugin.crash_project import with_fates
from tests.system.slurm.jobs import jobs_of_runs_in

pytestmark = [pytest.mark.system, pytest.mark.quiet]

# sbatch has accepted a job whose id the session never reads, squeue has answered, scancel was sent: "inside".
POINTS = [
    "inside-submit-1",
    "after-commit-1",
    "before-submit-1",
    "after-submit-1",
    "inside-submit-7",
    "inside-commit-1",
    "after-submit-9",
    "before-commit-2",
    "inside-commit-2",
    "before-poll-1",
    "inside-poll-1",
    "after-poll-1",
    "inside-commit-4",
    "inside-poll-4",
    "before-logs-1",
    "before-_publish-1",
    "inside-add_reports-1",
    "before-release-1",
]

RESUMED = [
    ("inside-submit-3", "before-find-1"),
    ("inside-submit-3", "after-find-1"),
    ("after-submit-3", "inside-commit-1"),
    ("after-commit-3", "before-submit-1"),
]

STOPPED = ["inside-cancel-1", "before-cancel-1", "after-cancel-1"]


class SlurmCrash(Crash):
    """The project on a Slurm that it shares with others."""

    options = ("--cluster-backend=slurm",)
    seconds = 8.0

    def __init__(self, pytester: pytest.Pytester, slurm: SlurmClient) -> None:
        super().__init__(pytester.path)
        self.slurm = slurm
        self.variables = slurm.environment
        settings = "[tool.clusterjobs.backends.slurm]\npoll_interval = 0.25\n"
        (self.path / "pyproject.toml").write_text(settings)

    def left(self) -> list[str]:
        """Processes, and jobs that Slurm still has."""
        return super().left() + jobs_of_runs_in(self.path, self.slurm)


@pytest.fixture
def crash(pytester: pytest.Pytester, slurm: SlurmClient) -> SlurmCrash:
    return SlurmCrash(pytester, slurm)


@pytest.mark.parametrize(("point", "fate"), with_fates(POINTS, every=18))
def test_a_kill_at_each_step(crash: SlurmCrash, point: str, fate: str) -> None:
    crash.dies(point, fate=fate)
    crash.resume_and_check()


@pytest.mark.parametrize(("points", "fate"), with_fates(RESUMED, every=4))
def test_a_kill_of_the_session_that_resumes(crash: SlurmCrash, points: tuple[str, str], fate: str) -> None:
    first, then = points
    crash.dies(first, fate=fate)
    crash.dies(then, "--cluster-resume", fate=fate)
    crash.resume_and_check()


@pytest.mark.parametrize(("point", "fate"), with_fates(STOPPED, every=3))
def test_a_kill_while_jobs_are_cancelled(crash: SlurmCrash, point: str, fate: str) -> None:
    crash.matrix(MATRIX.replace("sleep 0.3", "sleep 9"))
    crash.dies(point, "-x", fate=fate)
    crash.resume_and_check()


@pytest.mark.parametrize("number", range(KILLS or 1))
def test_a_kill_at_any_instant(crash: SlurmCrash, number: int) -> None:
    crash.some_at_random(number)
    crash.resume_and_check()
