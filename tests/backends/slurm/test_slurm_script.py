"""The batch script: what is submitted, and how it behaves under every shell that may be a node's /bin/sh."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_clusterjobs.backends import sentinel
from pytest_clusterjobs.backends.command_line import JobFolder
from pytest_clusterjobs.backends.command_line import Submission
from pytest_clusterjobs.backends.command_line.job_folder import write_job
from pytest_clusterjobs.backends.command_line.records import FinalRecord
from pytest_clusterjobs.backends.command_line.records import read_record
from pytest_clusterjobs.backends.command_line.script import quote
from pytest_clusterjobs.backends.command_line.script import ranks_and_restarts
from pytest_clusterjobs.backends.slurm.script import submission
from pytest_clusterjobs.backends.slurm.settings import SlurmSettings
from pytest_clusterjobs.model import JobSpec
from pytest_clusterjobs.model import Resources
from pytest_clusterjobs.model import SentinelReport
from pytest_clusterjobs.model import SentinelWord
from pytest_clusterjobs.model.token import nonce
from pytest_clusterjobs.model.token import Token
from tests.mounts import small

TOKEN = str(Token.of("run", "matrices/a.yaml::cell", 1))
SHELLS = {
    "dash": ["dash"],
    "bash": ["bash", "-p"],
    "posix": ["bash", "--posix", "-p"],
    "busybox": ["busybox", "ash"],
}


def order(spec: JobSpec, folder: Path = Path("/shared/job"), **settings: Any) -> Submission:
    site = SlurmSettings.model_validate(settings)
    return submission(spec, TOKEN, settings=site, folder=JobFolder(folder), rootdir=Path("/project"))


def options(spec: JobSpec, **settings: Any) -> list[str]:
    return list(order(spec, **settings).command[1:-1])


# What is submitted.


def test_the_command_line_of_a_plain_job() -> None:
    assert order(JobSpec("true", name="a-1n-c", max_runtime=600)).command == (
        "sbatch",
        "--parsable",
        f"--job-name={TOKEN}",
        f"--comment=a-1n-c {TOKEN}",
        "--chdir=/shared/job",
        "--output=/shared/job/batch.out",
        "--open-mode=append",
        "--no-requeue",
        "--nodes=1",
        "--ntasks-per-node=1",
        "--time=12",
        "/shared/job/job.sh",
    )


def test_resources_are_requested_per_node() -> None:
    spec = JobSpec("true", nodes=4, resources=Resources(gpus=2, cpus=8, memory=(1 << 30) + 1))
    assert {"--nodes=4", "--gpus-per-node=2", "--cpus-per-task=8", "--mem=1025M"} <= set(options(spec))
    assert "--gres=gpu:2" in options(spec, gpus_as="gres")
    assert "--cpus-per-task=8" in order(spec).script, "srun does not take it from the job"


def test_slurm_s_time_limit_exceeds_the_sentinel_s() -> None:
    spec = JobSpec("true", max_runtime=3600.0, grace_period=30.0)
    assert "--time=62" in options(spec)
    assert "--time=123" in options(replace(spec, max_restarts=1))
    assert "--time=2" in options(replace(spec, max_runtime=0.5, grace_period=1.0))


def test_slurm_may_start_it_again_only_where_the_matrix_allows_it() -> None:
    assert "--no-requeue" in options(JobSpec("true"))
    assert "--requeue" in options(JobSpec("true", max_restarts=1))


def test_the_matrix_wins_over_the_site_and_resources_over_defaults() -> None:
    site = {"partition": "site", "qos": "low", "mem": "1G", "mem-per-cpu": "2G"}
    spec = JobSpec("true", options={"partition": "matrix"}, resources=Resources(memory=1 << 20))
    assert [each for each in options(spec, **site) if each.startswith(("--partition", "--qos", "--mem"))] == [
        "--mem=1M",
        "--partition=matrix",
        "--qos=low",
    ]


def test_the_containers_of_pyxis_are_srun_s() -> None:
    found = order(JobSpec("true", options={"container-image": "a b", "no-container-mount-home": True}))
    assert not any("container" in each for each in found.command)
    assert "--container-image=a b" in shlex.split(found.script)
    assert "--no-container-mount-home" in shlex.split(found.script)


def test_percent_signs_of_a_folder_are_escaped() -> None:
    found = order(JobSpec("true", nodes=2), Path("/shared/100%j"))
    assert "--output=/shared/100%%j/batch.out" in found.command
    assert "--output=/shared/100%%j/log.$clusterjobs_n.%t" in shlex.split(found.script)


def test_secrets_are_nowhere_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "hunter2")
    assert "hunter2" not in str(order(JobSpec("true", secrets=("API_KEY",))))


def test_no_line_ends_with_cr_since_sbatch_refuses_such_scripts() -> None:
    found = order(JobSpec("echo a\r\necho b", args=("x\r\n",), env={"E": "\r\n"}, setup="true\r\n"))
    assert "\r" not in found.script


def test_nothing_but_comments_comes_before_the_first_command_and_no_option_is_in_them() -> None:
    script = order(JobSpec("#SBATCH --nodes=99\ntrue", name="a")).script
    head = [line for line in script.partition("\nclusterjobs_dir=")[0].splitlines()]
    assert head[0] in ("#!/bin/bash -p", "#!/bin/sh")
    assert not any(line.startswith(("#SBATCH", "#PBS", "#BSUB")) for line in head)


@pytest.mark.parametrize(("nodes", "restarts"), [(1, 0), (7, 3)])
def test_the_number_of_ranks_and_restarts_is_read_from_a_script(
    tmp_path: Path, nodes: int, restarts: int
) -> None:
    spec = JobSpec(
        "echo 'clusterjobs_dir=x clusterjobs_max=9 clusterjobs_ranks=9'", nodes=nodes, max_restarts=restarts
    )
    path = tmp_path / "job.sh"
    path.write_text(order(spec, Path("/a b/it's")).script)
    assert ranks_and_restarts(path) == (nodes, restarts)
    assert ranks_and_restarts(tmp_path / "none") == (1, 1)


# How it behaves.


class Node:
    """A node on which the batch script runs under one shell."""

    def __init__(self, shell: list[str], folder: Path) -> None:
        self.shell = shell
        self.folder = JobFolder(folder)
        self.tmp = folder.parent / "tmp"
        self.tmp.mkdir()

    def submit(
        self, run: str, secrets: dict[str, str] | None = None, inherited: Iterable[str] = (), **fields: Any
    ) -> None:
        given = {"grace_period": 1.0, "max_runtime": 60.0, "secrets": tuple(secrets or ()), **fields}
        found = submission(
            JobSpec(run, **given),
            TOKEN,
            settings=SlurmSettings(),
            folder=self.folder,
            rootdir=self.folder.path.parent,
            inherited=inherited,
        )
        write_job(self.folder, found.script, secrets or {})

    def start(self, job_id: str = "7", before: Sequence[str] = (), **environ: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*before, *self.shell, str(self.folder.script)],
            env={
                "PATH": os.environ["PATH"],
                "SLURM_JOB_ID": job_id,
                "SLURM_JOB_NODELIST": "node1",
                "TMPDIR": str(self.tmp),
                **environ,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, job_id: str = "7", before: Sequence[str] = (), **environ: str) -> int:
        process = self.start(job_id, before, **environ)
        self.output, _ = process.communicate(timeout=60)
        return process.returncode

    def log(self, restart: int = 0) -> str:
        """What the job itself has printed."""
        return sentinel.without_marks(self.folder.log(0, restart).read_bytes().decode(), nonce(TOKEN))

    def report(self, restart: int = 0) -> SentinelReport | None:
        return sentinel.last_report(self.folder.log(0, restart).read_text(), nonce(TOKEN), 0)

    def ended(self) -> FinalRecord | None:
        return read_record(self.folder).ended


@pytest.fixture(params=SHELLS)
def node(request: pytest.FixtureRequest, tmp_path: Path, require: Callable[[str], str]) -> Node:
    program, *rest = SHELLS[request.param]
    return Node([require(program), *rest], tmp_path / "it's a job")


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("code", [0, 3, 124, 255])
def test_the_code_is_the_command_s_and_on_record(node: Node, code: int) -> None:
    node.submit(f"echo out; echo err >&2; exit {code}")
    assert node.run() == code
    ended = node.ended()
    assert ended is not None and (ended.code, ended.how) == (code, "itself")
    report = node.report()
    assert report is not None and report.exit_code == code
    assert node.log().startswith("out\nerr\n")
    record = read_record(node.folder)
    assert (record.owner, record.restarts, len(record.starts)) == ("7", 0, 1)


def test_arguments_and_values_arrive_as_they_are(node: Node) -> None:
    hostile = ["", "a b", "it's", '"', "$(echo x)", "`x`", "\\", "\r\n", "\t", "ä€😀", "*", "-n", "n=5"]
    node.submit(
        'for each in "$@" "$V"; do printf "<%s>" "$each"; done', args=tuple(hostile), env={"V": "\r'$n\n"}
    )
    assert node.run() == 0
    assert node.log() == "".join(f"<{each}>" for each in [*hostile, "\r'$n\n"]) + "\n"


NAMES = [
    "n",
    "dir",
    "max",
    "how",
    "child",
    "home",
    "away",
    "owner",
    "code",
    "was",
    "ranks",
    "rank",
    "log",
    "sh",
    "srun",
    "address",
    "first",
    "step",
    "cr",
    "some",
    "_a",
    "cja",
]


def test_the_job_s_variables_do_not_clash_with_the_script_s(node: Node) -> None:
    env = {**dict.fromkeys(("n", "home", "how", "sh", "address"), "x"), "PATH": "/usr/bin:/bin"}
    node.submit('echo "$n $home $how $CLUSTERJOBS_RESTARTS"', env=env)
    assert node.run(dir="/nowhere", n="5", home="/none", how="?") == 0
    assert node.log() == "x x x 0\n"


def test_what_the_caller_exports_reaches_the_job(node: Node) -> None:
    node.submit("; ".join(f'echo "${name}"' for name in NAMES), inherited=NAMES, max_restarts=1)
    assert node.run(**{name: f"the caller's {name}" for name in NAMES}) == 0
    assert node.log().splitlines() == [f"the caller's {name}" for name in NAMES]


def test_exported_functions_and_odd_names_reach_the_job(
    tmp_path: Path, require: Callable[[str], str]
) -> None:
    node = Node([require("bash"), "-p"], tmp_path / "job")
    node.submit("greet; env | grep '^odd-name='; env | grep ^tail=", heartbeat_timeout=30.0)
    functions = {
        f"BASH_FUNC_{name}%%": "() { exit 9; }" for name in ("say", "tail", "mkdir", "kill", "sleep")
    }
    odd = {"BASH_FUNC_greet%%": "() { echo hello; }", "odd-name": "1", "tail": "it"}
    assert node.run(**{**functions, **odd}) == 0
    assert node.log().splitlines() == ["hello", "odd-name=1", "tail=it"]


def test_nothing_in_the_environment_keeps_the_script_from_its_work(
    tmp_path: Path, require: Callable[[str], str]
) -> None:
    node = Node([require("bash"), "-p"], tmp_path / "job")
    node.submit("exit 3")
    assert node.run(SHELLOPTS="noexec:nounset:errexit", BASHOPTS="extdebug", CDPATH="/", IFS="x") == 3
    report = node.report()
    assert report is not None and report.exit_code == 3


def test_a_bash_startup_file_that_exits_is_not_a_success(
    tmp_path: Path, require: Callable[[str], str]
) -> None:
    node = Node([require("bash"), "-p"], tmp_path / "job")
    (tmp_path / "rc").write_text("exit 0\n")
    node.submit("exit 3")
    assert node.run(BASH_ENV=str(tmp_path / "rc")) == 126
    report = node.report()
    assert report is not None and report.word is SentinelWord.START_FAILED


def test_failures_restart_the_command_up_to_the_limit(node: Node) -> None:
    node.submit('echo "start $CLUSTERJOBS_RESTARTS"; exit 4', max_restarts=2)
    assert node.run() == 4
    assert [node.log(n).splitlines()[0] for n in range(3)] == ["start 0", "start 1", "start 2"]
    assert read_record(node.folder).restarts == 2


@pytest.mark.parametrize(
    ("run", "fields"),
    [
        ("true", {}),
        ("sleep 60", {"max_runtime": 0.5}),
        ("sleep 60", {"heartbeat_timeout": 0.5}),
        ("true", {"setup": "exit 5"}),
        ("true", {"workdir": "/no/such/folder"}),
    ],
)
def test_limits_and_success_do_not_restart_the_command(node: Node, run: str, fields: dict[str, Any]) -> None:
    node.submit(run, max_restarts=3, **fields)
    node.run()
    assert read_record(node.folder).restarts == 0


def test_a_killed_sentinel_is_restarted(node: Node) -> None:
    kill = "read -r _ _ _ sentinel _ </proc/$PPID/stat; kill -9 $sentinel"
    node.submit(f'[ "$CLUSTERJOBS_RESTARTS" = 1 ] || {{ {kill}; }}', max_restarts=1)
    assert node.run() == 0
    assert read_record(node.folder).restarts == 1


def test_a_command_that_never_began_is_not_restarted(node: Node) -> None:
    kill = "read -r _ _ _ sentinel _ </proc/$PPID/stat; kill -9 $sentinel; exit 1"
    node.submit("true", setup=kill, max_restarts=1)
    assert node.run() != 0
    assert read_record(node.folder).restarts == 0


# Signals.

PROGRAM = """
import os, signal, sys, time
for name in sys.argv[1].split():
    signal.signal(getattr(signal, name), lambda number, frame: print("got", signal.Signals(number).name, flush=True))
