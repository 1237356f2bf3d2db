"""The shipped matrix of exit conditions on a real Slurm, and more cells than it accepts."""

from __future__ import annotations

import getpass
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_clusterjobs.devclusters.slurm import SlurmClient
from pytest_clusterjobs.devclusters.slurm import SlurmCluster
from tests.system.processes import start_pytest
from tests.system.processes import until
from tests.system.slurm.jobs import jobs_of_runs_in

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[3]
MINUTES = 300


class Session:
    """A project whose cells run on the shared cluster, with pytest as a real process."""

    def __init__(self, path: Path, slurm: SlurmClient) -> None:
        self.path = path
        self.slurm = slurm
        (path / "pytest.ini").write_text("[pytest]\n")
        (path / "pyproject.toml").write_text("[tool.clusterjobs.backends.slurm]\npoll_interval = 0.5\n")

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start pytest."""
        environment = {**self.slurm.environment, **environment}
        return start_pytest(self.path, environment, "--cluster-backend=slurm", *arguments)

    def cells(self) -> list[dict[str, Any]]:
        """The cells of the latest run's report."""
        latest = max(self.path.glob(".clusterjobs/runs/*/report.json"))
        found: list[dict[str, Any]] = json.loads(latest.read_text())["cells"]
        return found

    def live(self) -> list[str]:
        """Names of this project's jobs that Slurm still has."""
        return jobs_of_runs_in(self.path, self.slurm)


@pytest.fixture
def session(tmp_path: Path, slurm: SlurmClient) -> Session:
    return Session(tmp_path, slurm)


@pytest.mark.quiet
@pytest.mark.parametrize(("cells", "arguments"), [(40, []), (20, ["-n3", "-k", "arena"])])
def test_exit_conditions_end_as_on_other_backends(session: Session, cells: int, arguments: list[str]) -> None:
    (session.path / "matrices").symlink_to(ROOT / "matrices")
    # A small machine can start this number of processes within the two seconds of the heartbeat timeout.
    process = session.start("matrices/exit_conditions.yaml", "--cluster-max-nodes=12", *arguments)
    output, _ = process.communicate(timeout=MINUTES)
    assert f"{cells} passed" in output, output
    assert {cell["verdict"] for cell in session.cells()} == {"passed"}
    assert not session.live()


MANY = """
recipes: {short: sleep 2}
nodes: [1]
conditions: {a: {}, b: {}, c: {}, d: {}, e: {}, bad: {run: exit 3, expect: {exit_code: 3}}}
"""


SHORT_TIMEOUT = """
from pytest_clusterjobs.backends.protocol import Throttled
from pytest_clusterjobs.backends.command_line import commands
from pytest_clusterjobs.backends.slurm.client import SlurmBackend

commands.COMMAND_TIMEOUT_SECONDS = 8.0
ordinary = SlurmBackend.submit

def submit(self, spec, token):
    try:
        return ordinary(self, spec, token)
    except Throttled as error:
        with open("refusals", "a") as file:
            print(error, file=file)
        raise

SlurmBackend.submit = submit
"""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"accounting": True, "extra": "AccountingStorageEnforce=associations,limits"},
            "AssocMaxSubmitJobLimit",
        ),
        ({"min_job_age": 2, "extra": "MaxJobCount=3"}, "sleeping and retrying"),
    ],
)
def test_more_cells_than_slurm_accepts_are_submitted_later(
    fresh_slurm: Callable[..., SlurmCluster],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    message: str,
) -> None:
    """Slurm limits the jobs of a user and of the cluster. Cells wait, as they do for --cluster-max-jobs."""
    slurm = fresh_slurm(**options)
    if "accounting" in options:
        slurm.run("sacctmgr", "-i", "modify", "user", getpass.getuser(), "set", "maxsubmitjobs=2")
    session = Session(tmp_path, slurm)
    (tmp_path / "conftest.py").write_text(SHORT_TIMEOUT)
    (tmp_path / "m.yaml").write_text(MANY)
    process = session.start("m.yaml")
    output, _ = process.communicate(timeout=MINUTES)
    assert process.returncode == pytest.ExitCode.OK, output
    assert message in (tmp_path / "refusals").read_text()
    assert [cell["verdict"] for cell in session.cells()] == ["passed"] * 6
    assert [len(cell["attempts"]) for cell in session.cells()] == [1] * 6


def test_nothing_is_submitted_after_the_end_of_a_session_whose_sbatch_waits(
    fresh_slurm: Callable[..., SlurmCluster], tmp_path: Path
) -> None:
    """The reaper ends the submitted jobs, so that Slurm accepts jobs again."""
    slurm = fresh_slurm(min_job_age=2, extra="MaxJobCount=2")
    session = Session(tmp_path, slurm)
    (tmp_path / "m.yaml").write_text(
        "{recipes: {a: sleep 600, b: sleep 600, c: sleep 600}, nodes: [1], conditions: {c: {}}}"
    )
    process = session.start("m.yaml")
    until(lambda: bool(session.live()))
    time.sleep(5.0)
    assert len(session.live()) < 3, "all were taken"
    process.kill()
    process.communicate()
    until(lambda: not session.live())
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        assert not session.live()
        time.sleep(0.5)
