"""The limits that the sentinel enforces: heartbeat, run time, grace period."""

from __future__ import annotations

import pytest

from ...model import Reason
from ..cluster import Cluster
from .base import need_nodes
from .base import Suite

_BEAT = 'touch "$CLUSTERJOBS_HEARTBEAT_FILE"'


class LimitTests(Suite):
    """The limits that end a job that does not end by itself."""

    def test_silence_is_a_heartbeat_timeout(self, cluster: Cluster) -> None:
        outcome = cluster.run("sleep 600", heartbeat_timeout=cluster.seconds(1.0))
        assert (outcome.reason, outcome.exit_code) == (Reason.HEARTBEAT_TIMEOUT, None)

    def test_heartbeats_that_stop_are_a_heartbeat_timeout(self, cluster: Cluster) -> None:
        run = f"for i in 1 2 3; do {_BEAT}; sleep {cluster.seconds(0.5)}; done; sleep 600"
        outcome = cluster.run(run, heartbeat_timeout=cluster.seconds(1.5))
        assert outcome.reason == Reason.HEARTBEAT_TIMEOUT
        assert outcome.heartbeats

    def test_heartbeats_keep_a_job_alive(self, cluster: Cluster) -> None:
        run = f"for i in 1 2 3 4 5 6 7; do {_BEAT}; sleep {cluster.seconds(0.5)}; done"
        outcome = cluster.run(run, heartbeat_timeout=cluster.seconds(2.0))
        assert outcome.reason == Reason.JOB_COMPLETED, outcome.detail
        assert outcome.heartbeats

    def test_only_the_first_rank_needs_heartbeats(self, cluster: Cluster) -> None:
        need_nodes(cluster, 2)
        beating = f"for i in 1 2 3 4 5; do {_BEAT}; sleep {cluster.seconds(0.5)}; done"
        run = f'if [ "$CLUSTERJOBS_NODE_RANK" = 0 ]; then {beating}; else sleep {cluster.seconds(2.5)}; fi'
        outcome = cluster.run(run, nodes=2, heartbeat_timeout=cluster.seconds(1.5))
        assert outcome.reason == Reason.JOB_COMPLETED, outcome.detail

    def test_setup_needs_no_heartbeats(self, cluster: Cluster) -> None:
        setup = f"sleep {cluster.seconds(2.0)}"
        outcome = cluster.run("true", setup=setup, heartbeat_timeout=cluster.seconds(1.0))
        assert outcome.reason == Reason.JOB_COMPLETED, outcome.detail

    def test_a_job_ends_at_its_max_runtime(self, cluster: Cluster) -> None:
        job = cluster.submit("sleep 600", max_runtime=cluster.seconds(1.0))
        outcome = cluster.end(job)
        assert (outcome.reason, outcome.exit_code) == (Reason.MAX_RUNTIME_REACHED, None)
        assert cluster.wait(job).exit_code != 0

    def test_setup_counts_as_run_time(self, cluster: Cluster) -> None:
        run = f"sleep {cluster.seconds(1.0)}"
        outcome = cluster.run(run, setup=run, max_runtime=cluster.seconds(1.5))
        assert outcome.reason == Reason.MAX_RUNTIME_REACHED

    def test_a_limit_during_setup_is_a_failed_start(self, cluster: Cluster) -> None:
        outcome = cluster.run("true", setup="sleep 600", max_runtime=cluster.seconds(1.0))
        assert (outcome.reason, outcome.exit_code) == (Reason.START_FAILED, None)

    @pytest.mark.parametrize("name", ["USR1", "USR2", "ALRM", "HUP"])
    def test_a_signal_is_not_a_limit(self, cluster: Cluster, name: str) -> None:
        run = f"kill -{name} $PPID; sleep {cluster.seconds(1.0)}; exit 5"
        outcome = cluster.run(run, heartbeat_timeout=cluster.seconds(60.0))
        assert outcome.reason in (Reason.UNKNOWN, Reason.JOB_FAILED), outcome.detail

    def test_every_rank_is_stopped_by_the_limit(self, cluster: Cluster) -> None:
        need_nodes(cluster, 2)
        outcome = cluster.run("sleep 600", nodes=2, max_runtime=cluster.seconds(1.0))
        assert outcome.reason == Reason.MAX_RUNTIME_REACHED

    def test_a_command_that_ignores_term_ends_after_its_grace_period(self, cluster: Cluster) -> None:
        outcome = cluster.run(
            "trap '' TERM; while :; do sleep 1; done",
            max_runtime=cluster.seconds(1.0),
            grace_period=cluster.seconds(1.0),
        )
        assert outcome.reason == Reason.MAX_RUNTIME_REACHED
        assert outcome.run_seconds is None or outcome.run_seconds >= cluster.seconds(1.9)

    def test_a_command_may_clean_up_in_its_grace_period(self, cluster: Cluster) -> None:
        job = cluster.submit(
            "trap 'echo cleaned; exit 0' TERM; while :; do sleep 0.1; done",
            max_runtime=cluster.seconds(1.0),
            grace_period=cluster.seconds(10.0),
        )
        # It ended with 0 after the limit was reached, which does not count as completed.
        assert cluster.end(job).reason == Reason.MAX_RUNTIME_REACHED
        assert "cleaned" in cluster.printed(job)
