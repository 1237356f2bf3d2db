"""What the core concludes from answers that are old, incomplete or contradictory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import count

import pytest

from pytest_clusterjobs.backends.protocol import Capabilities
from pytest_clusterjobs.backends.protocol import NotSubmitted
from pytest_clusterjobs.backends.protocol import Unknown
from pytest_clusterjobs.engine.attempt import Cancellation
from pytest_clusterjobs.engine.breaker import REFUSAL_VALID_SECONDS
from pytest_clusterjobs.engine.breaker import SubmissionBreaker
from pytest_clusterjobs.engine.messages import AnyEvent
from pytest_clusterjobs.engine.messages import CallFailed
from pytest_clusterjobs.engine.messages import Cancel
from pytest_clusterjobs.engine.messages import CancelAnswered
from pytest_clusterjobs.engine.messages import CancelCells
from pytest_clusterjobs.engine.messages import Command
from pytest_clusterjobs.engine.messages import Commit
from pytest_clusterjobs.engine.messages import Committed
from pytest_clusterjobs.engine.messages import Find
from pytest_clusterjobs.engine.messages import LedgerRead
from pytest_clusterjobs.engine.messages import Listed
from pytest_clusterjobs.engine.messages import ListJobs
from pytest_clusterjobs.engine.messages import LogsRead
from pytest_clusterjobs.engine.messages import Looked
from pytest_clusterjobs.engine.messages import Opened
from pytest_clusterjobs.engine.messages import PollJobs
from pytest_clusterjobs.engine.messages import ReadLedger
from pytest_clusterjobs.engine.messages import ReadLogs
from pytest_clusterjobs.engine.messages import Resumed
from pytest_clusterjobs.engine.messages import Settle
from pytest_clusterjobs.engine.messages import Stop
from pytest_clusterjobs.engine.messages import SubmitterGone
from pytest_clusterjobs.engine.messages import Tick
from pytest_clusterjobs.engine.outbox import COMMIT_TIMEOUT_SECONDS
from pytest_clusterjobs.engine.policy import Policy
from pytest_clusterjobs.engine.tracking import CANCEL_COMMIT_WAIT_SECONDS
from pytest_clusterjobs.model import ActionKind
from pytest_clusterjobs.model import Expectation
from pytest_clusterjobs.model import Handle
from pytest_clusterjobs.model import NodeState
from pytest_clusterjobs.model import Observation
from pytest_clusterjobs.model import OwnAction
from pytest_clusterjobs.model import Phase
from pytest_clusterjobs.model import Reason
from pytest_clusterjobs.model import SentinelReport
from pytest_clusterjobs.model import SentinelWord
from pytest_clusterjobs.model import Times
from pytest_clusterjobs.model import Verdict
from pytest_clusterjobs.model.records import Attempt
from tests.engine.engine_rig import entry
from tests.engine.test_core import ABSENT
from tests.engine.test_core import Answer
from tests.engine.test_core import CoreRig
from tests.engine.test_core import ended
from tests.engine.test_core import EPOCH
from tests.engine.test_core import KILL
from tests.engine.test_core import NAME
from tests.engine.test_core import PENDING
from tests.engine.test_core import poll_fails
from tests.engine.test_core import resumed
from tests.engine.test_core import RUNNING
from tests.engine.test_core import silent
from tests.engine.test_core import STOPPED
from tests.engine.test_core import token

ONE_FAILED = replace(RUNNING, nodes=(NodeState(0, 3, ended=EPOCH), NodeState(1)))
RESTS_ON = Capabilities(stops_rest=False)


def exited(rank: int, code: int, restarts: int = 0) -> NodeState:
    return NodeState(rank, report=SentinelReport(SentinelWord.EXITED, rank, code, restarts), begun=True)


# A rank that failed while the others run.


def test_old_answers_do_not_delay_the_stop_of_the_other_ranks() -> None:
    rig = CoreRig(entry("a", nodes=2, max_restarts=1), can=RESTS_ON)
    for at in range(5, 120, 5):
        rig.shown[token("a")] = ONE_FAILED if at % 20 else RUNNING
        rig.until(float(at))
    assert rig.times(Cancel)


REQUEUED = replace(PENDING, times=Times(EPOCH, EPOCH), native_state="REQUEUED")


def test_old_answers_about_a_start_that_is_over_stop_no_job_that_waits_for_the_next_one() -> None:
    rig = CoreRig(entry("a", nodes=2, max_restarts=1), can=RESTS_ON)
    for at in range(5, 200, 5):
        rig.shown[token("a")] = REQUEUED if at % 25 else ONE_FAILED
        rig.until(float(at))
    assert rig.times(Cancel) == []


def test_single_answers_that_a_job_is_pending_do_not_delay_the_stop_of_the_other_ranks() -> None:
    rig = CoreRig(entry("a", nodes=2, max_restarts=1), can=RESTS_ON)
    polls = count()

    def every_fifth(command: PollJobs) -> Sequence[AnyEvent]:
        rig.shown[token("a")] = ONE_FAILED if next(polls) % 5 else REQUEUED
        return rig.polled(command)

    rig.answers[PollJobs] = every_fifth
    rig.until(150.0)
    assert rig.times(Cancel)


def test_a_job_that_is_missing_is_not_stopped_for_a_rank_that_has_failed() -> None:
    """The cluster may have started it again."""
    rig = CoreRig(entry("a", nodes=2, max_restarts=1), can=RESTS_ON)
    rig.answers[ListJobs] = lambda command: [Listed(NAME, {token("a"): Handle("1")})]
    rig.shown[token("a")] = ONE_FAILED
    rig.until(30.0)
    rig.shown[token("a")] = ABSENT
    rig.until(120.0)
    assert rig.times(Cancel) == []


@pytest.mark.parametrize("silent_command", [Commit, Cancel])
def test_a_restart_before_the_request_retracts_the_stop_of_the_other_ranks(
    silent_command: type[Command],
) -> None:
    """Either the record of the action is under way, or the first request has failed."""
    failing: dict[type[Command], Answer] = {
        Commit: silent,
        Cancel: lambda command: [CancelAnswered(NAME, tuple(command.handles), "503")],
    }
    rig = CoreRig(entry("a", nodes=2, max_restarts=1), can=RESTS_ON)
    rig.shown[token("a")] = ONE_FAILED
    rig.until(30.0)
    rig.answers[silent_command] = failing[silent_command]
    attempts = rig.core.state.attempts
    while attempts[token("a")].action is None:
        rig.until(rig.at + 0.5)
    rig.shown[token("a")] = replace(RUNNING, restarts=1)
    rig.until(rig.at + 1.5)
    assert attempts[token("a")].action is None
    assert attempts[token("a")].cancellation is Cancellation.NONE


def test_a_kill_leaves_the_verdict_on_stopped_ranks_to_a_check() -> None:
    action = OwnAction(ActionKind.STOP_REST, "rank 0 has failed, the others still run", EPOCH)
    attempt = Attempt(token("a"), "m.yaml::a", 1, EPOCH, submitted=EPOCH, handle=Handle("1"), action=action)
    cells = [(1, entry("a", nodes=2))]
    rig = CoreRig(policy=KILL, answers={ReadLedger: lambda command: [LedgerRead(cells, [attempt])]})
    rig.core.adoption.begin([NAME])
    rig.give(Tick())
    rig.shown[token("a")] = STOPPED
    rig.give(SubmitterGone())
    rig.until(10.0)
    rig.give(Settle())
    assert not rig.has_result()


# Refused submissions.


def test_a_refusal_counts_only_until_the_next_try_could_have_had_an_answer() -> None:
    """The run's own ``max_jobs`` may let nothing be tried for an hour."""
    (job,) = CoreRig(entry("a")).core.state.attempts.values()
    breaker = SubmissionBreaker()
    for at in (0.0, 70.0):
        breaker.refused(job, "too many jobs", at, holds_jobs=False)
    breaker.defer(job, 0.0)
    breaker.refused(job, "too many jobs", 3600.0, holds_jobs=False)
    assert breaker.waited(job, 3600.0) == 70.0 + REFUSAL_VALID_SECONDS


