"""What is special to the local backend; what any backend must do is in
tests/testing/test_local_conformance.py."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import time
from collections.abc import Collection
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_clusterjobs.backends.environment import FIRST_MASTER_PORT
from pytest_clusterjobs.backends.environment import inherited
from pytest_clusterjobs.backends.environment import master_port
from pytest_clusterjobs.backends.environment import MASTER_PORT_COUNT
from pytest_clusterjobs.backends.limits import excesses
from pytest_clusterjobs.backends.local import TYPE
from pytest_clusterjobs.backends.local.client import LocalBackend
from pytest_clusterjobs.backends.local.clock import SteadyClock
from pytest_clusterjobs.backends.local.journal import read
from pytest_clusterjobs.backends.local.runner_paths import RunnerPaths
from pytest_clusterjobs.backends.local.settings import capabilities
from pytest_clusterjobs.backends.local.settings import LocalSettings
from pytest_clusterjobs.backends.protocol import BackendError
from pytest_clusterjobs.backends.protocol import NotSubmitted
from pytest_clusterjobs.backends.settings import FaultySettings
from pytest_clusterjobs.model import JobSpec
from pytest_clusterjobs.model import Observation
from pytest_clusterjobs.model import Phase
from pytest_clusterjobs.model import Reason
from pytest_clusterjobs.model import SentinelWord
from pytest_clusterjobs.testing import Cluster
from pytest_clusterjobs.testing import Harness
from pytest_clusterjobs.testing import SubmittedJob

pytestmark = pytest.mark.quiet


class Local(Cluster):
    """A run of the local backend whose processes can be looked at."""

    @property
    def paths(self) -> RunnerPaths:
        return RunnerPaths(self.folder / self.run_id / "local")

    @property
    def runner(self) -> int:
        _, runner = read(self.paths.journal)
        return int(runner["pid"])

    def processes(self) -> dict[int, str]:
        return self.paths.tag.all()

    def running(self, job: SubmittedJob) -> Observation:
        return self.wait(job, until=lambda seen: seen.phase is Phase.RUNNING)

    def says(self, job: SubmittedJob, text: str) -> None:
        self.eventually(lambda: text in self.read(job).text)

    def no_process_is_left(self, seconds: float = 3.0) -> None:
        deadline = time.monotonic() + seconds
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.02)
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert not left


@pytest.fixture
def slots() -> int:
    return 4


@pytest.fixture
def local(tmp_path: Path, slots: int) -> Iterator[Local]:
    with Local(Harness(backend=TYPE, settings={"slots": slots}, slots=slots), tmp_path) as local:
        yield local
    local.no_process_is_left()


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def until_dead(pid: int, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)


# The runner's life.


def test_a_clock_that_is_set_back_does_not_shorten_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SteadyClock()
    begin = clock.time()
    assert abs(begin - time.time()) < 1.0
    monkeypatch.setattr(time, "time", lambda: begin - 3600.0)
    assert clock.time() >= begin


def test_opening_starts_nothing(local: Local) -> None:
    assert local.backend.find(local.token()) == NotSubmitted()
    assert local.backend.sweep(local.run_id) == {}
    assert not local.paths.folder.exists()


def test_a_runner_without_jobs_and_clients_goes_and_its_ends_stay(local: Local) -> None:
    job = local.submit("exit 3")
    ended = local.wait(job)
    runner = local.runner
    local.backend.close()
    until_dead(runner)
    assert local.wait(job) == ended
    assert "exited exit_code=3" in local.read(job).text
    assert local.runner == runner, "reading needs no runner"


def test_ends_are_reported_at_once(local: Local) -> None:
    job = local.submit("sleep 0.3")
    seen = local.wait(job)
    assert seen.times.ended is not None
    assert time.time() - seen.times.ended < 0.5


def test_two_clients_share_one_runner(local: Local) -> None:
    other = local.open()
    jobs = [local.submit("sleep 0.2", backend=backend) for backend in (local.backend, other) * 4]
    local.wait(*jobs)
    assert local.paths.journal.read_text().count('"e":"runner"') == 1


def test_the_folder_is_readable_by_its_owner_only(local: Local) -> None:
    local.wait(local.submit("true"))
    folder = local.paths.folder
    assert folder.stat().st_mode & 0o077 == 0
    for name in ("address", "journal.jsonl", "runner.lock"):
        assert folder.joinpath(name).stat().st_mode & 0o077 == 0, name


def test_the_folder_contains_no_socket(local: Local) -> None:
    local.submit("sleep 60")
    assert not [path for path in local.paths.folder.rglob("*") if path.is_socket()]
    shutil.copytree(local.paths.folder, local.paths.folder.with_name("copy"))


def test_connections_need_no_attribute_that_a_plugin_may_have_replaced(
    local: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    def blocked(*_: object) -> None:
        raise RuntimeError("A test tried to use socket.socket.")

    monkeypatch.setattr(socket.socket, "connect", blocked, raising=False)
    monkeypatch.setattr(socket, "socket", blocked)
    assert local.wait(local.submit("true", backend=local.open())).exit_code == 0


def test_a_deep_folder_works(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a folder with a long name"] * 8)
    deep.mkdir(parents=True)
    with Local(Harness(backend=TYPE), deep) as local:
        assert local.wait(local.submit("true")).exit_code == 0


# Kill -9.


def test_a_killed_runner_ends_its_jobs(local: Local) -> None:
    escaped = local.submit("setsid sleep 60 & echo up; sleep 60", nodes=1)
    ignoring = local.submit("trap '' TERM; echo up; sleep 60; sleep 60", grace_period=0.5)
    queued = local.submit("true", nodes=4)
    for job in (escaped, ignoring):
        local.says(job, "up")
    os.kill(local.runner, signal.SIGKILL)
    local.no_process_is_left()
    for job in (escaped, ignoring):
        seen = local.wait(job)
        assert (seen.native_state, seen.reason_hint) == ("NODE_FAILED", Reason.NODE_FAILED)
    seen = local.wait(queued)
    assert (seen.reason_hint, seen.times.started) == (Reason.NODE_FAILED, None)


def test_what_ended_before_the_runner_died_keeps_its_end(local: Local) -> None:
    done = local.submit("exit 4")
    ended = local.wait(done)
    os.kill(local.runner, signal.SIGKILL)
    assert local.wait(done) == ended
    again = local.submit("exit 5")
    assert local.wait(again).exit_code == 5
    assert local.wait(done) == ended


def test_an_end_that_only_the_log_has_counts(local: Local) -> None:
    job = local.submit("exit 6")
    local.wait(job)
    runner = local.runner
    local.backend.close()
    until_dead(runner)
    lines = local.paths.journal.read_text().splitlines()
    kept = [line for line in lines if '"e":"node"' not in line and '"e":"end"' not in line]
    local.paths.journal.write_text("\n".join(kept) + "\n")
    job = replace(job, backend=local.open(), seen=[])
    seen = local.wait(job)
    assert (seen.native_state, seen.exit_code, seen.reason_hint) == ("ENDED", 6, None)


def test_a_torn_last_line_is_passed_over(local: Local) -> None:
    first = local.submit("exit 1")
    local.wait(first)
    os.kill(local.runner, signal.SIGKILL)
    with local.paths.journal.open("ab") as journal:
        journal.write(b'{"e":"end","tok')
    second = local.submit("exit 2")
    assert local.wait(second).exit_code == 2
    assert local.wait(first).exit_code == 1


def test_a_killed_watchdog_is_replaced(local: Local) -> None:
    job = local.submit("sleep 60")
    local.running(job)
    watchdog = next(pid for pid in children(local.runner) if pid not in local.processes())
    os.kill(watchdog, signal.SIGKILL)
    local.eventually(lambda: any(pid not in {watchdog, *local.processes()} for pid in children(local.runner)))
    os.kill(local.runner, signal.SIGKILL)
    local.no_process_is_left()


def children(parent: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text(errors="replace").rpartition(")")[2].split()
            if int(fields[1]) == parent and fields[0] != "Z":
                found.append(int(stat.parent.name))
    return found


def test_a_killed_sentinel_leaves_no_process_and_is_not_a_success(local: Local) -> None:
    job = local.submit("echo up; setsid sleep 60 & sleep 60; true")
    local.says(job, "up")
    (pid,) = [pid for pid in local.paths.tag.roots() if pid in children(local.runner)][:1]
    os.kill(pid, signal.SIGKILL)
    seen = local.wait(job)
    assert (seen.exit_code, seen.nodes[0].report) == (137, None)
    local.no_process_is_left(0.5)


# Ends.


def test_a_cancel_reaches_what_broke_away(local: Local) -> None:
    script = "setsid sh -c 'trap \"\" TERM; setsid sleep 60 & sleep 60; sleep 60' & echo up; sleep 60"
    job = local.submit(script, grace_period=0.5)
    local.says(job, "up")
    local.backend.cancel({job.token: job.handle})
    seen = local.wait(job)
    assert (seen.native_state, seen.reason_hint) == ("CANCELLED", Reason.CANCELLED)
    local.no_process_is_left(0.0)


def test_what_broke_away_ends_soon_after_a_normal_end(local: Local) -> None:
    busy = local.submit("sleep 60")
    job = local.submit("setsid sleep 60 & exit 0")
    assert local.wait(job).exit_code == 0
    local.eventually(lambda: job.token not in local.processes().values())
    assert local.wait(busy, until=lambda seen: True).phase is Phase.RUNNING


def test_a_cancelled_job_in_the_queue_never_runs(local: Local) -> None:
    wide = local.submit("sleep 60", nodes=4)
    waiting = local.submit("true")
    seen = local.wait(waiting, until=lambda seen: True)
    assert (seen.phase, seen.native_reason) == (Phase.PENDING, "waiting for slots")
    local.backend.cancel({waiting.token: waiting.handle})
    seen = local.wait(waiting)
    assert (seen.native_state, seen.nodes, seen.times.started) == ("CANCELLED", (), None)
    local.backend.cancel({wide.token: wide.handle})
    local.wait(wide)


def test_the_queue_is_first_in_first_out(local: Local) -> None:
    first = local.submit("sleep 0.5", nodes=3)
    wide = local.submit("true", nodes=4)
    narrow = local.submit("true")
    local.wait(first, wide, narrow)
    starts = [job.seen[-1].times.started or 0.0 for job in (first, wide, narrow)]
    assert starts == sorted(starts), "a narrow job does not overtake a wide one, so that none starves"


def test_the_end_of_the_main_node_ends_the_job(local: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    job = local.submit('[ "$CLUSTERJOBS_NODE_RANK" = 0 ] || sleep 60', nodes=2)
    seen = local.wait(job, seconds=20)
    assert [node.stopped_by_cluster for node in seen.nodes] == [False, True]
    assert seen.exit_code == 0
    assert seen.times.ended is not None and seen.nodes[0].ended is not None
    assert 9 < seen.times.ended - seen.nodes[0].ended < 14


def test_a_straggling_rank_that_fails_is_a_failure(local: Local) -> None:
    job = local.submit('[ "$CLUSTERJOBS_NODE_RANK" = 0 ] || { sleep 0.5; exit 7; }', nodes=2)
    seen = local.wait(job)
    assert [(node.exit_code, node.stopped_by_cluster) for node in seen.nodes] == [(0, False), (7, False)]
    assert seen.exit_code == 7


def test_the_order_of_ends_is_kept(local: Local, tmp_path: Path) -> None:
    script = (
        'while [ ! -e "$GO" ]; do sleep 0.01; done; '
        '[ "$CLUSTERJOBS_NODE_RANK" = 2 ] && exit 9; sleep 0.1; exit 3'
    )
    for turn in range(5):
        go = tmp_path / f"go{turn}"
        job = local.submit(script, nodes=4, env={"GO": str(go)})
        local.running(job)
        go.touch()
        seen = local.wait(job)
        first = min((node for node in seen.nodes if node.exit_code), key=lambda node: node.ended or 0.0)
        assert (first.rank, seen.exit_code) == (2, 9)


def test_each_start_keeps_its_log(local: Local) -> None:
    job = local.submit('echo "start $CLUSTERJOBS_RESTARTS"; exit 1', max_restarts=2)
    assert local.wait(job).restarts == 2
    for restart in range(3):
        assert f"start {restart}\n" in local.log(job, restart=restart)
    assert "start 2\n" in local.log(job)


@pytest.mark.parametrize(
    "fields",
    [
        {"run": "sleep 60", "max_runtime": 0.3},
        {"run": "sleep 60", "heartbeat_timeout": 0.3},
        {"run": "true", "setup": "false"},
    ],
    ids=["max_runtime", "heartbeat_timeout", "start_failed"],
)
def test_a_limit_or_a_failed_start_is_not_restarted(local: Local, fields: dict[str, Any]) -> None:
    assert local.wait(local.submit(**fields, max_restarts=3)).restarts == 0


def test_a_limit_holds_when_only_the_job_is_left(local: Local) -> None:
    """People end pytest by name, and with it every Python process."""
    local.says(job := local.submit("echo up; sleep 60", max_runtime=2.0, grace_period=1.0), "up")
    watchdog = next(pid for pid in children(local.runner) if pid not in local.processes())
    runner = local.runner
    # The watchdog must not see the runner's death, nor the runner the watchdog's.
    os.kill(runner, signal.SIGSTOP)
    for pid in (watchdog, runner):
        os.kill(pid, signal.SIGKILL)
    local.eventually(lambda: not local.processes(), 15.0)
    assert "max_runtime_reached" in Path(local.wait(job).nodes[0].log or "").read_text()


def test_a_job_that_damages_its_log_affects_no_other_job(local: Local) -> None:
    find = "LOG=$(readlink -f /proc/$PPID/fd/1); rm $LOG; "
    harmful = [local.submit(find + harm) for harm in ("mkfifo $LOG", "mkdir $LOG", "ln -s /dev/zero $LOG")]
    fine = local.submit("sleep 0.5; exit 3")
    for job in harmful:
        assert local.end(job).reason == Reason.UNKNOWN
        with pytest.raises(BackendError, match="log"):
            local.backend.logs(job.handle)
    assert local.end(fine).exit_code == 3


def test_exported_functions_reach_the_command(local: Local) -> None:
    """What sites export their module command as; dash would drop it."""
    function = {"BASH_FUNC_greet%%": "() {  echo hello $1\n}"}
    job = local.submit("greet you; bash -c 'greet all'; exit 3", env=function)
    assert local.end(job).exit_code == 3
    assert {"hello you", "hello all"} <= set(local.printed(job))


def test_a_command_line_that_the_system_refuses_is_a_failed_start(local: Local) -> None:
    job = local.submit("true", args=("x" * 200_000,), nodes=2)
    seen = local.wait(job)
    assert [node.report and node.report.word for node in seen.nodes] == [SentinelWord.START_FAILED] * 2
    assert "Argument list too long" in local.log(job)
    assert local.wait(local.submit("true")).exit_code == 0


@pytest.mark.parametrize("slots", [64])
def test_two_hundred_jobs_at_once(local: Local) -> None:
    jobs = [local.submit(f"exit {number % 7}") for number in range(200)]
    local.wait(*jobs, seconds=60)
    assert [job.seen[-1].exit_code for job in jobs] == [number % 7 for number in range(200)]


# What a job is given.


def test_ports_are_the_jobs_own(local: Local) -> None:
    jobs = [local.submit("echo port=$CLUSTERJOBS_MASTER_PORT; sleep 60") for _ in range(4)]
    for job in jobs:
        local.says(job, "port=")
    ports = {int(local.read(job).text.split("port=")[1].split()[0]) for job in jobs}
    assert len(ports) == 4
    assert all(FIRST_MASTER_PORT <= port < FIRST_MASTER_PORT + MASTER_PORT_COUNT for port in ports)


def test_a_port_in_use_is_passed_over(local: Local) -> None:
    token = local.token()
    with socket.socket() as server:
        server.bind(("127.0.0.1", master_port(token)))
        server.listen()
        job = local.submit("echo port=$CLUSTERJOBS_MASTER_PORT", token=token)
        local.wait(job)
        assert f"port={master_port(token, 1)}\n" in local.log(job)


def test_nothing_of_an_outer_run_is_inherited() -> None:
    outer = {"PYTEST_CURRENT_TEST": "a", "CLUSTERJOBS_RUN_ID": "b", "COV_CORE_SOURCE": "c", "HOME": "/h"}
    assert inherited(outer) == {"HOME": "/h"}


def test_signals_are_as_a_program_expects_them(local: Local) -> None:
    job = local.submit("grep SigIgn /proc/self/status; yes | head -n 1", shell="sh")
    assert local.wait(job).exit_code == 0
    ignored = int(local.log(job).split("SigIgn:")[1].split()[0], 16)
    for number in (signal.SIGPIPE, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM):
        assert not ignored & 1 << (number - 1), number


# Notifications.


def test_subscribers_hear_of_each_job_and_of_a_dead_runner(local: Local) -> None:
    backend = local.open()
    assert isinstance(backend, LocalBackend)
    heard: list[Collection[str]] = []
    backend.subscribe(heard.append)
    job = local.submit("sleep 60", backend=backend)
    local.eventually(lambda: any(job.token in tokens for tokens in heard))
    heard.clear()
    os.kill(local.runner, signal.SIGKILL)
    local.eventually(lambda: any(job.token in tokens for tokens in heard))
    assert local.wait(job).reason_hint is Reason.NODE_FAILED


def test_a_handle_works_from_another_run(local: Local, tmp_path: Path) -> None:
    job = local.submit("echo up; sleep 60")
    local.says(job, "up")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with Local(local.harness, elsewhere) as other:
        attached = replace(job, backend=other.backend, seen=[])
        assert other.wait(attached, until=lambda seen: True).phase is Phase.RUNNING
        assert "up" in other.read(attached).text
        other.backend.cancel({job.token: job.handle})
        assert other.wait(attached).native_state == "CANCELLED"


def test_a_log_is_read_piece_by_piece_across_restarts(local: Local) -> None:
    job = local.submit('printf "é$CLUSTERJOBS_RESTARTS"; [ "$CLUSTERJOBS_RESTARTS" = 1 ]', max_restarts=1)
    local.wait(job)
    chunk = local.backend.logs(job.handle, cursor=[0, 0])
    assert ("é0" in chunk.text, chunk.complete) == (True, False)
    chunk = local.backend.logs(job.handle, cursor=chunk.cursor)
    assert ("é1" in chunk.text, "é0" in chunk.text, chunk.complete) == (True, False, True)
    assert local.backend.logs(job.handle, tail=10).text == local.log(job)[-10:]


@pytest.mark.parametrize("slots", [0, -1, True, "4", 1.5])
def test_slots_must_be_a_number(slots: object, tmp_path: Path) -> None:
    with pytest.raises(FaultySettings, match="slots must be a whole number of at least 1"):
        Cluster(Harness(backend=TYPE, settings={"slots": slots}), tmp_path)


def test_a_job_that_can_never_start_is_known_at_collection() -> None:
    can = capabilities(LocalSettings(slots=4))
    assert list(excesses(JobSpec("true", nodes=4), can, "local")) == []
    (found,) = excesses(JobSpec("true", nodes=5), can, "local")
    assert "5 nodes" in found.message() and "raise slots" in found.message()
