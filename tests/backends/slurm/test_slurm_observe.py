"""What Slurm shows and what a job's folder holds, put together: which source decides, and when."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_clusterjobs.backends import sentinel
from pytest_clusterjobs.backends.command_line import JobFolder
from pytest_clusterjobs.backends.command_line import QueueRow
from pytest_clusterjobs.backends.command_line.launcher_output import read_last_output
from pytest_clusterjobs.backends.command_line.observe import KnownJob
from pytest_clusterjobs.backends.command_line.observe import observe_end
from pytest_clusterjobs.backends.command_line.observe import observe_held
from pytest_clusterjobs.backends.command_line.observe import observe_live
from pytest_clusterjobs.backends.command_line.observe import observe_recorded_end
from pytest_clusterjobs.backends.command_line.records import nodes_of
from pytest_clusterjobs.backends.command_line.records import read_record
from pytest_clusterjobs.backends.logfile import read_rank_log
from pytest_clusterjobs.backends.protocol import BackendError
from pytest_clusterjobs.backends.slurm.launcher_output import SlurmLauncherOutput
from pytest_clusterjobs.backends.slurm.queue import slurm_row
from pytest_clusterjobs.backends.slurm.states import Status
from pytest_clusterjobs.judge import outcome
from pytest_clusterjobs.model import Classification
from pytest_clusterjobs.model import JobSpec
from pytest_clusterjobs.model import LogChunk
from pytest_clusterjobs.model import Observation
from pytest_clusterjobs.model import Outcome
from pytest_clusterjobs.model import Phase
from pytest_clusterjobs.model import Reason
from pytest_clusterjobs.model import SentinelReport
from pytest_clusterjobs.model import SentinelWord
from pytest_clusterjobs.model.token import Token

TOKEN = str(Token.of("run", "matrices/a.yaml::cell", 1))
AT = 1_800_000_000.0


def row_of(**changes: Any) -> QueueRow:
    values = {
        "job_id": "7",
        "name": TOKEN,
        "state": "COMPLETED",
        "status": Status(0),
        "derived": Status(0),
        "submitted": AT,
        "started": AT + 10,
        "ended": AT + 20,
        "nodes": "node1",
    }
    return slurm_row(**{**values, **changes})


EXITED, STOPPED = SentinelWord.EXITED, SentinelWord.STOPPED


class Folder:
    """A job's folder as the batch script and the sentinels would leave it."""

    def __init__(self, path: Path, ranks: int) -> None:
        self.job = KnownJob(TOKEN, JobFolder(path), ranks, may_restart=False)
        self.path = path

    def put(self, name: str, text: str, at: float) -> None:
        path = self.path / name
        path.write_text(text)
        os.utime(path, (at, at))

    def rank(
        self,
        rank: int,
        word: SentinelWord | None,
        code: int | None = None,
        at: float = AT + 15,
        start: int = 0,
    ) -> None:
        report = "" if word is None else sentinel.report_line(TOKEN, SentinelReport(word, rank, code, start))
        self.put(f"log.{start}.{rank}", f"some output\n{report}\n", at)

    def start(self, number: int = 0, at: float = AT + 10.3) -> None:
        self.put("job", "7\n", at)
        self.put(f"start.{number}", "7\n", at)
        self.put("hosts", "".join(f"node{rank}\n" for rank in range(self.job.nodes)), at)

    def end(self, code: int, how: str = "itself", at: float = AT + 20.4) -> None:
        self.put("ended", f"{code} {how}\n", at)

    def prints(self, text: str) -> None:
        self.put("batch.out", text, AT)

    @property
    def launcher(self) -> SlurmLauncherOutput:
        return SlurmLauncherOutput(read_last_output(self.job.folder))

    def see(self, **row: Any) -> Observation:
        return observe_end(self.job, row_of(**row), read_record(self.job.folder), self.launcher)

    def see_own_record(self) -> Observation | None:
        return observe_recorded_end(self.job, read_record(self.job.folder), self.launcher)

    def judge(self, **row: Any) -> Outcome:
        return outcome(
            JobSpec("true", nodes=self.job.nodes),
            self.see(**row),
            action=None,
            classification=Classification(),
            log=None,
        )


@pytest.fixture
def one(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path, 1)
    folder.start()
    return folder


@pytest.fixture
def three(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path, 3)
    folder.start()
    return folder


def test_a_live_job_without_restarts_needs_no_file(tmp_path: Path) -> None:
    job = KnownJob(TOKEN, JobFolder(tmp_path / "none"), 1, may_restart=False)
    seen = observe_live(job, row_of(state="RUNNING", ended=AT + 600))
    assert (seen.phase, seen.times.started, seen.times.ended, seen.restarts) == (
        Phase.RUNNING,
        AT + 10,
        None,
        0,
    )


