"""The programs of the shipped matrices, as real processes with the environment of a job."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parents[2] / "matrices" / "programs"
PEER_LOST = 75

Rank = subprocess.Popen[str]


class Cluster:
    """Starts ranks of one job, and kills those that still run when the test is over."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ranks: list[Rank] = []
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.port: int = server.getsockname()[1]

    def start(self, program: str, rank: int, world: int, *args: str, restarts: int = 0, **env: str) -> Rank:
        job = {
            "RUN_ID": "run",
            "CELL": "cell",
            "ATTEMPT": "1",
            "RESTARTS": str(restarts),
            "NUM_NODES": str(world),
            "NODE_RANK": str(rank),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(self.port),
            "HEARTBEAT_FILE": str(self.heartbeat(rank)),
        }
        process = subprocess.Popen(
            [sys.executable, str(PROGRAMS / f"{program}.py"), "--step-time", "0.001", *args],
            env=os.environ | {f"CLUSTERJOBS_{name}": value for name, value in job.items()} | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.ranks.append(process)
        return process

    def job(self, program: str, world: int, *args: str, restarts: int = 0, **env: str) -> list[Rank]:
        return [self.start(program, rank, world, *args, restarts=restarts, **env) for rank in range(world)]

    def heartbeat(self, rank: int) -> Path:
        return self.folder / f"heartbeat{rank}"

    def close(self) -> None:
        for process in self.ranks:
            process.kill()
            process.communicate()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path)
    yield cluster
    cluster.close()


def ends(job: list[Rank]) -> list[tuple[int, str]]:
    """The exit code and the log of every rank, once all have ended."""
    logs = [process.communicate(timeout=30)[0] for process in job]
    return [(process.returncode, log) for process, log in zip(job, logs, strict=True)]


def read_until(process: Rank, text: str) -> str:
    """Read a rank's log up to the line with ``text``."""
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if text in line:
            return seen
    pytest.fail(f"{text!r} is not in the log:\n{seen}")


def losses(log: str) -> dict[int, str]:
    return {int(step): loss for step, loss in re.findall(r"^step=(\d+) loss=(\S+)", log, re.MULTILINE)}


programs = pytest.mark.parametrize("program", ["arena", "nav"])
worlds = pytest.mark.parametrize("world", [1, 2, 4])


@programs
@worlds
def test_programs_train_and_send_heartbeats(cluster: Cluster, program: str, world: int) -> None:
    job = ends(cluster.job(program, world))
    assert [code for code, _ in job] == [0] * world
    found = losses(job[0][1])
    assert list(found) == list(range(1, 31))
    assert float(found[30]) < 0.55 < float(found[1])
    assert all(cluster.heartbeat(rank).exists() for rank in range(world))
    assert all(f"rank {rank} of {world}: joined" in log for rank, (_, log) in enumerate(job))


@worlds
def test_nav_finds_the_same_distance_on_any_number_of_nodes(cluster: Cluster, world: int) -> None:
    assert "done steps=30 distance=23\n" in ends(cluster.job("nav", world))[0][1]


