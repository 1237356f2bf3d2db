"""Jobs that a cluster starts again, and jobs of several ranks that it lets run on when one has failed."""

from __future__ import annotations

from pathlib import Path

from pytest_clusterjobs.backends.protocol import Capabilities
from pytest_clusterjobs.model import ActionKind
from pytest_clusterjobs.model import NodeState
from pytest_clusterjobs.model import Phase
from pytest_clusterjobs.model import Reason
from pytest_clusterjobs.model import SentinelReport
from pytest_clusterjobs.model import SentinelWord
from pytest_clusterjobs.model import Verdict
from pytest_clusterjobs.testing.scripts import Cancelling
from pytest_clusterjobs.testing.scripts import ended
from pytest_clusterjobs.testing.scripts import pending
from pytest_clusterjobs.testing.scripts import restarted
from pytest_clusterjobs.testing.scripts import running
from pytest_clusterjobs.testing.scripts import script
from pytest_clusterjobs.testing.scripts import State
from tests.engine.engine_rig import engine_rig
from tests.engine.engine_rig import entry

HOUR = 3600.0
LETS_RUN = Capabilities(stops_rest=False)


def exited(rank: int, code: int, at: float) -> NodeState:
    return NodeState(rank, code, at, SentinelReport(SentinelWord.EXITED, rank, code))


def stopped(rank: int, at: float) -> NodeState:
    return NodeState(rank, 143, at, SentinelReport(SentinelWord.STOPPED, rank))


FAILED = State(Phase.RUNNING, "RUNNING", nodes=(NodeState(1, 5, ended=100.0),))
"""Rank 1 has failed, and nobody minds."""
STOPPED = ended(None, hint=Reason.CANCELLED, nodes=[stopped(0, 200.0), exited(1, 5, 100.0)])


def test_waiting_to_be_started_again_is_neither_queueing_since_the_submission_nor_running(
    tmp_path: Path,
) -> None:
    life = script(
        running(),
        (5 * HOUR, pending("Host EC2 terminated")),
        (8 * HOUR, restarted()),
        (9 * HOUR, ended(0)),
    )
    with engine_rig(tmp_path / "l.sqlite", {"a": life}) as rig:
        job = entry("a", max_runtime=5.5 * HOUR, queue_timeout=4 * HOUR, max_restarts=1)
        assert rig.finish(job)["a"].judgement.verdict is Verdict.PASSED


def test_a_job_that_is_never_started_again_is_a_queue_timeout(tmp_path: Path) -> None:
    life = script(running(), (HOUR, pending("no capacity")))
    with engine_rig(tmp_path / "l.sqlite", {"a": life}) as rig:
        result = rig.finish(entry("a", queue_timeout=2 * HOUR, max_restarts=1))["a"]
        assert result.outcome.reason == Reason.QUEUE_TIMEOUT
        assert 3 * HOUR <= rig.clock.monotonic() < 3.2 * HOUR


def test_the_rest_is_stopped_when_a_rank_has_failed(tmp_path: Path) -> None:
    life = script(running(), (100, FAILED), cancelling=Cancelling(then=STOPPED))
    with engine_rig(tmp_path / "l.sqlite", {"a": life}, capabilities=LETS_RUN) as rig:
        outcome = rig.finish(entry("a", nodes=2))["a"].outcome
        assert (outcome.reason, outcome.exit_code, outcome.first_failing_node) == (Reason.JOB_FAILED, 5, 1)
        assert outcome.action is not None and outcome.action.kind is ActionKind.STOP_REST
        assert rig.clock.monotonic() < 200


def test_where_the_job_may_be_started_again_the_others_have_time_to_fail(tmp_path: Path) -> None:
    life = script(running(), (100, FAILED), (120, restarted()), (200, ended(0)))
    with engine_rig(tmp_path / "l.sqlite", {"a": life}, capabilities=LETS_RUN) as rig:
        outcome = rig.finish(entry("a", nodes=2, max_restarts=1))["a"].outcome
        assert (outcome.reason, outcome.restarts, outcome.action) == (Reason.JOB_COMPLETED, 1, None)


def test_the_others_do_not_have_that_time_for_ever(tmp_path: Path) -> None:
    life = script(running(), (100, FAILED), cancelling=Cancelling(then=STOPPED))
    with engine_rig(tmp_path / "l.sqlite", {"a": life}, capabilities=LETS_RUN) as rig:
        outcome = rig.finish(entry("a", nodes=2, max_restarts=1))["a"].outcome
        assert outcome.exit_code == 5
        assert 160 <= rig.clock.monotonic() < 260


def test_a_cluster_that_stops_the_rest_itself_is_left_alone(tmp_path: Path) -> None:
    life = script(running(), (100, FAILED), (130, ended(5, nodes=[stopped(0, 130.0), exited(1, 5, 100.0)])))
    with engine_rig(tmp_path / "l.sqlite", {"a": life}) as rig:
        outcome = rig.finish(entry("a", nodes=2))["a"].outcome
        assert (outcome.exit_code, outcome.action) == (5, None)


def test_a_fact_that_comes_while_logs_settle_is_taken_and_no_other_after_it(tmp_path: Path) -> None:
    life = script(
        running(),
        (10, ended(2, word=None)),
        (20, ended(2, word=None, hint=Reason.START_FAILED, native_reason="the command never ran")),
        (30, ended(2, word=None, hint=Reason.PREEMPTED)),
        log_after=None,
    )
    with engine_rig(tmp_path / "l.sqlite", {"a": life}, capabilities=Capabilities(log_settle=60.0)) as rig:
        outcome = rig.finish(entry("a"))["a"].outcome
        assert (outcome.reason, outcome.native_reason) == (Reason.START_FAILED, "the command never ran")
