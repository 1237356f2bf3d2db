"""The sentinel's script under each installed shell, and its marks as the package reads them."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextlib import suppress
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_clusterjobs.backends import sentinel
from pytest_clusterjobs.model import JobSpec
from pytest_clusterjobs.model import SentinelReport
from pytest_clusterjobs.model import SentinelWord
from pytest_clusterjobs.model.token import nonce
from pytest_clusterjobs.model.token import Token

pytestmark = pytest.mark.quiet

TOKEN = str(Token.of("run", "matrices/a.yaml::cell", 1))
CLOCK_TICK_SECONDS = 0.01  # of /proc/uptime, by which the sentinel measures
SHELLS = {"dash": ["dash"], "bash": ["bash"], "busybox": ["busybox", "ash"]}


@dataclass(frozen=True)
class End:
    status: int
    output: bytes
    seconds: float

    @property
    def text(self) -> str:
        """The job's own output."""
        return sentinel.without_marks(self.raw, nonce(TOKEN))

    @property
    def raw(self) -> str:
        return self.output.decode(errors="replace")

    @property
    def report(self) -> SentinelReport:
        """The report, without its duration."""
        report = sentinel.last_report(self.raw, nonce(TOKEN))
        assert report is not None, self.raw
        assert report.seconds is not None and abs(report.seconds - self.seconds) < 2
        return replace(report, seconds=None)

    @property
    def word(self) -> SentinelWord:
        return self.report.word


class Node:
    """A node on which sentinels run under one shell."""

    def __init__(self, shell: list[str], folder: Path) -> None:
        self.shell = shell
        self.folder = folder
        self.env = {
            "PATH": os.environ["PATH"],
            "CLUSTERJOBS_TOKEN": f"{TOKEN}-{os.getpid()}",
            "CLUSTERJOBS_HEARTBEAT_FILE": str(folder / "beat"),
        }

    @contextmanager
    def start(self, run: str, **fields: Any) -> Iterator[subprocess.Popen[bytes]]:
        given = {name: fields.pop(name) for name in ("workdir", "prelude", "leader") if name in fields}
        env = {**self.env, **fields.pop("environ", {})}
        stdout = fields.pop("stdout", subprocess.PIPE)
        spec = JobSpec(run, **{"grace_period": 1.0, "max_runtime": 60.0, **fields})
        command = [*self.shell, *sentinel.argv(spec, TOKEN, **given)[1:]]
        with subprocess.Popen(
            command,
            stdout=stdout,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=self.folder,
            start_new_session=True,
        ) as process:
            yield process

    def run(self, run: str, **fields: Any) -> End:
        begun = time.monotonic()
        with self.start(run, **fields) as process:
            output, _ = process.communicate(timeout=30)
        return End(process.returncode, output, time.monotonic() - begun)

    def left(self) -> list[int]:
        """Processes of this node that still run."""
        mark = f"CLUSTERJOBS_TOKEN={self.env['CLUSTERJOBS_TOKEN']}".encode()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if mark in folder.joinpath("environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
        return found


@pytest.fixture(params=SHELLS)
def node(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Node]:
    shell = SHELLS[request.param]
    if shutil.which(shell[0]) is None:
        pytest.skip(f"{shell[0]} is not installed")
    node = Node(shell, tmp_path)
    yield node
    gone(node, 1.0)
    left = node.left()
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert not left


def gone(node: Node, seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while node.left() and time.monotonic() < deadline:
        time.sleep(0.02)
    return not node.left()


# How the command ended.


@pytest.mark.parametrize("code", [0, 1, 3, 124, 125, 143, 255])
def test_the_exit_code_is_reported_and_returned(node: Node, code: int) -> None:
    end = node.run(f"exit {code}")
    assert end.status == code
    assert end.report == SentinelReport(SentinelWord.EXITED, 0, code)


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGUSR1, signal.SIGINT]
)
def test_the_exit_code_of_a_signal_is_128_plus_its_number(node: Node, number: signal.Signals) -> None:
    end = node.run(f"sh -c 'kill -{int(number)} $$'")
    assert (end.status, end.report.exit_code) == (128 + number, 128 + number)
    assert end.word is SentinelWord.EXITED


