"""Events on a real Slurm: restarts, lost nodes, old jobs, kills, holds, and another time zone."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from pytest_clusterjobs.backends.protocol import BackendError
from pytest_clusterjobs.devclusters.slurm import SlurmCluster
from pytest_clusterjobs.devclusters.supervisor import wait_until
from pytest_clusterjobs.model import Phase
from pytest_clusterjobs.model import Reason
from pytest_clusterjobs.model import Source
from pytest_clusterjobs.testing import Cluster
from tests.system.slurm.jobs import requeued
from tests.system.slurm.jobs import started

pytestmark = pytest.mark.system

Place = tuple[SlurmCluster, Cluster]


def test_a_controller_that_is_down_does_not_end_jobs(place: Callable[..., Place]) -> None:
    slurm, run = place()
    short, long = started(run, "sleep 1; exit 3"), started(run, "sleep 12")
    slurm.stop_controller()
    time.sleep(2)
    with pytest.raises(BackendError):
        run.poll(short, long)
    slurm.start_controller()
    assert run.end(short, seconds=60).exit_code == 3
    assert run.end(long, seconds=60).reason == Reason.JOB_COMPLETED


def test_a_killed_controller_still_has_its_jobs(place: Callable[..., Place]) -> None:
    slurm, run = place()
    job = started(run, "sleep 12; exit 5")
    # The controller saves its state every few seconds, and ends jobs that it does not know.
    running_at = time.time()
    wait_until(
        lambda: (slurm.folder / "state" / "job_state").stat().st_mtime > running_at + 1,
        "the saved state",
        30.0,
    )
    slurm.kill_controller()
    slurm.start_controller()
    outcome = run.end(job, seconds=60)
    assert (outcome.reason, outcome.exit_code) == (Reason.JOB_FAILED, 5)


def test_a_lost_node_is_node_failed(place: Callable[..., Place]) -> None:
    slurm, run = place(node_timeout=3)
    job = started(run, "sleep 600")
    slurm.kill_node(slurm.job(str(job.handle.job_id))["NodeList"])
    outcome = run.end(job, seconds=120)
    assert (outcome.reason, outcome.exit_code) == (Reason.NODE_FAILED, None), outcome


def test_a_lost_node_of_several_is_node_failed(place: Callable[..., Place]) -> None:
    """The node may be lost before srun has started on it: srun then kills the ranks that have begun."""
    slurm, run = place(node_timeout=3)
    job = started(run, "sleep 600", nodes=2)
    slurm.kill_node(slurm.nodes[1])
    outcome = run.end(job, seconds=120)
    assert (outcome.reason, outcome.exit_code) == (Reason.NODE_FAILED, None), outcome


def test_a_lost_node_is_a_restart_if_one_is_allowed(place: Callable[..., Place]) -> None:
    slurm, run = place(node_timeout=3)
    job = started(run, '[ "$CLUSTERJOBS_RESTARTS" = 1 ] || sleep 600', max_restarts=1)
    slurm.kill_node(slurm.job(str(job.handle.job_id))["NodeList"])
    requeued(slurm, job)
    outcome = run.end(job, seconds=90)
    assert (outcome.reason, outcome.restarts) == (Reason.JOB_COMPLETED, 1)


def test_a_manual_requeue_is_a_restart(place: Callable[..., Place]) -> None:
    slurm, run = place()
    job = started(run, '[ "$CLUSTERJOBS_RESTARTS" = 1 ] || sleep 600', max_restarts=1)
    slurm.run("scontrol", "requeue", str(job.handle.job_id))
    requeued(slurm, job)
    outcome = run.end(job, seconds=90)
    assert (outcome.reason, outcome.restarts) == (Reason.JOB_COMPLETED, 1)


def test_a_user_s_scancel_is_cancelled_and_not_restarted(place: Callable[..., Place]) -> None:
    slurm, run = place()
    for nodes in (1, 2):
        job = started(run, "sleep 600", nodes=nodes, max_restarts=3)
        slurm.run("scancel", str(job.handle.job_id))
        outcome = run.end(job, seconds=60)
        assert (outcome.reason, outcome.restarts) == (Reason.CANCELLED, 0)


@pytest.mark.parametrize("nodes", [1, 2])
def test_too_much_memory_is_out_of_memory(place: Callable[..., Place], nodes: int) -> None:
    slurm, run = place(accounting=True)
    if not slurm.memory_limits:
        pytest.skip("this machine has no memory cgroups to limit with")
    eat = f"{run.harness.python} -c 'bytearray(400 << 20)'"
    outcome = run.run(eat, nodes=nodes, options={"mem": "64M"}, seconds=60)
    assert outcome.reason == Reason.OUT_OF_MEMORY


def test_slurms_own_time_limit_is_a_limit(place: Callable[..., Place]) -> None:
    """Slurm's limits are in minutes and are checked late, so this test waits for more than a minute."""
    slurm, run = place()
    job = started(run, "sleep 600")
    slurm.run("scontrol", "update", f"jobid={job.handle.job_id}", "timelimit=1")
    outcome = run.end(job, seconds=150)
    assert (outcome.reason, outcome.source) == (Reason.MAX_RUNTIME_REACHED, Source.SCHEDULER)
    assert outcome.exit_code is None