print("ready", flush=True)
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    time.sleep(0.05)
sys.exit(4)
"""
PASSED_ON = ("SIGUSR1", "SIGUSR2", "SIGHUP", "SIGINT")


def program(seconds: float) -> str:
    return shlex.join([sys.executable, "-c", PROGRAM, " ".join(PASSED_ON), str(seconds)])


def is_ready(node: Node) -> bool:
    return node.folder.log(0, 0).exists() and "ready" in node.log()


@pytest.mark.parametrize("restarts", [0, 1])
def test_signals_for_the_command_reach_it_and_end_nothing_else(node: Node, restarts: int) -> None:
    node.submit(program(1.5), max_restarts=restarts)
    process = node.start()
    until(lambda: is_ready(node))
    for name in PASSED_ON:
        process.send_signal(getattr(signal, name))
        until(lambda name=name: f"got {name}\n" in node.log())  # type: ignore[misc]
    process.communicate(timeout=30)
    ended, record = node.ended(), read_record(node.folder)
    assert ended is not None and (process.returncode, ended.code, ended.how) == (4, 4, "itself")
    assert record.restarts == restarts, "a failure is one, whatever signals there were"


def test_the_exit_code_survives_every_signal(node: Node) -> None:
    node.submit("trap '' USR1; echo ready; sleep 0.7; exit 3")
    process = node.start()
    until(lambda: is_ready(node))
    deadline = time.monotonic() + 30
    while process.poll() is None:
        assert time.monotonic() < deadline
        process.send_signal(signal.SIGUSR1)
        time.sleep(0.05)
    process.communicate()
    ended = node.ended()
    assert ended is not None and (process.returncode, ended.code, ended.how) == (3, 3, "itself")


@pytest.mark.parametrize("name", ["SIGUSR1", "SIGTERM"])
def test_a_signal_at_the_very_start_ends_nothing(node: Node, name: str) -> None:
    node.submit("sleep 0.5; exit 4")
    process = node.start()
    until(node.folder.owner.exists)
    process.send_signal(getattr(signal, name))
    process.communicate(timeout=30)
    report, ended = node.report(), node.ended()
    assert report is not None and ended is not None
    assert report.word in (SentinelWord.STOPPED, SentinelWord.EXITED)
    assert ended.code == (143 if report.exit_code is None else 4)
    assert ended.how == ("stopped" if name == "SIGTERM" else "itself")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGQUIT", "SIGALRM", "SIGXCPU"])
def test_signals_that_end_things_stop_the_job(node: Node, name: str) -> None:
    node.submit(program(60))
    process = node.start()
    until(lambda: is_ready(node))
    process.send_signal(getattr(signal, name))
    process.communicate(timeout=30)
    report, ended = node.report(), node.ended()
    assert ended is not None and (ended.code, ended.how) == (143, "stopped")
    assert report is not None and report.word is SentinelWord.STOPPED


# Where nothing can be written.


FULL = ("sh", "-c", "trap '' XFSZ; ulimit -f 0; exec \"$@\"", "sh")
"""Has every write to a file fail, as on a disk that is full."""


def test_a_start_that_cannot_be_recorded_does_not_begin(node: Node) -> None:
    node.submit('touch "$CLUSTERJOBS_HOSTFILE.reached"; exit 3')
    assert node.run(before=FULL) == 126
    assert "cannot write to" in node.output
    assert not list(node.folder.path.glob("*.reached"))
    assert node.ended() is None


def test_a_disk_that_fills_up_before_a_start(node: Node) -> None:
    node.submit("true")
    node.folder.owner.write_text("7\n")
    assert node.run(before=FULL) == 126
    assert not node.folder.log(0, 0).exists() or node.folder.log(0, 0).read_text() == ""


def test_limits_hold_where_the_temporary_folder_is_full(node: Node) -> None:
    run = 'echo "$CLUSTERJOBS_HEARTBEAT_FILE"; touch "$CLUSTERJOBS_HEARTBEAT_FILE"; sleep 60'
    node.submit(run, heartbeat_timeout=1.0)
    with small(node.tmp, 16):
        (node.tmp / "full").write_bytes(b"x" * 8192)
        inodes = iter(range(100_000))
        try:
            while True:
                (node.tmp / str(next(inodes))).write_bytes(b"x" * 512)
        except OSError:
            pass
        assert node.run() == 124
    report = node.report()
    assert report is not None and report.word is SentinelWord.HEARTBEAT_TIMEOUT
    assert report.heartbeats >= 1


def test_a_stopped_job_does_not_restart(node: Node) -> None:
    node.submit("sleep 60", max_restarts=3)
    process = node.start()
    until(lambda: node.folder.log(0, 0).exists())
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    ended = node.ended()
    assert ended is not None and (ended.code, ended.how) == (143, "stopped")
    assert not read_record(node.folder).has_ended, "it may have been stopped to be requeued"
    assert read_record(node.folder).restarts == 0


def test_a_requeued_job_continues_its_count_of_starts(node: Node) -> None:
    node.submit('echo "start $CLUSTERJOBS_RESTARTS"; sleep 60', max_restarts=1)
    process = node.start()
    until(lambda: node.folder.log(0, 0).exists())
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    node.submit('echo "start $CLUSTERJOBS_RESTARTS"', max_restarts=1)
    assert node.run() == 0
    assert node.log(1).startswith("start 1\n")
    assert read_record(node.folder).restarts == 1


def test_a_start_beyond_max_restarts_does_not_run_the_command(node: Node) -> None:
    node.submit("echo reached")
    node.folder.start(0).write_text("7\n")
    assert node.run() == 125
    ended = node.ended()
    assert ended is not None and ended.how == "over"
    assert not node.folder.log(0, 1).exists()


def test_an_ended_job_does_not_begin_again(node: Node) -> None:
    node.submit("exit 3", max_restarts=0)
    assert node.run() == 3
    before = node.ended()
    assert node.run() == 0
    assert node.ended() == before and read_record(node.folder).restarts == 0


def test_a_token_that_was_submitted_twice_runs_once(node: Node) -> None:
    node.submit("echo reached")
    assert node.run("7") == 0
    assert node.run("8") == 125
    assert "job 7 has this token already" in node.output
    assert read_record(node.folder).owner == "7"


@pytest.mark.parametrize("restarts", [0, 1])
def test_secrets_arrive_and_do_not_stay(node: Node, restarts: int) -> None:
    value = "it's $(echo x)\r\n ä"
    node.submit(
        "printf '<%s>' \"$KEY\"; [ ! -e secrets ] || echo still there; exit 1",
        secrets={"KEY": value},
        max_restarts=restarts,
        workdir=str(node.folder.path),
    )
    assert node.folder.secrets.stat().st_mode & 0o777 == 0o600
    assert node.run() == 1
    text = node.log()
    assert f"<{value}>" in text
    assert ("still there" in text) == (restarts > 0), "Slurm may requeue it, and the file is needed again"
    assert not node.folder.secrets.exists()


def test_the_heartbeat_is_on_the_node_and_leaves_nothing(node: Node) -> None:
    run = 'touch "$CLUSTERJOBS_HEARTBEAT_FILE"; ls -d "${CLUSTERJOBS_HEARTBEAT_FILE%/*}"'
    node.submit(run, heartbeat_timeout=5.0)
    assert node.run() == 0
    assert node.log().startswith(f"{node.tmp}/clusterjobs.{nonce(TOKEN)}\n")
    assert list(node.tmp.iterdir()) == []


def test_the_variables_of_the_submitting_session_are_not_the_job_s(node: Node) -> None:
    node.submit('echo "<${SLURM_JWT-none}>"')
    assert node.run(SLURM_JWT="hunter2") == 0
    assert node.log().startswith("<none>")


def test_quoting() -> None:
    for text in ("", "a", "a b", "it's", "\r", "a\rb'c\r\n", "$clusterjobs_cr"):
        done = subprocess.run(
            ["sh", "-c", f"clusterjobs_cr=$(printf '\\r'); printf '%s' {quote(text)}"],
            capture_output=True,
            check=True,
        )
        assert done.stdout.decode() == text