def test_a_setsid_command_can_be_given(node: Node) -> None:
    end = node.run("sh -c 'kill -INT $$'", leader=sentinel.setsid_command())
    assert end.report.exit_code == 128 + signal.SIGINT
    assert node.run("sleep 30 & exit 3", leader=sentinel.setsid_command()).status == 3


def test_arguments_are_passed_to_the_script(node: Node) -> None:
    end = node.run('printf "<%s>" "$@"; exit $#', args=("a b", "", "$HOME", "-e", "é\n'\""))
    assert end.text.startswith("<a b><><$HOME><-e><é\n'\">")
    assert end.status == 5


def test_bash_fails_if_a_part_of_a_pipe_fails(node: Node) -> None:
    assert node.run("false | true; echo on").status == 1
    assert node.run("false | true; exit 4", shell="sh").status == 4
    assert node.run("false; exit 4", shell="sh").status == 1


def test_an_unset_variable_is_empty(node: Node) -> None:
    assert node.run('exit "${#NO_SUCH_VARIABLE}"').status == 0


def test_rank_and_restarts_come_from_the_environment_or_a_prelude(node: Node) -> None:
    end = node.run("true", environ={"CLUSTERJOBS_NODE_RANK": "3", "CLUSTERJOBS_RESTARTS": "2"})
    assert (end.report.node, end.report.restarts) == (3, 2)
    end = node.run("exit $CLUSTERJOBS_NODE_RANK", prelude="export CLUSTERJOBS_NODE_RANK=$((3+4))")
    assert (end.report.node, end.status) == (7, 7)


def test_variables_of_a_job_may_have_any_name(node: Node) -> None:
    source = Path(sentinel.__file__).with_name("sentinel.sh").read_text()
    names = sorted(set(re.findall(r"\bcj_([a-z]+)", source)))
    assert len(names) > 20
    print_all = "; ".join(f'echo "{name}=${name}"' for name in names)
    environ = dict.fromkeys(names, "its own")
    end = node.run(f"{print_all}; exit 3", environ=environ, setup="true", heartbeat_timeout=20.0)
    assert end.text.splitlines()[: len(names)] == [f"{name}=its own" for name in names]
    assert (end.word, end.report.exit_code) == (SentinelWord.EXITED, 3)


def test_standard_input_is_empty(node: Node) -> None:
    assert node.run("read -r line && exit 9; exit 0").status == 0


def test_messages_of_the_shell_are_not_in_the_log(node: Node) -> None:
    end = node.run("kill -9 $$")
    assert end.text.strip() == ""


# The output of the command.


def test_megabytes_of_output_are_kept(node: Node) -> None:
    end = node.run("head -c 5000000 /dev/zero | tr '\\0' x")
    assert end.report.exit_code == 0
    assert len(end.output) > 5_000_000


def test_a_report_starts_a_new_line(node: Node) -> None:
    end = node.run("printf 'no newline'")
    assert end.text == "no newline\n"
    assert end.raw.splitlines()[-1].startswith("[clusterjobs ")


def test_binary_output_is_kept(node: Node) -> None:
    end = node.run("head -c 100000 /dev/urandom; exit 6")
    assert end.report.exit_code == 6


@pytest.mark.parametrize("mark", ["", "000000000000"])
def test_an_imitated_report_is_ignored(node: Node, mark: str) -> None:
    line = f"[clusterjobs {mark} exited exit_code=0 node=0 restarts=0 heartbeats=9]"
    end = node.run(f"echo '{line}'; exit 2")
    assert end.report == SentinelReport(SentinelWord.EXITED, 0, 2)


def test_a_log_has_exactly_two_marks(node: Node) -> None:
    assert node.run("exit 2").raw.count("[clusterjobs ") == 2


def test_a_command_may_close_its_output(node: Node) -> None:
    assert node.run("exec >&- 2>&-; exit 5").report.exit_code == 5