# Records of a job that the cluster does not show any more.


def test_records_of_two_starts_are_no_end() -> None:
    nodes = (exited(0, 0), exited(1, 3), exited(2, 0, restarts=1))
    rig = CoreRig(entry("a", nodes=3, max_restarts=1))
    rig.answers[ReadLogs] = lambda command: [
        LogsRead(NAME, command.token, replace(command.seen, nodes=nodes))
    ]
    rig.until(10.0)
    rig.shown[token("a")] = ABSENT
    rig.until(400.0)
    assert rig.result().outcome.reason is Reason.LOST


def test_a_job_that_waited_to_be_started_again_has_not_ended_in_the_start_before() -> None:
    rig = CoreRig(entry("a", max_restarts=1))
    rig.answers[ReadLogs] = lambda command: [
        LogsRead(NAME, command.token, replace(command.seen, nodes=(exited(0, 3),)))
    ]
    rig.shown[token("a")] = replace(PENDING, times=Times(started=EPOCH))
    rig.until(10.0)
    rig.shown[token("a")] = ABSENT
    rig.until(400.0)
    assert rig.result().outcome.reason is Reason.LOST


def test_the_records_of_a_missing_job_are_read_again() -> None:
    """The reports that polls have shown may be those of an earlier start."""
    rig = CoreRig(entry("a", nodes=2, max_restarts=1))
    rig.shown[token("a")] = replace(RUNNING, nodes=(exited(0, 3), NodeState(1)))
    rig.until(10.0)
    rig.shown[token("a")] = ABSENT
    rig.until(30.0)
    assert [node.report for node in rig.last(ReadLogs).seen.nodes] == [None, None]


