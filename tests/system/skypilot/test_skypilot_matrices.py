"""The shipped matrix of exit conditions on a real SkyPilot, and sessions that are killed and resumed."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_clusterjobs.devclusters.skypilot import SkyPilotClient
from pytest_clusterjobs.devclusters.skypilot import SkyPilotServer
from tests.system.processes import start_pytest
from tests.system.processes import until

pytestmark = [pytest.mark.system, pytest.mark.skypilot]

ROOT = Path(__file__).parents[3]
SITE = """
[tool.clusterjobs.backends.sky]
type = "skypilot"
{settings}
[tool.clusterjobs.backends.sky.task]
workdir = "."
resources = {{infra = "{infra}", cpus = "1"}}
"""
CLUSTER = """
mode = "cluster"
cluster = {name = "matrices", nodes = 2, resources = {cpus = "12"}, idle_minutes = 1}
"""
RESTARTS = "  # It fails once, the cluster starts it again"
"""The first line of the condition that jobs of one cluster do not support."""
MINUTES = 60.0
ROOM = {"max_runtime: 3s": "max_runtime: 20s", 'run_time: "3s..30s"': 'run_time: "20s..60s"'}
"""On a small machine SkyPilot starts a job's ranks ten seconds apart. With a run time of three seconds the
job would end before the ranks have connected, without a first step in the log."""


class Session:
    """A project whose cells run on a SkyPilot, with pytest as a real process."""

    def __init__(self, path: Path, server: SkyPilotClient, settings: str = "") -> None:
        self.path = path
        self.server = server
        (path / "pytest.ini").write_text("[pytest]\n")
        (path / "pyproject.toml").write_text(SITE.format(infra=server.infra, settings=settings))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return start_pytest(self.path, self.server.environment, "--cluster-backend=sky", *arguments)

    def cells(self) -> dict[str, dict[str, Any]]:
        """The cells of the latest run's report."""
        latest = max(self.path.glob(".clusterjobs/runs/*/report.json"), key=lambda path: path.stat().st_mtime)
        return {cell["registration"]["cell"]["id"]: cell for cell in json.loads(latest.read_text())["cells"]}

    def until_running(self, server: SkyPilotServer, seconds: float = 600.0) -> None:
        """Wait until SkyPilot reports a running job."""
        until(lambda: '"RUNNING"' in server.run("jobs", "queue", "--output=json"), seconds, 2.0)


def shipped(path: Path) -> Path:
    """The matrix of exit conditions, with its programs."""
    shutil.copytree(ROOT / "matrices", path / "matrices")
    matrix = path / "matrices" / "exit_conditions.yaml"
    text = matrix.read_text()
    for tight, longer in ROOM.items():
        assert tight in text
        text = text.replace(tight, longer)
    matrix.write_text(text)
    return matrix


def test_exit_conditions_end_as_on_other_backends(server: SkyPilotClient, tmp_path: Path) -> None:
    session = Session(tmp_path, server)
    matrix = shipped(tmp_path)
    process = session.start(str(matrix), "-k", "arena and not 4n", "--cluster-max-jobs=3", "-rA")
    said, _ = process.communicate(timeout=30 * MINUTES)
    assert "13 passed" in said, said
    assert {cell["verdict"] for cell in session.cells().values()} == {"passed"}
    assert server.slurm.run("squeue", "--noheader") == ""


def test_exit_conditions_end_alike_on_one_cluster(server: SkyPilotClient, tmp_path: Path) -> None:
    session = Session(tmp_path, server, CLUSTER)
    matrix = shipped(tmp_path)
    before, found, _ = matrix.read_text().partition(RESTARTS)
    assert found
    matrix.write_text(
        before.replace("nodes: [1, 2, 4]", "nodes: [1, 2]").replace("{nodes: [2, 4]}", "{nodes: [2]}")
    )
    process = session.start(str(matrix), "-k", "arena", "-rA")
    said, _ = process.communicate(timeout=30 * MINUTES)
    assert "11 passed" in said, said
    assert {cell["verdict"] for cell in session.cells().values()} == {"passed"}