# Before the command.


def test_setup_runs_first_in_the_same_environment(node: Node) -> None:
    end = node.run("cat made", setup="echo $GIVEN >made", environ={"GIVEN": "by env"})
    assert end.text.startswith("by env\n")


def test_a_failed_setup_is_a_failed_start(node: Node) -> None:
    end = node.run("echo never", setup="false | true")
    assert (end.word, end.report.exit_code, end.status) == (SentinelWord.START_FAILED, 1, 1)
    assert "never" not in end.text


def test_a_missing_shell_is_a_failed_start(node: Node, tmp_path: Path) -> None:
    end = Node([shutil.which(node.shell[0]) or "", *node.shell[1:]], tmp_path).run(
        "true", environ={"PATH": "/nowhere"}
    )
    assert (end.word, end.status) == (SentinelWord.START_FAILED, 127)
    assert end.report.note == "no bash"


def test_a_missing_workdir_is_a_failed_start(node: Node, tmp_path: Path) -> None:
    assert node.run("true", workdir=str(tmp_path / "none")).word is SentinelWord.START_FAILED
    tmp_path.joinpath("a b").mkdir()
    assert node.run("pwd", workdir=str(tmp_path / "a b")).text.startswith(f"{tmp_path}/a b\n")


# Limits.


def test_a_command_is_stopped_at_max_runtime(node: Node) -> None:
    end = node.run("exec sleep 30", max_runtime=0.5)
    assert (end.word, end.report.exit_code, end.status) == (SentinelWord.MAX_RUNTIME_REACHED, None, 124)
    assert 0.5 - CLOCK_TICK_SECONDS <= end.seconds < 1.5


def test_setup_counts_as_run_time(node: Node) -> None:
    end = node.run("exec sleep 30", setup="sleep 0.4", max_runtime=0.6)
    assert end.word is SentinelWord.MAX_RUNTIME_REACHED
    assert end.seconds < 1.5
    end = node.run("echo never", setup="sleep 30", max_runtime=0.3)
    assert end.word is SentinelWord.MAX_RUNTIME_REACHED
    assert "never" not in end.text


def test_a_command_without_heartbeats_is_stopped(node: Node) -> None:
    end = node.run("exec sleep 30", heartbeat_timeout=0.5)
    assert (end.word, end.report.heartbeats, end.status) == (SentinelWord.HEARTBEAT_TIMEOUT, 0, 124)
    assert 0.5 - CLOCK_TICK_SECONDS <= end.seconds < 1.5


def test_heartbeats_keep_a_command_alive_and_are_counted(node: Node) -> None:
    beats = 'for i in 1 2 3 4 5 6; do : >"$CLUSTERJOBS_HEARTBEAT_FILE"; sleep 0.3; done'
    end = node.run(beats, heartbeat_timeout=0.8)
    assert end.word is SentinelWord.EXITED
    assert 3 <= end.report.heartbeats <= 25


def test_a_changed_file_time_is_a_heartbeat(node: Node) -> None:
    beats = (
        "import os, time\nfile = os.environ['CLUSTERJOBS_HEARTBEAT_FILE']\nopen(file, 'w').close()\n"
        "for _ in range(8): os.utime(file); time.sleep(0.25)"
    )
    end = node.run('python3 -c "$1"', args=(beats,), heartbeat_timeout=1.0)
    assert end.word is SentinelWord.EXITED, end.text


def test_a_heartbeat_right_before_the_end_counts(node: Node) -> None:
    end = node.run('sleep 0.3; : >"$CLUSTERJOBS_HEARTBEAT_FILE"', heartbeat_timeout=4.0)
    assert end.report.heartbeats == 1


def test_a_heartbeat_of_an_earlier_start_does_not_count(node: Node, tmp_path: Path) -> None:
    tmp_path.joinpath("beat").touch()
    assert node.run("exec sleep 30", heartbeat_timeout=0.5).report.heartbeats == 0


