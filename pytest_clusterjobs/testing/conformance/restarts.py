"""Starts of one attempt: the cluster restarts a job as often as allowed, and never without a reason."""

from __future__ import annotations

from ...model import ActionKind
from ...model import OwnAction
from ...model import Phase
from ...model import Reason
from ..cluster import Cluster
from .base import need_nodes
from .base import need_restarts
from .base import need_shared
from .base import Suite

_FAIL_ONCE = 'echo "start $CLUSTERJOBS_RESTARTS"; [ "$CLUSTERJOBS_RESTARTS" -ge 1 ] || exit 9'


class RestartTests(Suite):
    """``max_restarts``."""

    def test_a_job_recovers_by_a_restart(self, cluster: Cluster) -> None:
        need_restarts(cluster)
        outcome = cluster.run(_FAIL_ONCE, max_restarts=2, seconds=30.0)
        assert (outcome.reason, outcome.exit_code, outcome.restarts) == (Reason.JOB_COMPLETED, 0, 1)

    def test_restarts_run_out(self, cluster: Cluster) -> None:
        need_restarts(cluster)
        outcome = cluster.run("exit 9", max_restarts=2, seconds=30.0)
        assert (outcome.reason, outcome.exit_code, outcome.restarts) == (Reason.JOB_FAILED, 9, 2)

    def test_a_job_is_not_restarted_by_default(self, cluster: Cluster) -> None:
        outcome = cluster.run(_FAIL_ONCE)
        assert (outcome.reason, outcome.exit_code, outcome.restarts) == (Reason.JOB_FAILED, 9, 0)

    def test_a_completed_job_is_not_restarted(self, cluster: Cluster) -> None:
        need_restarts(cluster)
        outcome = cluster.run("true", max_restarts=2)
        assert (outcome.reason, outcome.restarts) == (Reason.JOB_COMPLETED, 0)

    def test_a_limit_is_not_restarted(self, cluster: Cluster) -> None:
        need_restarts(cluster)
        outcome = cluster.run("sleep 600", max_restarts=2, max_runtime=cluster.seconds(1.0))
        assert (outcome.reason, outcome.restarts) == (Reason.MAX_RUNTIME_REACHED, 0)

    def test_every_start_has_its_own_run_time(self, cluster: Cluster) -> None:
        need_restarts(cluster)
        run = f"sleep {cluster.seconds(1.0)}; {_FAIL_ONCE}"
        outcome = cluster.run(run, max_restarts=1, max_runtime=cluster.seconds(1.8))
        assert (outcome.reason, outcome.restarts) == (Reason.JOB_COMPLETED, 1), outcome.detail

    def test_a_cancelled_job_is_not_restarted(self, cluster: Cluster) -> None:
        need_restarts(cluster)
        job = cluster.submit("sleep 600", max_restarts=2)
        cluster.wait(job, until=lambda observation: observation.phase is Phase.RUNNING)
        cluster.backend.cancel({job.token: job.handle})
        outcome = cluster.end(job, action=OwnAction(ActionKind.CANCEL, "test"))
        assert (outcome.reason, outcome.restarts) == (Reason.CANCELLED, 0)

    def test_every_node_starts_again(self, cluster: Cluster) -> None:
        need_restarts(cluster)
        need_nodes(cluster, 2)
        folder = need_shared(cluster)
        run = (
            f"touch '{folder}/'$CLUSTERJOBS_NODE_RANK.$CLUSTERJOBS_RESTARTS; "
            '[ "$CLUSTERJOBS_RESTARTS.$CLUSTERJOBS_NODE_RANK" != 0.1 ] || exit 9'
        )
        outcome = cluster.run(run, nodes=2, max_restarts=1, seconds=30.0)
        assert (outcome.reason, outcome.restarts) == (Reason.JOB_COMPLETED, 1)
        assert {path.name for path in folder.glob("?.?")} >= {"0.1", "1.0", "1.1"}

    def test_each_start_has_its_own_log(self, cluster: Cluster) -> None:
        need_restarts(cluster)
        job = cluster.submit(_FAIL_ONCE, max_restarts=1)
        cluster.wait(job, seconds=30.0)
        assert "start 0" in cluster.log(job, restart=0).splitlines()
        last = cluster.log(job).splitlines()
        assert "start 1" in last and "start 0" not in last
