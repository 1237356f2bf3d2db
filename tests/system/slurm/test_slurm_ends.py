"""Ends on a real Slurm that are caused by policies of the site, by users, and by other ranks."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from pytest_clusterjobs.backends.slurm import commands
from pytest_clusterjobs.devclusters.slurm import SlurmClient
from pytest_clusterjobs.devclusters.slurm import SlurmCluster
from pytest_clusterjobs.model import ActionKind
from pytest_clusterjobs.model import OwnAction
from pytest_clusterjobs.model import Phase
from pytest_clusterjobs.model import Reason
from pytest_clusterjobs.model import SentinelWord
from pytest_clusterjobs.testing import Cluster
from pytest_clusterjobs.testing import SubmittedJob
from tests.system.slurm.jobs import requeued
from tests.system.slurm.jobs import started

pytestmark = pytest.mark.system

Place = tuple[SlurmCluster, Cluster]

URGENT = """
PreemptType=preempt/partition_prio
PreemptMode={mode}
PartitionName=urgent Nodes=ALL PriorityTier=9 MaxTime=INFINITE State=UP
"""
WHOLE = {"exclusive": True}


def preempt(slurm: SlurmCluster) -> str:
    return slurm.submit("sleep 2", "--partition=urgent", "--exclusive")


@pytest.mark.parametrize("mode", ["CANCEL", "REQUEUE"])
def test_capacity_that_is_taken_away_is_preempted(place: Callable[..., Place], mode: str) -> None:
    slurm, run = place(nodes=1, extra=URGENT.format(mode=mode))
    job = started(run, "sleep 600", options=WHOLE)
    preempt(slurm)
    assert run.end(job, seconds=90).reason == Reason.PREEMPTED


def test_capacity_that_is_taken_away_and_given_back_is_a_restart(place: Callable[..., Place]) -> None:
    slurm, run = place(nodes=1, extra=URGENT.format(mode="REQUEUE"))
    job = started(run, '[ "$CLUSTERJOBS_RESTARTS" = 1 ] || sleep 600', options=WHOLE, max_restarts=1)
    slurm.wait_for(preempt(slurm), "COMPLETED", timeout=60)
    requeued(slurm, job)
    outcome = run.end(job, seconds=90)
    assert (outcome.reason, outcome.restarts) == (Reason.JOB_COMPLETED, 1)


@pytest.mark.parametrize("setting", ["RequeueExit=3", "RequeueExitHold=3"])
def test_a_site_that_requeues_failed_jobs_does_not_hide_their_end(
    place: Callable[..., Place], setting: str
) -> None:
    slurm, run = place(extra=setting)
    before = time.monotonic()
    job = run.submit("exit 3", max_restarts=1)
    outcome = run.end(job, seconds=60)
    assert (outcome.reason, outcome.exit_code, outcome.restarts) == (Reason.JOB_FAILED, 3, 1)
    assert time.monotonic() - before < 90, "Slurm would let it wait for two minutes"
    slurm.wait_for(str(job.handle.job_id), "CANCELLED", "FAILED")
    assert run.backend.sweep(run.run_id) == {}


def test_a_job_that_is_started_too_often_does_nothing(place: Callable[..., Place]) -> None:
    slurm, run = place()
    job = started(run, "sleep 600", max_restarts=1)
    for restart in (1, 2):
        slurm.run("scontrol", "requeue", str(job.handle.job_id))
        requeued(slurm, job, restart)
        if restart == 1:
            run.wait(job, until=lambda seen: seen.phase is Phase.RUNNING and seen.restarts == 1, seconds=60)
    outcome = run.end(job, seconds=60)
    assert (outcome.reason, outcome.restarts) == (Reason.NODE_FAILED, 1)
    assert "more often than max_restarts allows" in outcome.native_reason


def test_ranks_that_outlive_a_completed_main_rank_are_stopped(run: Cluster) -> None:
    job = run.submit('[ "$CLUSTERJOBS_NODE_RANK" = 0 ] || sleep 600', nodes=3)
    outcome = run.end(job, seconds=60)
    assert (outcome.reason, outcome.exit_code) == (Reason.JOB_COMPLETED, 0), outcome.detail
    assert [node.stopped_by_cluster for node in outcome.nodes] == [False, True, True]
    assert job.seen[-1].exit_code == 0


@pytest.mark.parametrize("rank", [0, 1])
def test_slurm_s_own_commands_show_the_code_of_the_rank_that_failed(
    run: Cluster, slurm: SlurmClient, rank: int
) -> None:
    job = run.submit(f'[ "$CLUSTERJOBS_NODE_RANK" = {rank} ] || sleep 600; sleep 1; exit 9', nodes=3)
    outcome = run.end(job)
    assert (outcome.exit_code, outcome.first_failing_node) == (9, rank)
    assert slurm.job(str(job.handle.job_id))["ExitCode"] == "9:0"


# Cancelling.


def cancelled(run: Cluster, job: SubmittedJob) -> None:
    run.backend.cancel({job.token: job.handle})
    outcome = run.end(job, seconds=30, action=OwnAction(ActionKind.CANCEL, "the test"))
    assert outcome.reason == Reason.CANCELLED
    assert job.seen[-1].native_state.startswith("CANCELLED")
    run.eventually(lambda: job.token not in run.backend.sweep(run.run_id))


def test_jobs_that_are_held_or_not_due_are_cancelled(run: Cluster) -> None:
    for options in (
        {"hold": True},
        {"begin": "now+1hour"},
        {"dependency": "singleton", "begin": "now+1hour"},
    ):
        job = run.submit("true", options=options)
        run.wait(job, until=lambda seen: seen.native_state == "PENDING")
        assert job.token in run.backend.sweep(run.run_id)
        cancelled(run, job)
        assert job.seen[-1].times.started is None


def test_a_suspended_job_is_running_and_can_be_cancelled(place: Callable[..., Place]) -> None:
    slurm, run = place()
    job = started(run, "sleep 600")
    slurm.run("scontrol", "suspend", str(job.handle.job_id))
    seen = run.wait(job, until=lambda seen: seen.native_state == "SUSPENDED")
    assert seen.phase is Phase.RUNNING
    assert job.token in run.backend.sweep(run.run_id)
    cancelled(run, job)


def test_a_job_array_with_a_token_for_its_name_is_one_job(run: Cluster, slurm: SlurmClient) -> None:
    job = run.submit("true")
    run.wait(job)
    token = run.token()
    array = slurm.submit("sleep 600", f"--job-name={token}", "--array=1-3%2")
    swept: dict[str, str | None] = {}

    def listed() -> bool:
        swept.update({name: handle.job_id for name, handle in run.backend.sweep(run.run_id).items()})
        return token in swept

    run.eventually(listed)
    assert swept == {token: array}
    handle = run.backend.sweep(run.run_id)[token]
    run.backend.cancel({token: handle})
    run.eventually(lambda: not slurm.run("squeue", "--noheader", f"--name={token}").strip())


def test_a_cancel_gives_every_rank_time_to_clean_up(run: Cluster) -> None:
    command = "trap 'sleep 0.5; echo cleaned; exit 0' TERM; while :; do sleep 0.1; done"
    for nodes in (1, 2):
        job = started(run, command, nodes=nodes)
        time.sleep(1.0)  # The trap must be set first.
        cancelled(run, job)
        words = [node.report.word for node in job.seen[-1].nodes if node.report is not None]
        assert words == [SentinelWord.STOPPED] * nodes
        assert all("cleaned" in run.printed(job, node=rank) for rank in range(nodes))


# The number of commands.


def test_one_poll_is_one_command_for_any_number_of_jobs(
    run: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [started(run, "sleep 3") for _ in range(5)]
    started_commands: list[str] = []
    ordinary = commands._run

    def counting(command: list[str], *rest: object) -> object:
        started_commands.append(command[0])
        return ordinary(command, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(commands, "_run", counting)
    assert len(run.poll(*jobs)) == 5
    assert started_commands == ["squeue"]
    run.wait(*jobs)
    assert set(started_commands) == {"squeue"}, "ends do not need sacct"