# Cancels.


def test_a_poll_that_fails_does_not_make_a_cancel_overtake_its_record() -> None:
    rig = CoreRig(entry("a"))
    rig.shown[token("a")] = RUNNING
    rig.until(10.0)
    rig.answers |= {Commit: silent, PollJobs: poll_fails}
    rig.give(Stop())
    rig.until(10.0 + CANCEL_COMMIT_WAIT_SECONDS - 0.1)
    assert rig.times(Cancel) == []
    rig.give(Committed())
    assert rig.times(Cancel) != []


def test_one_list_that_lacks_a_cancelled_job_is_no_end() -> None:
    rig = CoreRig(entry("a"))
    rig.shown[token("a")] = RUNNING
    rig.until(10.0)
    rig.give(Stop())
    rig.shown[token("a")] = ABSENT
    rig.until(12.0)
    rig.answers[ListJobs] = silent
    rig.give(Listed(NAME, {}))
    rig.until(60.0)
    assert not rig.has_result()


# Limits that the cluster's own times contradict.


def test_a_job_that_had_started_in_time_did_not_wait_too_long() -> None:
    rig = CoreRig(entry("a", queue_timeout=100.0))
    rig.shown[token("a")] = PENDING
    rig.until(105.0)
    assert rig.times(Cancel) != []
    times = Times(EPOCH, EPOCH + 14.0, EPOCH + 48.0)
    rig.shown[token("a")] = replace(ended(0), times=times)
    rig.until(130.0)
    assert rig.result().outcome.reason is Reason.JOB_COMPLETED


def test_a_job_that_is_suspended_right_after_its_start_waits_from_then_on() -> None:
    rig = CoreRig(entry("a", queue_timeout=100.0))
    rig.shown[token("a")] = PENDING
    rig.until(95.0)
    rig.shown[token("a")] = replace(RUNNING, suspended=True, times=Times(EPOCH, EPOCH + 94.0))
    rig.until(150.0)
    assert rig.times(Cancel) == []


def test_a_suspension_and_the_wait_for_another_start_are_two_waits() -> None:
    rig = CoreRig(entry("a", queue_timeout=100.0, max_restarts=1))
    times = Times(EPOCH, EPOCH + 1.0)
    rig.shown[token("a")] = replace(RUNNING, suspended=True, times=times)
    rig.until(90.0)
    rig.shown[token("a")] = replace(PENDING, times=times)
    rig.until(150.0)
    assert rig.times(Cancel) == []
    rig.until(210.0)
    assert rig.times(Cancel) != []


def test_a_cause_that_the_cluster_names_counts_if_the_limit_was_not_reached() -> None:
    rig = CoreRig(entry("a", max_runtime=100.0))
    rig.shown[token("a")] = RUNNING
    rig.until(300.0)
    assert rig.times(Cancel) != []
    times = Times(EPOCH, EPOCH, EPOCH + 17.0)
    rig.shown[token("a")] = replace(STOPPED, times=times, reason_hint=Reason.OUT_OF_MEMORY)
    rig.until(320.0)
    assert rig.result().outcome.reason is Reason.OUT_OF_MEMORY


# Who has cancelled a job.


@pytest.mark.parametrize(
    ("incomplete", "is_recorded", "verdict"),
    [
        (False, False, Verdict.PASSED),
        (True, False, Verdict.ERROR),
        (True, True, Verdict.PASSED),
    ],
)
def test_a_cancelled_job_passes_only_if_no_earlier_session_may_have_cancelled_it(
    incomplete: bool, is_recorded: bool, verdict: Verdict
) -> None:
    """A cancellation does not wait for a ledger that hangs, and its session may die before the record."""
    cell = entry("a", expect=Expectation((Reason.CANCELLED,)))
    seen = Observation(Phase.ENDED, reason_hint=Reason.CANCELLED, log_complete=True)
    attempt = Attempt(token("a"), cell.key, 1, EPOCH, submitted=EPOCH, handle=Handle("7"))
    rig = CoreRig(policy=Policy.session(submits=True, follows_up=True, resumes=True))
    rig.shown[token("a")] = seen
    rig.give(Opened(NAME, Capabilities(), False))
    # An action is written before the end that it causes.
    attempt = replace(attempt, observation=seen if is_recorded else RUNNING)
    rig.give(Resumed([cell], {}, {cell.key: [attempt]}, incomplete=incomplete))
    rig.until(100.0)
    assert rig.result().judgement.verdict is verdict
    assert rig.result().outcome.reason is Reason.CANCELLED
    assert ("may have cancelled the job itself" in str(rig.result().judgement)) == (verdict is Verdict.ERROR)