REFUSALS = """
from pytest_clusterjobs.backends.protocol import Throttled
from pytest_clusterjobs.backends.skypilot.client import SkyPilotBackend

ordinary = SkyPilotBackend.submit

def submit(self, spec, token):
    try:
        return ordinary(self, spec, token)
    except Throttled as error:
        with open("refusals", "a") as file:
            print(error, file=file)
        raise

SkyPilotBackend.submit = submit
"""


def test_cells_wait_for_a_cluster_that_another_session_starts(server: SkyPilotClient, tmp_path: Path) -> None:
    settings = CLUSTER.replace('"matrices"', '"others"')
    session = Session(tmp_path, server, settings)
    (tmp_path / "conftest.py").write_text(REFUSALS)
    (tmp_path / "m.yaml").write_text(
        """
recipes: {good: "true", bad: {run: exit 3, expect: {exit_code: 3}}}
nodes: [1, 2]
conditions: {c: {}}
"""
    )
    place = ["--infra", server.infra, "--cpus", "12", "--num-nodes", "2"]
    server.run("launch", "--yes", "--async", "--cluster", "others", *place, "true")
    process = session.start("m.yaml")
    said, _ = process.communicate(timeout=10 * MINUTES)
    server.run("down", "--yes", "others", timeout=120.0)
    assert "4 passed" in said, said
    assert "cluster others is not up yet" in (tmp_path / "refusals").read_text()


def test_a_server_that_restarts_ends_no_job(
    fresh_server: Callable[..., SkyPilotServer], tmp_path: Path
) -> None:
    """The server is killed while jobs run. They end and are judged."""
    server = fresh_server()
    session = Session(tmp_path, server)
    (tmp_path / "matrices").mkdir()
    wait = f"until [ -e {tmp_path}/go ]; do sleep 1; done"
    (tmp_path / "matrices" / "m.yaml").write_text(
        f"""
defaults: {{max_runtime: 20m, grace_period: 1s}}
recipes: {{good: "{wait}", bad: {{run: "{wait}; exit 3", expect: {{exit_code: 3}}}}}}
nodes: [1]
conditions: {{c: {{}}}}
"""
    )
    process = session.start("matrices")
    session.until_running(server)
    server.kill_api_server()
    time.sleep(5.0)
    server.start_api_server()
    (tmp_path / "go").touch()
    said, _ = process.communicate(timeout=20 * MINUTES)
    assert "2 passed" in said, said


def test_a_session_that_is_killed_is_resumed(server: SkyPilotClient, tmp_path: Path) -> None:
    """The session is killed before its launches have jobs. Each cell runs once."""
    session = Session(tmp_path, server)
    (tmp_path / "matrices").mkdir()
    (tmp_path / "matrices" / "m.yaml").write_text(
        f"""
defaults: {{setup: "echo $CLUSTERJOBS_CELL >>{tmp_path}/starts"}}
recipes: {{a: "true", b: exit 3}}
nodes: [1]
conditions: {{c: {{expect: {{reason: any}}}}}}
"""
    )
    process = session.start("matrices", "--cluster-on-crash=keep")
    deadline = time.monotonic() + 10 * MINUTES
    while not _has_launches(tmp_path, 2):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    process.kill()
    process.communicate()
    said, _ = session.start("matrices", "--cluster-resume").communicate(timeout=20 * MINUTES)
    assert "2 passed" in said, said
    assert sorted((tmp_path / "starts").read_text().split()) == ["a-1n-c", "b-1n-c"]


def _has_launches(path: Path, count: int) -> bool:
    """Whether the ledger, or its log, has this number of launch requests."""
    text = b"".join(each.read_bytes() for each in path.glob(".clusterjobs/runs/*/ledger*"))
    return text.count(b'"request"') >= count