def test_restarts_of_a_live_job_are_counted(one: Folder) -> None:
    one.start(1, AT + 30)
    seen = observe_live(replace(one.job, may_restart=True), row_of(state="RUNNING"))
    assert (seen.restarts, seen.native_reason) == (1, "restarted, 1 so far")
    assert seen.times.started == AT + 10.3


def test_times_are_finer_than_slurm_s_unless_clocks_disagree(one: Folder) -> None:
    one.rank(0, EXITED, 0)
    one.end(0)
    assert one.see().times.started == AT + 10.3
    assert one.see().times.ended == AT + 20.4
    far = one.see(submitted=AT + 1000, started=AT + 1010, ended=AT + 1020)
    assert (far.times.started, far.times.ended) == (AT + 1010, AT + 1020)


def test_a_requeued_job_started_when_it_first_did(one: Folder) -> None:
    one.put("job.sh", "", AT)
    one.start(1, AT + 200)
    one.rank(0, EXITED, 0, start=1)
    one.end(0, at=AT + 210.5)
    seen = one.see(restarts=1, submitted=AT + 150, started=AT + 200, ended=AT + 210)
    assert (seen.times.submitted, seen.times.started, seen.times.ended) == (AT, AT + 10.3, AT + 210.5)


def test_a_missing_report_is_never_success(one: Folder) -> None:
    assert one.judge().reason == Reason.UNKNOWN
    one.end(0)
    assert one.judge().reason == Reason.UNKNOWN
    one.rank(0, None)
    assert one.judge().reason == Reason.UNKNOWN
    one.rank(0, EXITED, 0)
    assert one.judge().reason == Reason.JOB_COMPLETED


def test_a_silent_sentinel_s_code_is_what_the_batch_script_saw(one: Folder) -> None:
    one.rank(0, None)
    one.end(137)
    node = one.see(state="FAILED", status=Status(137)).nodes[0]
    assert (node.report, node.exit_code, node.host) == (None, 137, "node0")


@pytest.mark.parametrize("state", ["CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED"])
def test_what_came_too_late_changes_nothing(one: Folder, state: str) -> None:
    one.rank(0, EXITED, 3)
    one.end(3)
    found = one.judge(state=state, status=Status(0, 15))
    assert (found.reason, found.exit_code) == (Reason.JOB_FAILED, 3)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("CANCELLED", Reason.CANCELLED),
        ("TIMEOUT", Reason.MAX_RUNTIME_REACHED),
        ("NODE_FAIL", Reason.NODE_FAILED),
        ("PREEMPTED", Reason.PREEMPTED),
    ],
)
@pytest.mark.parametrize("ended", [True, False])
def test_what_stopped_it_is_the_reason(one: Folder, state: str, reason: Reason, ended: bool) -> None:
    # A command that ends with 0 when it receives TERM has not completed.
    one.rank(0, EXITED, 0)
    if ended:
        one.end(0, "stopped")
    assert one.judge(state=state, status=Status(0, 15)).reason == reason


def test_a_kill_for_memory_in_an_earlier_start_does_not_count(one: Folder) -> None:
    one.rank(0, EXITED, 137)
    one.end(0)
    row = {"state": "OUT_OF_MEMORY", "status": Status(0, 125)}
    assert one.judge(**row).reason == Reason.OUT_OF_MEMORY
    one.start(1)
    one.rank(0, EXITED, 0, start=1)
    found = one.judge(**row)
    assert (found.reason, found.exit_code, found.restarts) == (Reason.JOB_COMPLETED, 0, 1)
    one.rank(0, EXITED, 1, start=1)
    assert one.judge(**row).reason == Reason.OUT_OF_MEMORY


OOM = (
    "slurmstepd-node2: error: Detected 1 oom-kill event(s) in StepId=11.0. Some of your processes may have been"
    " killed by the cgroup out-of-memory handler.\n"
)


def test_a_kill_for_memory_in_a_step_is_read_from_the_daemon_s_output(three: Folder) -> None:
    for rank in range(3):
        three.rank(rank, EXITED, 137)
    three.end(137)
    row = {"state": "FAILED", "status": Status(137)}
    assert three.judge(**row).reason == Reason.KILLED_BY_SIGNAL
    three.prints(f"clusterjobs: start 0\n{OOM}")
    assert three.judge(**row).reason == Reason.OUT_OF_MEMORY
    three.prints(f"{OOM}clusterjobs: start 1\n")
    assert three.judge(**row).reason == Reason.KILLED_BY_SIGNAL