def test_a_held_job_is_pending_with_a_reason(place: Callable[..., Place]) -> None:
    slurm, run = place()
    job = run.submit("true", options={"hold": True})
    seen = run.wait(job, until=lambda seen: "Held" in seen.native_reason)
    assert (seen.phase, seen.reason_hint) == (Phase.PENDING, None)
    slurm.run("scontrol", "release", str(job.handle.job_id))
    assert run.end(job, seconds=60).reason == Reason.JOB_COMPLETED


def test_a_partition_that_is_down_is_waited_for(place: Callable[..., Place]) -> None:
    slurm, run = place()
    slurm.set_partition("DOWN")
    job = run.submit("true")
    seen = run.wait(job, until=lambda seen: "Partition" in seen.native_reason)
    assert (seen.phase, seen.reason_hint) == (Phase.PENDING, None)
    slurm.set_partition("UP")
    assert run.end(job, seconds=60).reason == Reason.JOB_COMPLETED


def test_a_job_that_can_never_start_has_a_hint(place: Callable[..., Place]) -> None:
    _, run = place()
    job = run.submit("true", options={"partition": "small"}, max_runtime=3600.0)
    seen = run.wait(job, until=lambda seen: seen.reason_hint is not None)
    assert (seen.phase, seen.reason_hint) == (Phase.PENDING, Reason.REJECTED)
    assert seen.native_reason in ("PartitionConfig", "PartitionTimeLimit")


def test_without_slurmdbd_live_jobs_are_polled_all_the_same(place: Callable[..., Place]) -> None:
    slurm, run = place(accounting=True)
    job = started(run, "sleep 3; exit 4")
    slurm.stop_accounting()
    outcome = run.end(job, seconds=60)
    assert (outcome.reason, outcome.exit_code) == (Reason.JOB_FAILED, 4)
    slurm.start_accounting()


@pytest.mark.parametrize("accounting", [True, False])
def test_a_job_that_slurm_has_dropped_still_has_its_end(
    place: Callable[..., Place], accounting: bool
) -> None:
    slurm, run = place(accounting=accounting, min_job_age=2)
    good, bad = started(run, "sleep 1"), started(run, "sleep 1; exit 6", nodes=2)
    deadline = time.monotonic() + 120
    while slurm.run("squeue", "--noheader", "--states=all").strip():
        assert time.monotonic() < deadline, "Slurm forgets nothing"
        time.sleep(1)
    assert run.end(good, seconds=30).reason == Reason.JOB_COMPLETED
    outcome = run.end(bad, seconds=30)
    assert (outcome.reason, outcome.exit_code) == (Reason.JOB_FAILED, 6)


def test_a_cluster_in_another_time_zone_has_the_same_times(place: Callable[..., Place]) -> None:
    _, run = place(time_zone="Asia/Kathmandu")
    before = time.time()
    outcome = run.run("sleep 1", seconds=60)
    times = outcome.times
    assert times.submitted is not None and times.started is not None and times.ended is not None
    assert before - 2 <= times.submitted <= times.started <= times.ended <= time.time() + 2
