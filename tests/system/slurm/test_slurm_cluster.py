from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import AbstractContextManager
from contextlib import contextmanager
from contextlib import ExitStack
from datetime import datetime
from datetime import UTC
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

import pytest_clusterjobs
from pytest_clusterjobs.devclusters.slurm import client
from pytest_clusterjobs.devclusters.slurm import SlurmClient
from pytest_clusterjobs.devclusters.slurm import SlurmCluster
from pytest_clusterjobs.devclusters.supervisor import ClusterError
from pytest_clusterjobs.devclusters.supervisor import CommandFailed
from pytest_clusterjobs.devclusters.supervisor import Missing
from tests.system.processes import processes
from tests.system.processes import until

pytestmark = pytest.mark.system

Fresh = Callable[..., SlurmCluster]
ENDS = ("COMPLETED", "FAILED", "OUT_OF_MEMORY", "NODE_FAIL")
STRAYS = "sleep 600 & setsid sleep 600 & (setsid sh -c 'sleep 600 & sleep 600' &); srun sleep 600"
SLEEP = "sleep\x00600"
AS_NOBODY = """
from pytest_clusterjobs.devclusters.slurm import SlurmCluster
with SlurmCluster(nodes=2, accounting=False) as cluster:
    job = cluster.submit("srun true; exit 3", "--nodes=2", "--chdir=/")
    seen = cluster.wait_for(job, "COMPLETED", "FAILED")
print(seen["ExitCode"], seen["UserId"], cluster.folder.exists())
"""
EATER = f"exec {sys.executable} -c 'bytearray(300 << 20)'"


def cgroups(*nodes: str) -> list[Path]:
    return [path for node in nodes for path in Path("/sys/fs/cgroup").glob(f"*/slurm_{node}")]


def stray_job(cluster: SlurmClient, *options: str) -> str:
    """A job whose processes detach themselves in several ways."""
    job = cluster.submit(STRAYS, *options)
    until(lambda: len(processes(cluster.folder, f"SLURM_JOB_ID={job}\0", SLEEP)) >= 5)
    return job


@pytest.mark.parametrize("nodes", [1, 4])
def test_jobs_run_and_their_exit_codes_arrive(slurm: SlurmClient, nodes: int) -> None:
    good = slurm.submit("srun true", f"--nodes={nodes}")
    bad = slurm.submit("exit 3", f"--nodes={nodes}")
    assert slurm.wait_for(good, *ENDS)["ExitCode"] == "0:0"
    seen = slurm.wait_for(bad, *ENDS)
    assert (seen["JobState"], seen["ExitCode"], seen["NumNodes"]) == ("FAILED", "3:0", str(nodes))
    until(lambda: f"{bad}|FAILED" in slurm.run("sacct", "-nXPo", "jobid,state"))


def test_a_job_that_uses_too_much_memory_is_killed(slurm: SlurmClient) -> None:
    if not slurm.memory_limits:
        pytest.skip("memory limits need root and cgroup v1")
    enough, little = slurm.submit(EATER, "--mem=600M"), slurm.submit(EATER, "--mem=64M")
    assert slurm.wait_for(enough, *ENDS)["JobState"] == "COMPLETED"
    assert slurm.wait_for(little, *ENDS)["JobState"] == "OUT_OF_MEMORY"


def test_nodes_have_simulated_gpus(slurm: SlurmClient, tmp_path: Path) -> None:
    job = slurm.submit(f"echo $CUDA_VISIBLE_DEVICES >{tmp_path}/gpus", "--gpus-per-node=3")
    assert slurm.wait_for(job, *ENDS)["JobState"] == "COMPLETED"
    assert (tmp_path / "gpus").read_text() == "0,1,2\n"


def test_the_daemons_listen_on_the_loopback_interface_only(
    slurm: SlurmClient, require: Callable[[str], str]
) -> None:
    if not slurm.layout.address:
        pytest.skip("this host's name is not 127.0.0.1")
    lines = subprocess.check_output([require("ss"), "-Hltn"], text=True).splitlines()
    addresses = dict(line.split()[3].rsplit(":", 1)[::-1] for line in lines)
    assert {addresses[str(port)] for port in slurm.layout.ports} == {slurm.layout.address}


def test_separate_nodes_have_a_name_and_an_address_each(fresh_slurm: Fresh, tmp_path: Path) -> None:
    cluster = fresh_slurm(separate=True)
    seen = "import socket; name = socket.gethostname(); print(name, socket.gethostbyname(name))"
    script = f"srun --label {sys.executable} -c '{seen}' >{tmp_path}/seen"
    job = cluster.submit(script, "--nodes=2", "--chdir=/")
    assert cluster.wait_for(job, *ENDS)["JobState"] == "COMPLETED"
    rows = [line.split() for line in sorted((tmp_path / "seen").read_text().splitlines())]
    facts = zip(("0:", "1:"), cluster.nodes, cluster.layout.addresses, strict=True)
    assert rows == [list(each) for each in facts]
    assert socket.gethostname() not in cluster.nodes


def test_a_controller_can_be_stopped_and_started(fresh_slurm: Fresh) -> None:
    cluster = fresh_slurm(time_zone="Etc/GMT-5")
    job = cluster.submit("sleep 2; exit 4")
    cluster.wait_for(job, "RUNNING")
    cluster.stop_controller()
    with pytest.raises(CommandFailed):
        cluster.run("scontrol", "ping")
    cluster.start_controller()
    assert cluster.wait_for(job, *ENDS)["ExitCode"] == "4:0"
    cluster.kill_controller()
    cluster.start_controller()
    assert cluster.wait_for(cluster.submit("true"), *ENDS)["JobState"] == "COMPLETED"
    with pytest.raises(CommandFailed, match="disabled"):
        cluster.run("sacct")
    output = re.match(r"\[(.{19})", (cluster.folder / "log" / "slurmctld.log").read_text())
    assert output is not None
    ahead = datetime.fromisoformat(f"{output[1]}+00:00") - datetime.now(UTC)
    assert round(ahead.total_seconds() / 3600) == 5