def test_ends_of_ranks_as_srun_saw_them(three: Folder) -> None:
    three.rank(0, STOPPED, at=AT + 16)
    three.rank(1, None, at=AT + 10)
    three.rank(2, None, at=AT + 10)
    three.end(143)
    three.prints(
        "srun: error: node0: task 0: Exited with exit code 9\n"
        "clusterjobs: start 0\n"
        "srun: error: node2: task 2: Killed\n"
        "srun: launch/slurm: _step_signal: Terminating StepId=10.1\n"
        "srun: error: node[0-1]: tasks 0-1: Terminated\n"
    )
    nodes = nodes_of(three.job.folder, TOKEN, 3, read_record(three.job.folder), three.launcher)
    assert [node.exit_code for node in nodes] == [None, 143, 137]
    assert nodes[2].ended is not None and nodes[2].ended <= AT + 16


def test_the_rank_that_failed_first_decides(three: Folder) -> None:
    three.rank(0, EXITED, 1, at=AT + 16)
    three.rank(1, EXITED, 5, at=AT + 15)
    three.rank(2, STOPPED, at=AT + 17)
    three.end(143)
    found = three.judge(state="FAILED", status=Status(143))
    assert (found.reason, found.exit_code, found.first_failing_node) == (Reason.JOB_FAILED, 5, 1)


def test_dismissed_ranks_are_not_failures(three: Folder) -> None:
    three.rank(0, EXITED, 0)
    three.rank(1, EXITED, 0)
    three.rank(2, STOPPED)
    three.end(0)
    assert three.judge().reason == Reason.UNKNOWN
    three.put("dismissed.0", "\n", AT + 16)
    assert three.judge().reason == Reason.JOB_COMPLETED
    three.rank(1, EXITED, 7)
    assert three.judge().exit_code == 7


def test_a_step_that_never_began_is_a_failed_start(three: Folder) -> None:
    three.end(1)
    three.prints(
        "clusterjobs: start 0\nsrun: error: Unable to create step for job 7: Memory required is not available\n"
    )
    found = three.judge(state="FAILED", status=Status(1))
    assert found.reason == Reason.START_FAILED
    assert "Unable to create step" in found.native_reason


def test_a_folder_that_the_node_does_not_have(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "gone", 1)
    found = folder.judge(state="FAILED", reason="JobLaunchFailure", status=Status(0, 53))
    assert found.reason == Reason.START_FAILED
    assert "is the job's folder there, and writable, on the node?" in found.native_reason


def test_begun_once_too_often(one: Folder) -> None:
    one.end(125, "over")
    found = one.judge(state="FAILED", status=Status(125))
    assert found.reason == Reason.NODE_FAILED
    assert "more often than max_restarts allows" in found.native_reason


def test_a_job_that_slurm_has_dropped_ends_by_its_own_record(one: Folder) -> None:
    assert one.see_own_record() is None
    one.put("ended", "0 its", AT)
    assert one.see_own_record() is None, "it is not whole yet"
    one.rank(0, EXITED, 3)
    one.end(3)
    seen = one.see_own_record()
    assert seen is not None and (seen.phase, seen.exit_code) == (Phase.ENDED, 3)
    assert seen.nodes[0].report is not None and seen.nodes[0].report.exit_code == 3


def test_a_report_of_another_rank_is_ignored(three: Folder) -> None:
    three.put("log.0.1", sentinel.report_line(TOKEN, SentinelReport(EXITED, 0, 0)), AT + 15)
    (node,) = three.see().nodes
    assert node.report is None


@pytest.mark.parametrize(
    ("why", "reason"),
    [
        ("Communication connection failure", Reason.NODE_FAILED),
        ("Zero Bytes were transmitted or received", Reason.NODE_FAILED),
        ("Invalid job credential", Reason.START_FAILED),
    ],
)
def test_ranks_that_srun_killed_since_others_could_not_begin(three: Folder, why: str, reason: Reason) -> None:
    """The output of Slurm 22.05 when a node was lost while srun was at its launch."""
    three.rank(0, None)
    three.end(137)
    text = (
        f"srun: error: Task launch for StepId=1.0 failed on node node2: {why}\n"
        f"srun: error: Application launch failed: {why}\n"
        "srun: Job step aborted: Waiting up to 4 seconds for job step to finish.\n"
        "slurmstepd-node0: error: *** STEP 1.0 ON node0 CANCELLED AT 2026-11-24T09:26:32 ***\n"
        "srun: error: node0: task 0: Killed\n"
    )
    three.prints(f"clusterjobs: start 0\n{text}")
    assert three.judge(state="FAILED", status=Status(137)).reason == reason
    three.prints(f"clusterjobs: start 0\n{text}clusterjobs: start 1\n")
    assert three.judge(state="FAILED", status=Status(137)).reason != reason