# Tokens.


def test_the_token_of_a_replaced_attempt_is_never_used_again() -> None:
    """The session that recorded it may only be stopped, and submit it when it continues."""
    rig = resumed()
    rig.until(5.0)
    assert rig.submitted() == [token("a", 2)]
    replaced = rig.core.state.replaced
    assert replaced == {"m.yaml::a": 1}
    later = CoreRig(policy=Policy.session(submits=True, follows_up=True, resumes=True))
    later.give(Opened(NAME, Capabilities(), False))
    later.give(Resumed([entry("a")], {}, {}, replaced=replaced))
    assert later.submitted() == [token("a", 2)]


def test_an_attempt_that_a_resume_withdraws_keeps_its_token() -> None:
    """The session that recorded it may only be stopped, and submit it when it continues."""
    unanswered: tuple[type[Command], Answer] = (Find, silent)
    rig = resumed(unanswered)
    rig.until(5.0)
    rig.give(CancelCells(("m.yaml::a",), "a request"))
    rig.give(Looked(NAME, token("a"), NotSubmitted()))
    batches = [command.batch for _, command in rig.given if isinstance(command, Commit)]
    assert rig.result().judgement.verdict is Verdict.NOT_RUN
    assert [each for batch in batches for each in batch.deleted] == []
    assert [each for batch in batches for each, _ in batch.ended] == [token("a")]


def test_a_deadline_that_lies_in_a_stop_of_the_process_is_put_off() -> None:
    """Nothing else is due in that time, and the process continues only a moment after the deadline."""
    rig = CoreRig(entry("a"), answers={Commit: silent})
    rig.until(5.0)
    rig.stop(COMMIT_TIMEOUT_SECONDS)
    assert rig.core.broken is None
    rig.until(rig.at + 2 * COMMIT_TIMEOUT_SECONDS)
    assert rig.core.broken is not None


def test_the_verdict_on_a_missing_answer_of_a_hook_keeps_how_the_job_ended() -> None:
    rig = CoreRig(entry("a"), has_hooks=True)
    rig.shown[token("a")] = ended(3)
    rig.until(3700.0)
    assert rig.result().judgement.verdict is Verdict.ERROR
    assert (rig.result().outcome.reason, rig.result().outcome.exit_code) == (Reason.JOB_FAILED, 3)


def test_an_outage_is_no_answer_that_the_cluster_cannot_tell() -> None:
    rig = resumed((Find, lambda command: [Looked(NAME, command.token, Unknown("it"))]))
    rig.until(30.0)
    rig.answers[Find] = lambda command: [CallFailed(NAME, "503", token=command.token)]
    rig.until(600.0)
    assert not rig.has_result()
    rig.answers[Find] = lambda command: [Looked(NAME, command.token, Unknown("it"))]
    rig.until(1000.0)
    assert rig.result().outcome.reason is Reason.LOST


def test_a_job_may_have_been_suspended_while_the_cluster_did_not_answer() -> None:
    rig = CoreRig(entry("a", max_runtime=60.0))
    rig.shown[token("a")] = RUNNING
    rig.until(30.0)
    rig.answers[PollJobs] = poll_fails
    rig.until(600.0)
    rig.answers[PollJobs] = rig.polled
    rig.until(660.0)
    assert rig.times(Cancel) == []
    rig.until(800.0)
    assert rig.times(Cancel) != []


def test_a_cancel_of_this_run_is_never_one_by_another_program() -> None:
    """The job is cancelled while it waits to be started again, and an old answer shows it as running."""
    rig = CoreRig(
        entry("a", queue_timeout=100.0, max_restarts=1, expect=Expectation(reasons=(Reason.CANCELLED,)))
    )
    times = Times(EPOCH, EPOCH + 5.0)
    rig.shown[token("a")] = replace(RUNNING, times=times)
    rig.until(10.0)
    rig.shown[token("a")] = replace(PENDING, times=times)
    rig.until(130.0)
    assert rig.times(Cancel) != []
    rig.shown[token("a")] = replace(RUNNING, times=times)
    rig.until(135.0)
    node = NodeState(0, 2, report=SentinelReport(SentinelWord.EXITED, 0, 2), begun=True)
    rig.shown[token("a")] = replace(STOPPED, times=Times(EPOCH, EPOCH + 5.0, EPOCH + 131.0), nodes=(node,))
    rig.until(160.0)
    assert rig.result().judgement.verdict is Verdict.ERROR