def test_a_lost_node_ends_its_jobs(fresh_slurm: Fresh) -> None:
    cluster = fresh_slurm(node_timeout=3)
    lost, other = cluster.nodes
    job = stray_job(cluster, f"--nodelist={lost}", "--no-requeue")
    frozen = stray_job(cluster, f"--nodelist={lost}", "--no-requeue")
    cluster.run("scontrol", "suspend", frozen)
    cluster.wait_for(cluster.submit("exec sleep 600", f"--nodelist={other}"), "RUNNING")
    until(lambda: len(processes(cluster.folder, f"SLURMD_NODENAME={other}", SLEEP)) == 1)
    cluster.kill_node(lost)
    assert not processes(cluster.folder, f"SLURMD_NODENAME={lost}")
    assert not cgroups(lost)
    assert len(processes(cluster.folder, f"SLURMD_NODENAME={other}", SLEEP)) == 1
    with pytest.raises(ClusterError, match="does not run"):
        cluster.kill_node(lost)
    assert {cluster.wait_for(each, *ENDS)["JobState"] for each in (job, frozen)} == {"NODE_FAIL"}
    cluster.start_node(lost)
    assert cluster.wait_for(cluster.submit("true", f"--nodelist={lost}"), *ENDS)["JobState"] == "COMPLETED"


def test_partitions_and_accounting_can_be_stopped_and_started(fresh_slurm: Fresh) -> None:
    cluster = fresh_slurm(accounting=True)
    cluster.set_partition("DOWN")
    waiting = cluster.submit("true")
    cluster.stop_accounting()
    with pytest.raises(CommandFailed):
        cluster.run("sacct")
    cluster.set_partition("UP")
    assert cluster.wait_for(waiting, *ENDS)["JobState"] == "COMPLETED"
    cluster.start_accounting()
    until(lambda: f"{waiting}|COMPLETED" in cluster.run("sacct", "-nXPo", "jobid,state"))


def test_a_shared_cluster_ends_with_its_last_user(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("s")

    def shared() -> AbstractContextManager[SlurmClient]:
        return SlurmCluster.shared(folder, nodes=1, accounting=False)

    with ExitStack() as second:
        with shared() as first:
            other = second.enter_context(shared())
            assert other.nodes == first.nodes
        assert other.wait_for(other.submit("true"), *ENDS)["JobState"] == "COMPLETED"
    assert not processes(folder)
    with shared() as third:
        assert third.nodes != first.nodes


def test_missing_programs_are_named_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(client, "SBIN", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Missing, match=r"^munged is not installed; on Debian: apt-get install .*slurm-wlm"):
        SlurmCluster(tmp_path)


def test_a_failed_start_names_the_cause_and_leaves_nothing(
    fresh_slurm: Fresh, tmp_path_factory: pytest.TempPathFactory
) -> None:
    tmp_path = tmp_path_factory.mktemp("f")
    with pytest.raises(
        ClusterError, match=r"^slurmctld ended: .*Nonsense.* \(in .*/log/slurmctld\.out\)"
    ) as caught:
        fresh_slurm(folder=tmp_path, extra="Nonsense=1")
    assert "\n" not in str(caught.value)
    assert not processes(tmp_path)
    with pytest.raises(ClusterError, match="is not empty"):
        fresh_slurm(folder=tmp_path)
    with pytest.raises(ClusterError, match="letters, digits"):
        fresh_slurm(folder=tmp_path / "a b")


def test_an_ordinary_user_can_start_a_cluster(require: Callable[[str], str]) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    require("slurmctld")
    as_nobody = [
        require("setpriv"),
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "/usr/bin/python3",
        "-B",
    ]
    if subprocess.run(
        [*as_nobody, "-c", "from typing import Self"], capture_output=True, check=False
    ).returncode:
        pytest.skip("no Python that everybody can use")
    with TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        shutil.copytree(Path(pytest_clusterjobs.__file__).parent, Path(folder, "pytest_clusterjobs"))
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": folder}
        output = subprocess.check_output(
            [*as_nobody, "-c", AS_NOBODY], env=environment, text=True, timeout=120
        )
    assert output == "3:0 nobody(65534) False\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["TERM", "KILL"])
def test_dev_slurm_leaves_nothing(require: Callable[[str], str], number: signal.Signals) -> None:
    require("slurmctld")
    with dev_slurm("--nodes=2", "--no-accounting") as (command, exported):
        folder = Path(exported.split("=", 1)[1]).parents[1]
        script = f"{exported}\nsrun -N2 true && sbatch -o /dev/null --wrap={shlex.quote(STRAYS)}"
        subprocess.run(["sh", "-ec", script], check=True, timeout=60)
        until(lambda: len(processes(folder, SLEEP)) >= 5)
        os.kill(command.pid, number)
        assert command.wait(60) == (0 if number == signal.SIGTERM else -signal.SIGKILL)
    until(lambda: not processes(folder) and not folder.exists())


@contextmanager
def dev_slurm(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The running command, and its line to export."""
    argv = [sys.executable, "-m", "pytest_clusterjobs.cli", "dev", "slurm", *arguments]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as command:
        try:
            assert command.stdout is not None
            yield command, next(line for line in command.stdout if line.startswith("export ")).strip()
        finally:
            command.kill()