def test_only_rank_0_needs_heartbeats(node: Node) -> None:
    end = node.run("sleep 0.8", heartbeat_timeout=0.3, environ={"CLUSTERJOBS_NODE_RANK": "1"})
    assert end.word is SentinelWord.EXITED


def test_setup_needs_no_heartbeats(node: Node) -> None:
    assert node.run("true", setup="sleep 0.8", heartbeat_timeout=0.3).word is SentinelWord.EXITED


def test_a_heartbeat_file_has_a_default_path(node: Node, tmp_path: Path) -> None:
    given = {"CLUSTERJOBS_HEARTBEAT_FILE": "", "TMPDIR": str(tmp_path)}
    end = node.run('touch "$CLUSTERJOBS_HEARTBEAT_FILE"; sleep 0.3', heartbeat_timeout=5.0, environ=given)
    assert end.report.heartbeats == 1
    assert list(tmp_path.iterdir()) == []


def test_a_command_that_ignores_term_is_killed_after_its_grace_period(node: Node) -> None:
    end = node.run("trap '' TERM; exec sleep 30", max_runtime=0.3, grace_period=0.5)
    assert end.word is SentinelWord.MAX_RUNTIME_REACHED
    assert 0.8 - 2 * CLOCK_TICK_SECONDS <= end.seconds < 2.5


def test_a_command_may_clean_up_after_term(node: Node) -> None:
    end = node.run("trap 'echo clean; exit 0' TERM; sleep 30 & wait", max_runtime=0.3, grace_period=5)
    assert "clean\n" in end.text
    assert (end.word, end.status) == (SentinelWord.MAX_RUNTIME_REACHED, 124)
    assert end.seconds < 7


def test_an_end_and_a_limit_at_once_give_one_report(node: Node) -> None:
    for _ in range(8):
        end = node.run("sleep 0.3; exit 3", max_runtime=0.3 + random.uniform(-0.01, 0.02))
        assert end.raw.count("[clusterjobs ") == 2
        assert (end.word, end.status) in {(SentinelWord.EXITED, 3), (SentinelWord.MAX_RUNTIME_REACHED, 124)}


