"""Cancelling: confirmed by polls, never attributed to the product, and nothing is left running."""

from __future__ import annotations

import os
from pathlib import Path

from ...model import ActionKind
from ...model import Observation
from ...model import Outcome
from ...model import OwnAction
from ...model import Phase
from ...model import Reason
from ...model import ReasonClass
from ..cluster import Cluster
from ..cluster import SubmittedJob
from .base import need_nodes
from .base import need_same_host
from .base import need_shared
from .base import need_slots
from .base import Suite


class ControlTests(Suite):
    """``cancel``."""

    def test_a_running_job_is_cancelled(self, cluster: Cluster) -> None:
        job = _running(cluster)
        assert _cancel(cluster, job).reason == Reason.CANCELLED

    def test_a_cancelled_job_is_not_the_product_s_end(self, cluster: Cluster) -> None:
        job = _running(cluster, run="trap 'exit 0' TERM; while :; do sleep 0.1; done")
        cluster.backend.cancel({job.token: job.handle})
        # Judged like a cancel by another program.
        outcome = cluster.end(job)
        assert outcome.reason_class is not ReasonClass.PRODUCT, outcome.detail
        assert outcome.exit_code is None

    def test_a_waiting_job_is_cancelled_and_never_starts(self, cluster: Cluster) -> None:
        slots = need_slots(cluster)
        running = [_running(cluster) for _ in range(slots)]
        queued = cluster.submit("echo reached")
        cluster.wait(queued, until=lambda observation: observation.phase is Phase.PENDING)
        assert _cancel(cluster, queued).reason == Reason.CANCELLED
        cluster.backend.cancel({job.token: job.handle for job in running})
        cluster.wait(*running)
        assert queued.seen[-1].times.started is None
        assert "reached" not in cluster.read(queued).text

    def test_a_job_is_cancelled_right_after_its_submission(self, cluster: Cluster) -> None:
        job = cluster.submit("sleep 600")
        assert _cancel(cluster, job).reason == Reason.CANCELLED

    def test_a_job_is_cancelled_in_its_setup(self, cluster: Cluster) -> None:
        job = cluster.submit("echo reached", setup="sleep 600")
        cluster.wait(job, until=lambda observation: observation.phase is Phase.RUNNING)
        assert _cancel(cluster, job).reason == Reason.CANCELLED
        assert "reached" not in cluster.read(job).text

    def test_a_second_cancel_has_no_effect(self, cluster: Cluster) -> None:
        job = _running(cluster)
        cluster.backend.cancel({job.token: job.handle})
        cluster.backend.cancel({job.token: job.handle})
        cluster.wait(job)
        before = _facts(cluster.wait(job))
        cluster.backend.cancel({job.token: job.handle})
        assert _facts(cluster.wait(job)) == before

    def test_a_cancel_after_the_end_changes_nothing(self, cluster: Cluster) -> None:
        job = cluster.submit("exit 3")
        before = _facts(cluster.wait(job))
        cluster.backend.cancel({job.token: job.handle})
        assert _facts(cluster.wait(job)) == before
        assert cluster.end(job).exit_code == 3

    def test_only_the_named_jobs_are_cancelled(self, cluster: Cluster) -> None:
        cancelled, kept = cluster.submit("sleep 600"), cluster.submit(f"sleep {cluster.seconds(1.5)}; exit 8")
        cluster.backend.cancel({cancelled.token: cancelled.handle})
        cluster.wait(cancelled)
        assert cluster.end(kept).exit_code == 8

    def test_cancelling_no_jobs_is_not_an_error(self, cluster: Cluster) -> None:
        cluster.backend.cancel({})

    def test_another_process_can_cancel(self, cluster: Cluster) -> None:
        job = _running(cluster)
        cluster.open().cancel({job.token: job.handle})
        assert cluster.wait(job).phase is Phase.ENDED

    def test_many_are_cancelled_in_one_call(self, cluster: Cluster) -> None:
        jobs = [cluster.submit("sleep 600") for _ in range(min(20, cluster.harness.many))]
        cluster.backend.cancel({job.token: job.handle for job in jobs})
        cluster.wait(*jobs, seconds=30.0)
        cluster.eventually(lambda: not cluster.backend.sweep(cluster.run_id))

    def test_a_command_that_ignores_term_is_killed(self, cluster: Cluster) -> None:
        run = "trap '' TERM; while :; do sleep 1; done"
        job = _running(cluster, run=run, grace_period=cluster.seconds(1.0))
        assert _cancel(cluster, job).reason == Reason.CANCELLED

    def test_no_process_is_left_after_a_cancel(self, cluster: Cluster) -> None:
        need_same_host(cluster)
        folder = need_shared(cluster)
        run = f"""
            (trap '' TERM; echo $BASHPID >'{folder}/stubborn.pid'; while :; do sleep 1; done) &
            sleep 600 & echo $! >'{folder}/child.pid'
            echo $$ >'{folder}/main.pid'
            wait
        """
        job = cluster.submit(run, grace_period=cluster.seconds(1.0))
        cluster.eventually(lambda: len(_pids(folder)) == 3)
        _cancel(cluster, job)
        cluster.eventually(lambda: not [pid for pid in _pids(folder) if _lives(pid)], 3.0)

    def test_no_process_is_left_after_a_limit(self, cluster: Cluster) -> None:
        need_same_host(cluster)
        folder = need_shared(cluster)
        run = f"sleep 600 & echo $! >'{folder}/child.pid'; echo $$ >'{folder}/main.pid'; wait"
        cluster.run(run, max_runtime=cluster.seconds(1.5), grace_period=cluster.seconds(1.0))
        assert len(_pids(folder)) == 2
        cluster.eventually(lambda: not [pid for pid in _pids(folder) if _lives(pid)], 3.0)

    def test_every_rank_is_cancelled(self, cluster: Cluster) -> None:
        need_nodes(cluster, 2)
        job = _running(cluster, nodes=2)
        assert _cancel(cluster, job).reason == Reason.CANCELLED
        assert cluster.end(job).reason_class is not ReasonClass.PRODUCT


def _running(
    cluster: Cluster, run: str = "sleep 600", nodes: int = 1, grace_period: float = 10.0
) -> SubmittedJob:
    job = cluster.submit(run, nodes=nodes, grace_period=grace_period)
    cluster.wait(job, until=lambda observation: observation.phase is Phase.RUNNING)
    return job


def _cancel(cluster: Cluster, job: SubmittedJob) -> Outcome:
    cluster.backend.cancel({job.token: job.handle})
    return cluster.end(job, seconds=15.0, action=OwnAction(ActionKind.CANCEL, "the test cancelled it"))


def _facts(seen: Observation) -> tuple[object, ...]:
    return seen.phase, seen.reason_hint, seen.exit_code, seen.times.ended, seen.restarts


def _pids(folder: Path) -> list[int]:
    return [int(text) for path in folder.glob("*.pid") if (text := path.read_text().strip())]


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
    except (ProcessLookupError, FileNotFoundError):
        return False
    # A zombie runs nothing; reaping it is up to the machine.
    return not state.split()[0].startswith("Z")
