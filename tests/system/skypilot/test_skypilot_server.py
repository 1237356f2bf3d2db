from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pytest_clusterjobs.devclusters.skypilot import programs
from pytest_clusterjobs.devclusters.skypilot import SkyPilotClient
from pytest_clusterjobs.devclusters.skypilot import SkyPilotServer
from pytest_clusterjobs.devclusters.supervisor import ClusterError
from pytest_clusterjobs.devclusters.supervisor import Missing
from tests.system.processes import processes
from tests.system.processes import until

pytestmark = [pytest.mark.system, pytest.mark.skypilot]

Fresh = Callable[..., SkyPilotServer]
ENDED = ("SUCCEEDED", "FAILED", "CANCELLED", "FAILED_SETUP", "FAILED_CONTROLLER", "FAILED_PRECHECKS")
JOB_TIMEOUT_SECONDS = 900.0
REAL_HOME = (".ssh", ".slurm", ".bashrc", ".sky_ssh_rc", ".sky_clusters", ".sky_provision", "sky_logs")


def traces() -> dict[str, float | None]:
    """When each file that SkyPilot might write in the real home was changed; ``None`` if it does not
    exist."""
    home = Path("~").expanduser()
    found = {name: home / name for name in REAL_HOME}
    return {name: path.stat().st_mtime if path.exists() else None for name, path in found.items()}


def launch(server: SkyPilotClient, folder: Path, script: str, **task: Any) -> int:
    """Launch a managed job; returns its id."""
    path = folder / "task.yaml"
    resources = {"infra": server.infra, "cpus": 1, "memory": 1}
    path.write_text(json.dumps({"resources": resources, "run": script, **task}))
    before = set(jobs(server))
    server.run("jobs", "launch", "--yes", "--detach-run", str(path))
    (job,) = set(jobs(server)) - before
    return job


def jobs(server: SkyPilotClient) -> dict[int, str]:
    """The states of all managed jobs, by id."""
    queue = json.loads(server.run("jobs", "queue", "--output=json"))
    return {each["job_id"]: each["status"] for each in queue}


def wait_for(server: SkyPilotClient, job: int, *states: str) -> str:
    """Wait until a managed job is in one of these states; returns the state."""
    seen = ""

    def there() -> bool:
        nonlocal seen
        seen = jobs(server)[job]
        assert seen in states or seen not in ENDED, f"job {job} is {seen}"
        return seen in states

    until(there, pause=5)  # each call takes seconds of processor time
    return seen


def test_a_managed_job_completes(server: SkyPilotClient, tmp_path: Path) -> None:
    before = traces()
    assert server.answers()
    unseen = Path(f"/tmp/{tmp_path.name}-unseen")
    job = launch(server, tmp_path, f"touch {unseen}; echo $SKYPILOT_NODE_RANK $HOME >{tmp_path}/out")
    assert wait_for(server, job, *ENDED) == "SUCCEEDED"
    rank, home = (tmp_path / "out").read_text().split()
    assert rank == "0"
    assert Path(home).is_relative_to(server.folder)
    assert not unseen.exists()
    assert traces() == before


def test_a_server_is_shared_and_ends_with_its_last_user(
    tmp_path_factory: pytest.TempPathFactory, skypilot_options: dict[str, Any]
) -> None:
    folder = tmp_path_factory.mktemp("k")
    with ExitStack() as second:
        with SkyPilotServer.shared(folder, nodes=1, **skypilot_options) as first:
            other = second.enter_context(SkyPilotServer.shared(folder))
            assert (other.url, other.slurm.nodes) == (first.url, first.slurm.nodes)
        assert other.answers()
        assert other.slurm.is_idle()
    assert not processes(folder)


def test_a_job_outlives_its_api_server_but_not_the_cluster(fresh_server: Fresh, tmp_path: Path) -> None:
    server = fresh_server()
    job = launch(server, tmp_path, f"touch {tmp_path}/began; while [ ! -e {tmp_path}/go ]; do sleep 1; done")
    until((tmp_path / "began").exists)
    # Until then its controller has not recorded the start, and would repeat it.
    wait_for(server, job, "RUNNING")
    server.kill_api_server()
    assert not server.answers()
    assert processes(server.folder, f"{tmp_path}/go")
    with pytest.raises(ClusterError):
        server.run("jobs", "queue")
    server.start_api_server()
    (tmp_path / "go").touch()
    assert wait_for(server, job, *ENDED) == "SUCCEEDED"
    again = launch(server, tmp_path, "sleep 600")
    wait_for(server, again, "RUNNING")
    server.stop()
    assert not processes(server.folder)


def test_a_preempted_job_recovers(fresh_server: Fresh, tmp_path: Path) -> None:
    server = fresh_server()
    count = f"echo >>{tmp_path}/starts; [ $(wc -l <{tmp_path}/starts) = 2 ] || sleep 600"
    job = launch(server, tmp_path, count)
    until((tmp_path / "starts").exists, JOB_TIMEOUT_SECONDS, pause=0.5)
    server.slurm.run("scancel", "--user", server.slurm.layout.user)
    assert wait_for(server, job, *ENDED) == "SUCCEEDED"
    assert (tmp_path / "starts").read_text() == "\n\n"


def test_each_node_has_its_name_and_rank(server: SkyPilotClient, tmp_path: Path) -> None:
    job = launch(server, tmp_path, f"hostname >{tmp_path}/$SKYPILOT_NODE_RANK; sleep 3", num_nodes=2)
    assert wait_for(server, job, *ENDED) == "SUCCEEDED"
    assert [(tmp_path / rank).read_text().strip() for rank in "01"] == list(server.slurm.nodes)


def test_a_missing_program_is_reported_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(programs, "SBIN", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        Missing, match=r"^sshd is not installed; on Debian: apt-get install .* openssh-server$"
    ):
        SkyPilotServer(tmp_path)
    monkeypatch.setattr(programs, "MODULES", ("no_sky",))
    with pytest.raises(
        Missing, match=r"^skypilot\[slurm\] is not installed; pip install .*\[skypilot-local\]"
    ):
        SkyPilotServer(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["TERM", "KILL"])
def test_dev_skypilot_leaves_nothing(
    require: Callable[[str], str], skypilot_options: dict[str, Any], number: signal.Signals, tmp_path: Path
) -> None:
    require("sshd")
    before = traces()
    with dev_skypilot("--nodes=1", f"--cache={skypilot_options['cache']}") as (command, exported):
        folder = Path(exported["HOME"]).parent
        server = SkyPilotClient.at(folder)
        wait_for(server, launch(server, tmp_path, "setsid sleep 600 & sleep 600"), "RUNNING")
        until(lambda: len(processes(folder, "sleep\x00600")) >= 2, JOB_TIMEOUT_SECONDS)
        os.kill(command.pid, number)
        assert command.wait(60) == (0 if number == signal.SIGTERM else -signal.SIGKILL)
    until(lambda: not processes(folder) and not folder.exists(), 60)
    assert traces() == before


@contextmanager
def dev_skypilot(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """The running command, and the variables that it exports."""
    argv = [sys.executable, "-m", "pytest_clusterjobs.cli", "dev", "skypilot", *arguments]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as command:
        try:
            assert command.stdout is not None
            exported = {}
            for line in command.stdout:
                if line.startswith("export "):
                    name, _, value = line.removeprefix("export ").strip().partition("=")
                    exported[name] = value
                if line.startswith("# Ctrl-C"):
                    break
            yield command, exported
        finally:
            command.kill()