def test_sleep_without_fractions_is_rounded_up(node: Node, tmp_path: Path) -> None:
    if node.shell[0] == "busybox":
        pytest.skip("its sleep is built in")
    strict = tmp_path / "sleep"
    strict.write_text(f"#!/bin/sh\ncase $1 in *.*) exit 1;; esac\nexec {shutil.which('sleep')} $1\n")
    strict.chmod(0o755)
    end = node.run("exec sleep 30", max_runtime=1.5, environ={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert end.word is SentinelWord.MAX_RUNTIME_REACHED
    assert 2 - CLOCK_TICK_SECONDS <= end.seconds < 4.5


# Stopped from outside.


def stop_at(process: subprocess.Popen[bytes], text: bytes) -> None:
    assert process.stdout is not None
    while text not in process.stdout.readline():
        pass
    process.terminate()


@pytest.mark.parametrize("where", ["run", "setup"])
def test_term_is_never_a_failure_of_the_product(node: Node, where: str) -> None:
    fields = {"setup": "echo here; sleep 30"} if where == "setup" else {}
    with node.start("echo here; sleep 30", **fields) as process:
        stop_at(process, b"here")
        output, _ = process.communicate(timeout=10)
    assert process.returncode == 143
    report = sentinel.last_report(output.decode(), nonce(TOKEN))
    assert report is not None
    assert (report.word, report.exit_code, report.begun) == (SentinelWord.STOPPED, None, where == "run")


def test_term_at_any_moment_and_twice_stops_the_job(node: Node) -> None:
    chance = random.Random(0)
    for _ in range(25):
        with node.start("sleep 30") as process:
            time.sleep(chance.uniform(0, 0.012))
            process.terminate()
            time.sleep(chance.uniform(0, 0.004))
            os.killpg(process.pid, signal.SIGTERM)
            output, _ = process.communicate(timeout=10)
        report = sentinel.last_report(output.decode(), nonce(TOKEN))
        assert report is None or report.word is SentinelWord.STOPPED
        assert process.returncode in (143, -signal.SIGTERM)
        assert report is not None or process.returncode < 0
        if report is None:
            # It had not set its traps yet. The test kills the remaining processes, as a cluster does.
            for pid in node.left():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def test_background_processes_end_with_the_command(node: Node) -> None:
    end = node.run("sleep 30 & exit 4")
    assert (end.status, end.report.exit_code) == (4, 4)
    assert gone(node)


def test_a_killed_sentinel_reports_no_exit_code(node: Node) -> None:
    with node.start("kill -9 $PPID; sleep 0.2") as process:
        output, _ = process.communicate(timeout=30)
    report = sentinel.last_report(output.decode(), nonce(TOKEN))
    if node.shell[0] == "bash":
        # There the parent of the command's shell is a wrapper, and not the sentinel.
        assert report is not None and report.word is SentinelWord.STOPPED
    else:
        assert (process.returncode, report) == (-signal.SIGKILL, None)
    for pid in node.left():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert gone(node)


def test_no_process_is_left_after_any_end(node: Node) -> None:
    node.run("true", heartbeat_timeout=5)
    node.run("exec sleep 30", heartbeat_timeout=0.3)
    node.run("sleep 30 & sleep 30", max_runtime=0.3)
    assert gone(node)


# Whether the command began.


def test_setup_reaches_the_command(node: Node, tmp_path: Path) -> None:
    tmp_path.joinpath("sub").mkdir()
    setup = "export EXPORTED=1; plain=2; cd sub; greet() { echo hello; }"
    end = node.run('greet; echo "$EXPORTED$plain ${PWD##*/}" "$@"', setup=setup, args=("a b", "it's"))
    assert end.text == "hello\n12 sub a b it's\n"


def test_setup_has_no_arguments_and_does_not_change_those_of_the_command(node: Node) -> None:
    end = node.run('exit $#"${2}"', setup="[ $# = 0 ]; set -- x; set +e", args=("1", "2"))
    assert end.status == 22


def test_setup_cannot_disable_the_error_options(node: Node) -> None:
    assert node.run("false; exit 4", setup="set +e").status == 1
    assert node.run("false | true; exit 4", setup="set +o pipefail").status == 1
    assert node.run("false; exit 4", setup="set +e", shell="sh").status == 1


@pytest.mark.parametrize(
    "setup",
    ["exit 0", "exec true", "if then", "false", "set +e; false", "kill -9 $$", "set -n", "nonsense-command"],
)
def test_a_setup_that_does_not_complete_is_a_failed_start(node: Node, setup: str) -> None:
    end = node.run("echo reached", setup=setup)
    assert end.word is SentinelWord.START_FAILED
    assert end.report.begun is False and end.status != 0
    assert "reached" not in end.text


def test_a_shell_that_executes_nothing_does_not_succeed(node: Node, tmp_path: Path) -> None:
    tmp_path.joinpath("away").write_text("exit 0\n")
    for environ in ({"SHELLOPTS": "noexec"}, {"BASH_ENV": str(tmp_path / "away")}):
        with node.start("exit 3", environ=environ) as process:
            output, _ = process.communicate(timeout=30)
        report = sentinel.last_report(output.decode(), nonce(TOKEN), 0)
        # If bash is the sentinel's shell, it uses SHELLOPTS itself, and prints nothing.
        assert report is None or report.word is SentinelWord.START_FAILED


def test_a_limit_during_setup_reports_that_the_command_never_began(node: Node) -> None:
    end = node.run("echo never", setup="sleep 30", max_runtime=0.3)
    assert (end.word, end.report.begun) == (SentinelWord.MAX_RUNTIME_REACHED, False)


def begun(rank: int) -> str:
    return f"[clusterjobs {nonce(TOKEN)} begun node={rank} restarts=0]\n"


def test_the_mark_begun_comes_right_before_the_command(node: Node) -> None:
    assert node.run("echo hi").raw.startswith(begun(0))
    end = node.run("echo hi", setup="printf set-up", environ={"CLUSTERJOBS_NODE_RANK": "2"})
    assert end.raw.startswith(f"set-up\n{begun(2)}hi\n")


def test_line_numbers_in_messages_are_those_of_the_script(node: Node) -> None:
    end = node.run("true\nno-such-command\n", args=("x",))
    assert "line 2: no-such-command" in end.text


def test_exports_of_the_caller_reach_the_command(node: Node) -> None:
    names = ["n", "max", "dir", "child", "how", "cja", "cjZ", "x", "_a", "_Z", "A"]
    env = dict.fromkeys(names, "its own")
    end = node.run("; ".join(f'echo "{name}=${name}"' for name in names), env=env, environ=env, setup="true")
    assert end.text.split("\n")[:-1] == [f"{name}=its own" for name in names]


# Signals from outside.


CHECKPOINT = """
import os, signal, sys, time
def checkpoint(number, frame):
    os.write(1, b"checkpoint\\n")
    if len(sys.argv) > 1:
        sys.exit(int(sys.argv[1]))
for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, checkpoint)
os.write(1, b"ready\\n")
time.sleep(1)
"""


def send(node: Node, number: int, run: str, **fields: Any) -> tuple[int, str, SentinelReport | None]:
    with node.start(run, **fields) as process:
        assert process.stdout is not None
        seen = b""
        while b"ready" not in seen:
            seen += process.stdout.readline()
        process.send_signal(number)
        output, _ = process.communicate(timeout=20)
    text = (seen + output).decode()
    return process.returncode, text, sentinel.last_report(text, nonce(TOKEN), 0)


FORWARDED = [signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP, signal.SIGINT]


@pytest.mark.parametrize("number", FORWARDED)
def test_a_signal_reaches_a_command_that_has_a_handler(node: Node, number: int) -> None:
    status, text, report = send(node, number, 'python3 -c "$1"; exit 3', args=(CHECKPOINT,))
    assert "checkpoint\n" in text
    assert (status, report and report.word) == (3, SentinelWord.EXITED)


@pytest.mark.parametrize("code", [0, 7, 127])
def test_a_command_may_exit_at_a_signal(node: Node, code: int) -> None:
    for _ in range(4):
        status, _, report = send(node, signal.SIGUSR1, 'exec python3 -c "$@"', args=(CHECKPOINT, str(code)))
        assert (status, report and report.exit_code) == (code, code)


@pytest.mark.parametrize("number", FORWARDED)
def test_a_command_that_dies_of_a_forwarded_signal_was_stopped_from_outside(node: Node, number: int) -> None:
    status, _, report = send(node, number, "sh -c 'echo ready; exec sleep 30'", heartbeat_timeout=20.0)
    assert report is not None
    assert (status, report.word, report.exit_code) == (143, SentinelWord.STOPPED, None)


@pytest.mark.parametrize("number", [signal.SIGALRM, signal.SIGQUIT, signal.SIGXCPU])
def test_any_other_signal_stops_the_job_and_is_not_a_limit(node: Node, number: int) -> None:
    status, _, report = send(node, number, "sh -c 'echo ready; exec sleep 30'", heartbeat_timeout=20.0)
    assert (status, report and report.word) == (143, SentinelWord.STOPPED)


def test_a_signal_of_the_command_to_its_sentinel_is_not_a_limit(node: Node) -> None:
    for name in ("USR1", "USR2", "ALRM"):
        end = node.run(f"kill -{name} $PPID; sleep 0.5", heartbeat_timeout=20.0)
        assert end.word in (SentinelWord.STOPPED, SentinelWord.EXITED)


# Time that counts for limits.


def programs(node: Node, name: str) -> list[int]:
    found = []
    for pid in node.left():
        with suppress(OSError):
            if Path(f"/proc/{pid}/comm").read_text().strip() == name:
                found.append(pid)
    return found


def test_a_killed_sleep_does_not_end_a_limit_early(node: Node) -> None:
    if node.shell[0] == "busybox":
        pytest.skip("its sleep has the name of the shell")
    with node.start(
        "for i in 1 2 3 4 5 6; do python3 -c 'import time; time.sleep(0.2)'; done", max_runtime=20.0
    ) as process:
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            for pid in programs(node, "sleep"):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        output, _ = process.communicate(timeout=20)
    report = sentinel.last_report(output.decode(), nonce(TOKEN), 0)
    assert report is not None and report.word is SentinelWord.EXITED


def test_a_suspension_does_not_count(node: Node) -> None:
    with node.start(
        "for i in 1 2 3 4; do sleep 0.2; done; exit 3", max_runtime=3.0, heartbeat_timeout=3.0
    ) as process:
        time.sleep(0.3)
        stopped: list[int] = []
        for _ in range(3):
            # A process that was just being started is found at the next check.
            for pid in node.left():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
                    stopped.append(pid)
        time.sleep(5.0)
        for pid in reversed(stopped):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        output, _ = process.communicate(timeout=20)
    report = sentinel.last_report(output.decode(), nonce(TOKEN), 0)
    assert report is not None
    assert (report.word, report.exit_code) == (SentinelWord.EXITED, 3)
    assert report.seconds is not None and report.seconds > 5


def test_a_file_time_in_the_future_is_at_most_one_heartbeat(node: Node) -> None:
    end = node.run('touch -d "+1 day" "$CLUSTERJOBS_HEARTBEAT_FILE"; sleep 30', heartbeat_timeout=0.5)
    assert end.word is SentinelWord.HEARTBEAT_TIMEOUT


# The log.


@pytest.mark.parametrize(
    "run",
    [
        "echo one; echo two >/dev/stderr; echo three",
        "echo one; echo two | tee /dev/stderr >/dev/null; echo three",
        'echo one; python3 -c \'print("two", file=open("/dev/stdout", "w"))\'; echo three',
        "echo one; : >/proc/self/fd/1; echo two; echo three",
    ],
)
def test_output_that_is_reopened_is_appended(node: Node, tmp_path: Path, run: str) -> None:
    log = tmp_path / "log"
    with log.open("ab") as file, node.start(run, stdout=file) as process:
        process.wait(timeout=10)
    assert sentinel.without_marks(log.read_text(), nonce(TOKEN)) == "one\ntwo\nthree\n"


def test_a_daemon_does_not_hide_the_last_line(node: Node, tmp_path: Path) -> None:
    log = tmp_path / "log"
    flood = "setsid sh -c 'trap \"\" TERM; while :; do echo flood; sleep 0.001; done' & sleep 0.3; exit 4"
    with log.open("ab") as file, node.start(flood, stdout=file) as process:
        process.wait(timeout=10)
    for pid in node.left():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert sentinel.last_report(log.read_text()[-300:], nonce(TOKEN), 0) == sentinel.last_report(
        log.read_text(), nonce(TOKEN), 0
    )
    assert process.returncode == 4


def test_a_full_disk_does_not_change_the_end(node: Node) -> None:
    with (
        open("/dev/full", "wb") as full,
        node.start("head -c 1000000 /dev/zero; exit 3", stdout=full) as process,
    ):
        assert process.wait(timeout=10) == 3


# The size of the script.


def test_the_largest_script_has_at_most_three_kibibytes() -> None:
    """AWS Batch allows 8192 bytes for all overrides of a job."""
    spec = JobSpec("true", setup="true", heartbeat_timeout=86400.0)
    assert len(sentinel.argv(spec, TOKEN, workdir="/")[2].encode()) <= 3072


def test_a_plain_job_needs_at_most_five_processes(tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    trace = tmp_path / "trace"
    node = Node(["strace", "-f", "-qq", "-e", "trace=process", "-o", str(trace), "dash"], tmp_path)
    node.run("true", shell="sh", leader=sentinel.setsid_command())
    # The sentinel, the command, tee, the timer and its sleep.
    assert len({line.split()[0] for line in trace.read_text().splitlines()}) <= 5