def test_without_an_environment_it_is_a_job_of_one_rank() -> None:
    run = subprocess.run(
        [sys.executable, str(PROGRAMS / "arena.py"), "--step-time", "0"],
        check=False,
        env={},
        capture_output=True,
        text=True,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert "done steps=30" in run.stdout


@programs
@worlds
def test_a_restart_from_the_checkpoint_gives_the_same_result(
    cluster: Cluster, program: str, world: int
) -> None:
    undisturbed = losses(ends(cluster.job(program, world))[0][1])
    args = ("--checkpoint-every", "10", "--fail-at", "15", "--exit-code", "4", "--fail-on-restart", "0")
    first = ends(cluster.job(program, world, *args, "--linger", "0"))
    assert first[-1][0] == 4

    code, log = ends(cluster.job(program, world, *args, restarts=1))[0]

    assert code == 0
    assert "resumed from step 10\n" in log
    assert losses(log) == {step: loss for step, loss in undisturbed.items() if step > 10}
    assert not list(cluster.folder.glob("checkpoint*"))


def test_a_first_start_ignores_an_old_checkpoint(cluster: Cluster) -> None:
    ends(cluster.job("arena", 1, "--checkpoint-every", "10", "--fail-at", "15"))
    assert "resumed" not in ends(cluster.job("arena", 1))[0][1]


def test_checkpoint_dir_names_the_folder_of_the_checkpoint(cluster: Cluster, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    ends(cluster.job("nav", 1, "--checkpoint-every", "10", "--fail-at", "15", CHECKPOINT_DIR=str(shared)))
    assert [path.name for path in shared.iterdir()] == ["checkpoint-run-cell-1.json"]


@programs
def test_the_failed_rank_ends_before_the_others(cluster: Cluster, program: str) -> None:
    *survivors, culprit = cluster.job(program, 4, "--fail-at", "5", "--exit-code", "3")
    assert culprit.wait(timeout=30) == 3
    assert [process.poll() for process in survivors] == [None] * 3


@programs
def test_the_other_ranks_name_the_lost_rank(cluster: Cluster, program: str) -> None:
    *survivors, (code, _) = ends(
        cluster.job(program, 4, "--fail-at", "5", "--die-with", "KILL", "--linger", "0")
    )
    assert code == -signal.SIGKILL
    assert [code for code, _ in survivors] == [PEER_LOST] * 3
    assert all(re.search(r"^rank \d: lost rank \d: ", log, re.MULTILINE) for _, log in survivors)


def test_fault_rank_selects_the_rank_that_fails(cluster: Cluster) -> None:
    job = ends(
        cluster.job("arena", 2, "--fail-at", "5", "--exit-code", "3", "--fault-rank", "0", "--linger", "0")
    )
    assert [code for code, _ in job] == [3, PEER_LOST]


@programs
def test_one_stalled_rank_stops_the_heartbeat_of_all(cluster: Cluster, program: str) -> None:
    job = cluster.job(program, 2, "--stall-after", "3")
    read_until(job[1], "rank 1: hanging, as requested")
    seen = read_until(job[0], "step=3 ")
    assert list(losses(seen)) == [1, 2, 3]
    assert [process.poll() for process in job] == [None, None]


def test_a_stalled_rank_is_lost_after_the_peer_timeout(cluster: Cluster) -> None:
    survivor, _ = cluster.job("arena", 2, "--stall-after", "3", "--peer-timeout", "0.3", "--linger", "0")
    code, log = ends([survivor])[0]
    assert (code, "rank 0: lost rank 1: timed out" in log) == (PEER_LOST, True)


@pytest.mark.parametrize(
    ("rank", "message"), [(0, "rank 1 did not connect"), (1, "no connection to rank 0 at 127.0.0.1:")]
)
def test_a_rank_that_never_connects_is_named(cluster: Cluster, rank: int, message: str) -> None:
    code, log = ends([cluster.start("arena", rank, 2, "--join-timeout", "0.2", "--linger", "0")])[0]
    assert (code, message in log) == (PEER_LOST, True)


def test_ranks_may_start_late_and_in_any_order(cluster: Cluster, tmp_path: Path) -> None:
    early = cluster.start("nav", 1, 2)
    while not cluster.heartbeat(1).exists():
        assert early.poll() is None
        time.sleep(0.01)
    assert [code for code, _ in ends([cluster.start("nav", 0, 2), early])] == [0, 0]


def test_another_program_on_the_master_port_is_not_mistaken_for_rank_0(cluster: Cluster) -> None:
    with socket.create_server(("127.0.0.1", cluster.port)) as stranger:
        worker = cluster.start("arena", 1, 2)
        connection, _ = stranger.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n")
    assert [code for code, _ in ends([cluster.start("arena", 0, 2), worker])] == [0, 0]


@pytest.mark.parametrize(
    "hello", [b"GET / HTTP/1.1\r\n", b"\xff\xfe\n", b"run-cell-1-0 one\n", b"run-cell-1-7 1\n", b""]
)
def test_connections_from_other_jobs_are_closed(cluster: Cluster, hello: bytes) -> None:
    master = cluster.start("arena", 0, 2)
    with connected(cluster.port, master.poll) as stranger:
        stranger.sendall(hello)
        worker = cluster.start("arena", 1, 2)
        assert [code for code, _ in ends([master, worker])] == [0, 0]


def connected(port: int, ended: Callable[[], int | None]) -> socket.socket:
    while ended() is None:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            time.sleep(0.01)
    pytest.fail("rank 0 ended before it listened")


def test_an_unknown_option_is_rejected(cluster: Cluster) -> None:
    code, log = ends(cluster.job("arena", 1, "--stepz", "30"))[0]
    assert (code, "unrecognized arguments: --stepz 30" in log) == (2, True)


@pytest.mark.parametrize(
    ("program", "args", "env", "message"),
    [
        ("arena", (), {"PRECISION": "fp8"}, "PRECISION must be fp64, fp32 or bf16, not 'fp8'"),
        ("nav", ("--die-with", "LIGHTNING"), {}, "no signal 'LIGHTNING'"),
        (
            "nav",
            ("--checkpoint-every", "5"),
            {"CLUSTERJOBS_HEARTBEAT_FILE": ""},
            "checkpoints need CHECKPOINT_DIR or CLUSTERJOBS_HEARTBEAT_FILE",
        ),
    ],
)
def test_invalid_input_gives_an_error_of_one_line(
    cluster: Cluster, program: str, args: tuple[str, ...], env: dict[str, str], message: str
) -> None:
    code, log = ends(cluster.job(program, 1, *args, restarts=0, **env))[0]
    assert code != 0
    assert message in log.splitlines()[-1]


def test_the_precision_changes_the_losses(cluster: Cluster) -> None:
    full, half = (losses(ends(cluster.job("arena", 2, PRECISION=name))[0][1]) for name in ("fp32", "bf16"))
    assert full != half
    assert all(abs(float(full[step]) - float(half[step])) < 0.01 for step in full)
