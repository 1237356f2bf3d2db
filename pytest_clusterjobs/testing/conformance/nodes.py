"""Jobs of several nodes: what each rank sees, and which rank's end decides."""

from __future__ import annotations

import shlex

import pytest

from ...model import Reason
from ..cluster import Cluster
from ..cluster import SubmittedJob
from .base import need_nodes
from .base import Suite

_RANK = "$CLUSTERJOBS_NODE_RANK"

_MEETING = """
import os, socket, time
rank, nodes = int(os.environ["CLUSTERJOBS_NODE_RANK"]), int(os.environ["CLUSTERJOBS_NUM_NODES"])
where = os.environ["CLUSTERJOBS_MASTER_ADDR"], int(os.environ["CLUSTERJOBS_MASTER_PORT"])
if rank == 0:
    with socket.create_server(where) as server:
        server.settimeout(60)
        print("met", sorted(server.accept()[0].recv(9) for _ in range(nodes - 1)))
else:
    for _ in range(600):
        try:
            connection = socket.create_connection(where, 5)
            break
        except OSError:
            time.sleep(0.1)
    connection.sendall(b"rank %d" % rank)
    print("spoke")
"""


class NodeTests(Suite):
    """Multi-node jobs."""

    def test_every_rank_knows_the_job(self, cluster: Cluster) -> None:
        need_nodes(cluster, 3)
        job = cluster.submit("env | grep ^CLUSTERJOBS_; wc -l <$CLUSTERJOBS_HOSTFILE", nodes=3)
        assert cluster.end(job).reason == Reason.JOB_COMPLETED
        seen = [_variables(cluster, job, rank) for rank in range(3)]
        assert [each["CLUSTERJOBS_NODE_RANK"] for each in seen] == ["0", "1", "2"]
        assert {each["CLUSTERJOBS_NUM_NODES"] for each in seen} == {"3"}
        for shared in ("CLUSTERJOBS_MASTER_ADDR", "CLUSTERJOBS_MASTER_PORT", "CLUSTERJOBS_RUN_ID"):
            assert len({each[shared] for each in seen}) == 1
        assert all("3" in [line.strip() for line in cluster.printed(job, node=rank)] for rank in range(3))

    def test_ranks_reach_the_master_address(self, cluster: Cluster) -> None:
        need_nodes(cluster, 3)
        job = cluster.submit(f"{shlex.quote(cluster.harness.python)} -c '{_MEETING}'", nodes=3)
        outcome = cluster.end(job, seconds=60.0)
        assert outcome.reason == Reason.JOB_COMPLETED, outcome.detail
        assert "met [b'rank 1', b'rank 2']" in cluster.printed(job)

    @pytest.mark.parametrize("rank", [0, 1, 2])
    def test_the_rank_that_failed_decides(self, cluster: Cluster, rank: int) -> None:
        need_nodes(cluster, 3)
        run = f"if [ {_RANK} = {rank} ]; then exit 5; fi; sleep {cluster.seconds(1.0)}"
        outcome = cluster.run(run, nodes=3)
        assert (outcome.reason, outcome.exit_code, outcome.first_failing_node) == (
            Reason.JOB_FAILED,
            5,
            rank,
        )

    def test_the_first_of_two_failures_decides(self, cluster: Cluster) -> None:
        need_nodes(cluster, 3)
        pause = cluster.seconds(1.5)
        run = f"case {_RANK} in 0) sleep {pause}; exit 4;; 1) sleep {2 * pause};; 2) exit 5;; esac"
        outcome = cluster.run(run, nodes=3)
        assert (outcome.exit_code, outcome.first_failing_node) == (5, 2)

    def test_a_job_has_not_ended_while_a_rank_runs(self, cluster: Cluster) -> None:
        need_nodes(cluster, 2)
        run = f"if [ {_RANK} = 1 ]; then sleep {cluster.seconds(1.5)}; echo last word; fi"
        job = cluster.submit(run, nodes=2)
        assert cluster.end(job).reason == Reason.JOB_COMPLETED
        assert "last word" in cluster.printed(job, node=1)

    def test_a_rank_without_a_report_is_never_completed(self, cluster: Cluster) -> None:
        need_nodes(cluster, 2)
        if cluster.harness.silence is None:
            pytest.skip("the harness has no command that ends a sentinel (silence)")
        # On some clusters no process is left to stop the command: it has to end by itself.
        run = f"if [ {_RANK} = 1 ]; then {cluster.harness.silence}; sleep {cluster.seconds(3.0)}; fi"
        grace, limit = cluster.seconds(1.0), cluster.seconds(20.0)
        job = cluster.submit(run, nodes=2, grace_period=grace, max_runtime=limit)
        outcome = cluster.end(job, seconds=30.0)
        assert outcome.reason != Reason.JOB_COMPLETED, outcome.detail

    def test_every_rank_has_its_own_log(self, cluster: Cluster) -> None:
        need_nodes(cluster, 2)
        job = cluster.submit(f"echo I am {_RANK}", nodes=2)
        cluster.wait(job)
        for rank in range(2):
            printed = [line for line in cluster.printed(job, node=rank) if line.startswith("I am")]
            assert printed == [f"I am {rank}"]

    def test_the_log_of_a_rank_that_does_not_exist_is_empty(self, cluster: Cluster) -> None:
        job = cluster.submit("echo word")
        cluster.wait(job)
        assert "word" in cluster.printed(job)
        assert cluster.log(job, node=1) == ""
        assert job.backend.logs(job.handle, node=1, tail=1000).text == ""


def _variables(cluster: Cluster, job: SubmittedJob, rank: int) -> dict[str, str]:
    lines = cluster.printed(job, node=rank)
    return dict(line.split("=", 1) for line in lines if line.startswith("CLUSTERJOBS_"))