# The output of Slurm's daemons.

AT_NODE = "slurmstepd-node0: error: *** {what} ON node0 CANCELLED AT 2026-11-24T09:26:32{cause} ***\n"


@pytest.mark.parametrize("ranks", [1, 3])
def test_a_kill_for_memory_of_a_dropped_job_is_known(tmp_path: Path, ranks: int) -> None:
    folder = Folder(tmp_path, ranks)
    folder.start()
    for rank in range(ranks):
        folder.rank(rank, EXITED, 0)
    folder.end(0)
    seen = folder.see_own_record()
    assert seen is not None and seen.reason_hint is None
    folder.prints(f"clusterjobs: start 0\n{OOM}")
    seen = folder.see_own_record()
    assert seen is not None and seen.reason_hint is Reason.OUT_OF_MEMORY
    assert "oom-kill event" in seen.native_reason


def test_the_daemon_reports_kills_for_memory_of_all_starts_together(one: Folder) -> None:
    one.rank(0, EXITED, 137)
    one.start(1)
    one.rank(0, EXITED, 0, start=1)
    one.end(0)
    one.prints(f"clusterjobs: start 0\nclusterjobs: start 1\n{OOM}")
    seen = one.see_own_record()
    assert seen is not None and seen.reason_hint is None


@pytest.mark.parametrize(
    ("what", "cause", "reason"),
    [
        ("JOB 7", "", Reason.CANCELLED),
        ("JOB 7", " DUE TO TIME LIMIT", Reason.MAX_RUNTIME_REACHED),
        ("JOB 7", " DUE TO PREEMPTION", Reason.PREEMPTED),
        ("STEP 7.0", " DUE TO NODE FAILURE, SEE SLURMCTLD LOG FOR DETAILS", Reason.NODE_FAILED),
        ("STEP 7.0", "", None),
        ("JOB 7", " DUE TO JOB REQUEUE", None),
    ],
)
@pytest.mark.parametrize("ended", [True, False])
def test_what_stopped_a_dropped_job_is_read_from_the_node_s_output(
    one: Folder, what: str, cause: str, reason: Reason | None, ended: bool
) -> None:
    one.rank(0, STOPPED)
    if ended:
        one.end(143, "stopped")
    one.prints(f"clusterjobs: start 0\n{AT_NODE.format(what=what, cause=cause)}")
    seen = one.see_own_record()
    if not ended and reason is None:
        assert seen is None, "it may run on, or be queued again"
        return
    assert seen is not None and (seen.phase, seen.reason_hint) == (Phase.ENDED, reason)
    newer = AT_NODE.format(what=what, cause=cause).replace("slurmstepd-node0:", "[2026-11-24T09:26:32.123]")
    one.prints(f"clusterjobs: start 0\n{newer}")
    seen = one.see_own_record()
    assert seen is not None and seen.reason_hint == reason


def test_a_late_stop_does_not_change_the_end_of_a_dropped_job(one: Folder) -> None:
    one.rank(0, EXITED, 3)
    one.end(3)
    one.prints(f"clusterjobs: start 0\n{AT_NODE.format(what='JOB 7', cause='')}")
    seen = one.see_own_record()
    assert seen is not None and (seen.reason_hint, seen.exit_code) == (None, 3)


NOT_BEGUN = [
    "slurmstepd-node0: error: TaskProlog failed status=1",
    "slurmstepd-node0: error: spank: required plugin spank_pyxis.so: task_init() failed with rc=-1",
    "srun: error: task 0 launch failed: Slurmd could not execve job",
    "srun: error: spank: required plugin x.so: local_user_init() failed with rc=-1",
    "slurmstepd-node0: error: execve(): /bin/bash: No such file or directory",
]


@pytest.mark.parametrize("message", NOT_BEGUN)
@pytest.mark.parametrize("code", [0, 1])
def test_a_command_that_could_not_begin_is_a_failed_start(one: Folder, message: str, code: int) -> None:
    one.put("log.0.0", "", AT + 11)
    one.end(code)
    one.prints(f"clusterjobs: start 0\n{message}\n")
    found = one.judge(state="FAILED" if code else "COMPLETED", status=Status(code))
    assert (found.reason, found.exit_code) == (Reason.START_FAILED, None)
    assert message in found.native_reason


@pytest.mark.parametrize("message", NOT_BEGUN)
def test_messages_of_plugins_do_not_outweigh_ranks_that_began(one: Folder, message: str) -> None:
    one.rank(0, EXITED, 3)
    one.end(3)
    one.prints(f"clusterjobs: start 0\n{message}\n")
    assert one.judge(state="FAILED", status=Status(3)).reason == Reason.JOB_FAILED


def test_a_plugin_s_failure_after_the_command_is_not_a_failed_start(one: Folder) -> None:
    one.put("log.0.0", "", AT + 11)
    one.end(1)
    one.prints(
        "clusterjobs: start 0\nslurmstepd: error: spank: required plugin x.so: task_exit() failed with rc=-1\n"
    )
    assert one.see(state="FAILED", status=Status(1)).reason_hint is None


def test_a_failed_prolog_is_a_failed_start_although_slurm_reports_cancelled(tmp_path: Path) -> None:
    folder = Folder(tmp_path, 1)
    assert folder.judge(state="CANCELLED", status=Status(0)).reason == Reason.CANCELLED
    folder.prints("Error running slurm prolog: 1\n")
    found = folder.judge(state="CANCELLED", status=Status(0))
    assert found.reason == Reason.START_FAILED
    assert "Error running slurm prolog" in found.native_reason


def test_a_killed_batch_script_gives_no_rank_its_code(one: Folder) -> None:
    one.rank(0, None)
    found = one.judge(state="FAILED", reason="JobLaunchFailure", status=Status(0, 9))
    assert (found.reason, found.exit_code) == (Reason.UNKNOWN, None)


def test_a_held_job_that_could_not_be_begun_has_ended(tmp_path: Path) -> None:
    folder = Folder(tmp_path, 1)
    folder.prints("Error running slurm prolog: 1\n")
    row = row_of(state="PENDING", reason="launch failed requeued held", started=None, ended=None, nodes="")
    seen = observe_held(folder.job, row, read_record(folder.job.folder), folder.launcher)
    assert (seen.phase, seen.reason_hint, seen.exit_code) == (Phase.ENDED, Reason.START_FAILED, None)
    assert "launch failed requeued held" in seen.native_reason and "prolog" in seen.native_reason


@pytest.mark.parametrize(("state", "suspended"), [("SUSPENDED", True), ("STOPPED", True), ("RUNNING", False)])
def test_a_suspended_job_is_shown_as_such(one: Folder, state: str, suspended: bool) -> None:
    seen = observe_live(one.job, row_of(state=state))
    assert (seen.phase, seen.native_state, seen.suspended) == (Phase.RUNNING, state, suspended)


def test_a_report_of_another_start_is_ignored(one: Folder) -> None:
    one.put("log.0.0", sentinel.report_line(TOKEN, SentinelReport(EXITED, 0, 0, restarts=1)), AT + 15)
    one.end(0)
    assert one.see().nodes[0].report is None
    assert one.judge().reason == Reason.UNKNOWN


def test_the_quoted_output_has_complete_lines() -> None:
    lines = [f"srun: error: node{number}: {'x' * 80}" for number in range(9)]
    assert SlurmLauncherOutput("\n".join(lines)).end == "; ".join(lines[-3:])
    lines[1] = NOT_BEGUN[1]
    assert SlurmLauncherOutput("\n".join(lines)).end == "; ".join([lines[1], *lines[-3:]])


# Logs.


def read(folder: Folder, node: int = 0) -> LogChunk:
    files = folder.job.folder
    return read_rank_log(
        lambda start: files.log(node, start),
        restart=None,
        cursor=None,
        tail=None,
        last=0,
        ended=True,
        must_exist=lambda start: files.has_start(start) and node == 0,
    )


def test_a_log_that_was_never_written_is_empty_and_a_removed_one_has_a_gap(three: Folder) -> None:
    assert read(three, 1) == LogChunk("", [0, 0], complete=True)
    assert read(three).gap == "it was removed"
    (three.path / "start.0").unlink()
    assert read(three) == LogChunk("", [0, 0], complete=True)


@pytest.mark.parametrize("node", [0, 2])
def test_a_folder_that_is_gone_is_not_an_empty_log(tmp_path: Path, node: int) -> None:
    with pytest.raises(BackendError, match="No such file or directory"):
        read(Folder(tmp_path / "gone", 3), node)


def test_a_log_replaced_by_a_fifo_is_not_read(one: Folder) -> None:
    os.mkfifo(one.path / "log.0.0")
    one.end(0)
    assert one.see().nodes[0].report is None
    with pytest.raises(BackendError, match="not a regular file"):
        read(one)
