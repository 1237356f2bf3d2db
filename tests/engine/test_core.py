"""The core, event by event: one test a rule. There is no thread, no disk and no clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pytest_clusterjobs.backends.protocol import Capabilities
from pytest_clusterjobs.backends.protocol import Found
from pytest_clusterjobs.backends.protocol import NotSubmitted
from pytest_clusterjobs.backends.protocol import Unknown
from pytest_clusterjobs.engine.attempt import ActiveAttempt
from pytest_clusterjobs.engine.attempt import SubmissionState
from pytest_clusterjobs.engine.conclusions import count_used
from pytest_clusterjobs.engine.core import Core
from pytest_clusterjobs.engine.messages import Accepted
from pytest_clusterjobs.engine.messages import AnyEvent
from pytest_clusterjobs.engine.messages import AskHooks
from pytest_clusterjobs.engine.messages import CallFailed
from pytest_clusterjobs.engine.messages import Cancel
from pytest_clusterjobs.engine.messages import CancelAnswered
from pytest_clusterjobs.engine.messages import CancelCells
from pytest_clusterjobs.engine.messages import CellsAdded
from pytest_clusterjobs.engine.messages import Command
from pytest_clusterjobs.engine.messages import Commit
from pytest_clusterjobs.engine.messages import CommitFailed
from pytest_clusterjobs.engine.messages import Committed
from pytest_clusterjobs.engine.messages import Detach
from pytest_clusterjobs.engine.messages import Find
from pytest_clusterjobs.engine.messages import LedgerRead
from pytest_clusterjobs.engine.messages import Listed
from pytest_clusterjobs.engine.messages import ListJobs
from pytest_clusterjobs.engine.messages import LogsRead
from pytest_clusterjobs.engine.messages import Looked
from pytest_clusterjobs.engine.messages import News
from pytest_clusterjobs.engine.messages import NotAccepted
from pytest_clusterjobs.engine.messages import NotSent
from pytest_clusterjobs.engine.messages import Now
from pytest_clusterjobs.engine.messages import Open
from pytest_clusterjobs.engine.messages import Opened
from pytest_clusterjobs.engine.messages import Polled
from pytest_clusterjobs.engine.messages import PollJobs
from pytest_clusterjobs.engine.messages import Prepared
from pytest_clusterjobs.engine.messages import PrepareSpec
from pytest_clusterjobs.engine.messages import Publish
from pytest_clusterjobs.engine.messages import ReadLedger
from pytest_clusterjobs.engine.messages import ReadLogs
from pytest_clusterjobs.engine.messages import Rejected
from pytest_clusterjobs.engine.messages import Resumed
from pytest_clusterjobs.engine.messages import SessionSuperseded
from pytest_clusterjobs.engine.messages import Stop
from pytest_clusterjobs.engine.messages import Submit
from pytest_clusterjobs.engine.messages import SubmitAnswer
from pytest_clusterjobs.engine.messages import Submitted
from pytest_clusterjobs.engine.messages import SubmitterGone
from pytest_clusterjobs.engine.messages import ThreadFree
from pytest_clusterjobs.engine.messages import Tick
from pytest_clusterjobs.engine.messages import Unanswered
from pytest_clusterjobs.engine.policy import Policy
from pytest_clusterjobs.engine.secrets import Secrets
from pytest_clusterjobs.model import ActionKind
from pytest_clusterjobs.model import Handle
from pytest_clusterjobs.model import NodeState
from pytest_clusterjobs.model import Observation
from pytest_clusterjobs.model import Outcome
from pytest_clusterjobs.model import OwnAction
from pytest_clusterjobs.model import Phase
from pytest_clusterjobs.model import Reason
from pytest_clusterjobs.model import REASON_CLASSES
from pytest_clusterjobs.model import SentinelReport
from pytest_clusterjobs.model import SentinelWord
from pytest_clusterjobs.model import Source
from pytest_clusterjobs.model import Times
from pytest_clusterjobs.model import Verdict
from pytest_clusterjobs.model.records import Attempt
from pytest_clusterjobs.model.records import Registration
from pytest_clusterjobs.model.records import Result
from pytest_clusterjobs.model.token import Token
from tests.engine.engine_rig import entry
from tests.engine.engine_rig import RUN

EPOCH = 1_767_225_600.0
NAME = "scripted"
SESSION = Policy.session(submits=True, follows_up=True)
KILL = Policy.canceller("killed")
FULL = OSError("disk full")

PENDING, RUNNING, ABSENT = (Observation(each) for each in (Phase.PENDING, Phase.RUNNING, Phase.ABSENT))
REQUEUED = replace(PENDING, times=Times(started=EPOCH))
STOPPED = Observation(Phase.ENDED, native_state="CANCELLED", reason_hint=Reason.CANCELLED, log_complete=True)

Answer = Callable[[Any], Sequence[AnyEvent]]


def ended(code: int = 0, hint: Reason | None = None) -> Observation:
    """A job of one rank whose command has ended by itself."""
    node = NodeState(0, code, report=SentinelReport(SentinelWord.EXITED, 0, code), begun=True)
    return Observation(Phase.ENDED, reason_hint=hint, exit_code=code, nodes=(node,), log_complete=True)


def token(name: str, number: int = 1) -> str:
    return str(Token.of(RUN, f"m.yaml::{name}", number))


def silent(command: Command) -> Sequence[AnyEvent]:
    """The answer that never comes."""
    return ()


class CoreRig:
    """Runs a core without threads. ``answers`` has what each kind of command is answered with, at once."""

    def __init__(
        self,
        *cells: Registration,
        policy: Policy = SESSION,
        can: Capabilities | None = None,
        answers: Mapping[type[Command], Answer] | None = None,
        **options: Any,
    ) -> None:
        self.core = Core(policy, RUN, Secrets(Path("/nonexistent")), **options)
        self.at = 0.0
        self.given: list[tuple[float, Command]] = []
        """Every command, with the time at which it was given out."""
        self.shown: dict[str, Observation] = {}
        """What polls show of each token; PENDING if it is not here."""
        self.submission: SubmitAnswer | None = Accepted(Handle("1"))
        """What every submission is answered with; None: not at all."""
        self.answers: dict[type[Command], Answer] = {
            Commit: lambda command: [Committed()],
            Submit: self._submitted,
            Find: lambda command: [Looked(NAME, command.token, NotSubmitted())],
            PollJobs: self.polled,
            ListJobs: lambda command: [Listed(NAME, {})],
            Cancel: lambda command: [CancelAnswered(NAME, tuple(command.handles))],
            ReadLogs: lambda command: [LogsRead(NAME, command.token, command.seen)],
            Open: lambda command: [Opened(NAME, can or Capabilities(), False)],
            **(answers or {}),
        }
        if cells:
            self.give(Opened(NAME, can or Capabilities(), False))
            self.give(CellsAdded(cells))

    def give(self, event: AnyEvent) -> None:
        """Give the core an event, and all answers to what follows from it."""
        events = deque([event])
        while events:
            for command in self.core.handle(events.popleft(), Now(self.at, EPOCH + self.at)):
                self.given.append((self.at, command))
                events += self.answers.get(type(command), silent)(command)

    def until(self, at: float) -> None:
        """Let time pass."""
        ticks = 0
        while self.core.wake_at <= at:
            ticks = ticks + 1 if self.core.wake_at <= self.at else 0
            assert ticks < 100, "the core does not let time pass"
            self.at = max(self.at, self.core.wake_at)
            self.give(Tick())
        self.at = at

    def stop(self, seconds: float) -> None:
        """Stop the process for a while (``kill -STOP``), then let it continue."""
        self.at += seconds
        self.give(Tick())

    def polled(self, command: PollJobs) -> Sequence[AnyEvent]:
        return [Polled(NAME, {each: self.shown.get(each, PENDING) for each in command.handles})]

    def _submitted(self, command: Submit) -> Sequence[AnyEvent]:
        if self.submission is None:
            return ()
        answers = [Submitted(each, self.submission) for _, each in command.jobs]
        return [*answers, ThreadFree(NAME, 0.0, len(answers))]

    def times(self, kind: type[Command]) -> list[float]:
        """When commands of a kind were given out."""
        return [at for at, command in self.given if type(command) is kind]

    def last(self, kind: type[Command]) -> Any:
        return [command for _, command in self.given if type(command) is kind][-1]

    def submitted(self) -> list[str]:
        """The tokens that were submitted, in order."""
        return [each for _, command in self.given if isinstance(command, Submit) for _, each in command.jobs]

    def result(self, name: str = "a") -> Result:
        found = self.core.result(f"m.yaml::{name}")
        assert found is not None
        return found

    def has_result(self, name: str = "a") -> bool:
        return self.core.result(f"m.yaml::{name}") is not None


def poll_fails(command: PollJobs) -> Sequence[AnyEvent]:
    return [Polled(NAME, {}, error="503")]


# Submissions.


def test_a_job_is_submitted_polled_and_judged() -> None:
    rig = CoreRig(entry("a"))
    rig.shown[token("a")] = ended(0)
    rig.until(2.0)
    assert [type(command).__name__ for _, command in rig.given] == [
        "Commit", "Submit", "Commit", "PollJobs", "Commit", "Forget", "Publish",
    ]  # fmt: skip
    assert rig.result().judgement.verdict is Verdict.PASSED


def test_a_lost_answer_is_looked_up_once_find_settle_is_over_and_found() -> None:
    found = lambda command: [Looked(NAME, command.token, Found(Handle("7")))]  # noqa: E731
    rig = CoreRig(answers={Find: found})
    rig.submission = Unanswered("reset")
    rig.give(Opened(NAME, Capabilities(find_settle=60.0), False))
    rig.give(CellsAdded([entry("a")]))
    rig.until(59.9)
    assert (rig.times(Find), rig.times(PollJobs)) == ([], [])
    rig.until(62.0)
    assert (rig.times(Find), rig.submitted()) == ([60.0], [token("a")])
    assert rig.last(PollJobs).handles == {token("a"): Handle("7")}


def lossy(find: Any, settle: float = 60.0) -> CoreRig:
    """A rig whose submissions are never answered and whose lookups are all answered by ``find``."""
    rig = CoreRig(answers={Find: lambda command: [Looked(NAME, command.token, find)]})
    rig.submission = Unanswered("reset")
    rig.give(Opened(NAME, Capabilities(find_settle=settle), False))
    rig.give(CellsAdded([entry("a")]))
    return rig


def test_a_submission_without_an_answer_is_repeated_only_if_find_shows_no_job() -> None:
    rig = lossy(NotSubmitted())
    rig.until(60.9)
    assert rig.times(Submit) == [0.0]
    rig.until(61.0)
    assert rig.times(Submit) == [0.0, 61.0]


def test_a_submission_whose_fate_is_unknown_is_never_repeated() -> None:
    rig = lossy(Unknown("accounting is down"))
    rig.until(7200.0)
    assert rig.submitted() == [token("a")]
    assert rig.result().outcome.reason is Reason.LOST
    assert "accounting is down" in rig.result().outcome.detail


def lookup_fails(command: Any) -> list[CallFailed]:
    return [CallFailed(NAME, "503", token=command.token)]


def test_a_submission_without_an_answer_outlasts_an_outage() -> None:
    """While the lookup itself fails, nothing says that the job is lost. After an hour it counts as lost."""
    rig = lossy(NotSubmitted())
    rig.answers[Find] = lookup_fails
    rig.until(1800.0)
    assert not rig.has_result()
    rig.answers[Find] = lambda command: [Looked(NAME, command.token, Found(Handle("7")))]
    rig.until(1900.0)
    assert rig.last(PollJobs).handles == {token("a"): Handle("7")}
    never = lossy(NotSubmitted())
    never.answers[Find] = lookup_fails
    never.until(3700.0)
    assert never.result().outcome.reason is Reason.LOST


def test_an_attempt_is_submitted_three_times_at_most() -> None:
    rig = lossy(NotSubmitted(), settle=0.0)
    rig.until(100.0)
    assert rig.times(Submit) == [0.0, 1.0, 3.0]
    assert rig.result().outcome.reason is Reason.UNKNOWN
    assert "submitted 3 times, never accepted: reset" in rig.result().outcome.detail


def test_a_submission_that_does_not_return_is_not_repeated() -> None:
    """It may still have its effect. A job that appears in the end is cancelled."""
    rig = CoreRig(entry("a"), answers={Submit: silent})
    rig.until(4000.0)
    assert rig.result().outcome.reason is Reason.LOST
    rig.give(Submitted(token("a"), Accepted(Handle("late"))))
    rig.until(4010.0)
    assert rig.submitted() == [token("a")]
    assert rig.last(Cancel).handles == {token("a"): Handle("late")}


def test_while_a_cluster_accepts_no_jobs_one_is_tried_for_all() -> None:
    rig = CoreRig()
    rig.submission = NotAccepted("quota")
    rig.give(Opened(NAME, Capabilities(submit_threads=1), False))
    rig.give(CellsAdded([entry(name) for name in "abcde"]))
    rig.until(100.0)
    assert rig.times(Submit) == [0.0, 1.0, 3.0, 7.0, 15.0, 31.0, 61.0, 91.0]
    assert len(rig.submitted()) == 8
    rig.submission = Accepted(Handle("1"))
    rig.until(121.0)
    assert sorted(rig.submitted()[8:]) == sorted(token(name) for name in "abcde")


def test_a_retry_is_submitted_only_after_the_commit_of_the_last_end() -> None:
    rig = CoreRig(entry("a", infra_retries=1))
    rig.shown[token("a")] = ended(1, Reason.PREEMPTED)
    rig.answers[Commit] = silent
    rig.until(60.0)
    assert rig.submitted() == [token("a")]
    rig.answers[Commit] = lambda command: [Committed()]
    rig.give(Committed())
    rig.until(120.0)
    assert rig.submitted() == [token("a"), token("a", 2)]
    assert rig.times(Submit)[1] >= 60.0
    assert not rig.has_result()


def test_jobs_that_may_exist_do_not_stop_each_others_queue_timeout() -> None:
    """Once the cluster has answered that it has no such job, there is none."""
    rig = CoreRig()
    rig.submission = Unanswered("reset")
    rig.give(Opened(NAME, Capabilities(), False))
    rig.give(CellsAdded([entry(name, queue_timeout=600.0) for name in "ab"]))
    rig.submission = NotAccepted("quota")
    rig.until(1300.0)
    for name in "ab":
        assert "not accepted within queue_timeout" in rig.result(name).outcome.detail


def test_a_job_that_the_list_shows_later_than_find_settle_is_not_submitted_again() -> None:
    rig = lossy(NotSubmitted(), settle=0.0)
    rig.until(0.5)
    assert rig.core.state.attempts[token("a")].submission is SubmissionState.WAITING
    rig.give(Listed(NAME, {token("a"): Handle("7")}))
    rig.until(100.0)
    assert rig.submitted() == [token("a")]
    assert rig.last(PollJobs).handles == {token("a"): Handle("7")}


@pytest.mark.parametrize("answer", [Handle(None, {"request": 7}), Handle("7"), Handle("8")])
def test_a_job_that_the_list_shows_before_its_submission_is_answered_is_left_alone(answer: Handle) -> None:
    rig = CoreRig(entry("a"), answers={Submit: silent})
    rig.give(Listed(NAME, {token("a"): Handle("7")}))
    rig.give(Submitted(token("a"), Accepted(answer)))
    rig.until(100.0)
    assert rig.times(Cancel) == []


# Resumes.


def resumed(
    *answers: tuple[type[Command], Answer], action: OwnAction | None = None, **options: Any
) -> CoreRig:
    """A session that resumes one cell whose submission has no recorded answer; intended an hour ago."""
    cell = entry("a", queue_timeout=600.0)
    rig = CoreRig(
        policy=Policy.session(submits=True, follows_up=True, resumes=True), answers=dict(answers), **options
    )
    rig.give(Opened(NAME, Capabilities(), False))
    attempt = Attempt(token("a"), cell.key, 1, EPOCH - 3600.0, action=action)
    rig.give(Resumed([cell], {}, {cell.key: [attempt]}))
    return rig


def test_a_job_that_is_found_by_a_resume_counts_as_submitted_when_it_was_found() -> None:
    rig = resumed((Find, lambda command: [Looked(NAME, command.token, Found(Handle("7")))]))
    rig.until(500.0)
    assert rig.times(Cancel) == []
    rig.until(700.0)
    assert rig.times(Cancel) != []


def test_a_request_to_cancel_a_cell_may_overtake_the_cell() -> None:
    rig = CoreRig(entry("b"))
    rig.give(CancelCells(["m.yaml::a"], "not wanted"))
    rig.give(CellsAdded([entry("a")]))
    rig.until(60.0)
    assert rig.submitted() == [token("b")]
    assert rig.result("a").judgement.verdict is Verdict.NOT_RUN
    assert "not wanted" in rig.result("a").outcome.detail


def test_a_cell_that_is_cancelled_while_a_resume_looks_for_its_job_is_not_submitted() -> None:
    rig = resumed((Find, silent))
    rig.give(CancelCells(["m.yaml::a"], "not wanted"))
    rig.give(Looked(NAME, token("a"), NotSubmitted()))
    rig.until(100.0)
    assert rig.submitted() == []
    assert rig.result().judgement.verdict is Verdict.NOT_RUN


def test_a_cancelled_submission_that_cannot_be_looked_up_is_lost_in_the_end() -> None:
    cancel = OwnAction(ActionKind.CANCEL, "the session has ended", EPOCH)
    rig = resumed((Find, lambda command: [Looked(NAME, command.token, Unknown("it"))]), action=cancel)
    rig.until(4000.0)
    assert rig.result().outcome.reason is Reason.LOST


# Polls.


def test_news_that_arrive_during_a_poll_cause_another_poll_at_once() -> None:
    rig = CoreRig(entry("a"), answers={PollJobs: silent})
    rig.until(5.0)
    rig.give(News(NAME, [token("a")]))
    rig.give(Polled(NAME, {token("a"): PENDING}))
    assert rig.times(PollJobs) == [1.0, 5.0]


def test_without_news_the_next_poll_has_to_wait() -> None:
    rig = CoreRig(entry("a"), answers={PollJobs: silent})
    rig.until(5.0)
    rig.give(Polled(NAME, {token("a"): PENDING}))
    rig.until(10.0)
    assert rig.times(PollJobs) == [1.0, 6.0]


def test_a_job_that_is_absent_for_five_minutes_is_lost_and_cancelled() -> None:
    rig = CoreRig(entry("a"))
    rig.shown[token("a")] = ABSENT
    rig.until(300.0)
    assert not rig.has_result()
    rig.until(303.0)
    assert rig.result().outcome.reason is Reason.LOST
    assert rig.times(Cancel)


def stopped_outside(command: ReadLogs) -> list[LogsRead]:
    report = SentinelReport(SentinelWord.STOPPED, 0)
    return [LogsRead(NAME, command.token, replace(command.seen, nodes=(NodeState(0, 143, report=report),)))]


def test_the_scheduler_gets_its_time_to_report_why_an_absent_job_was_stopped() -> None:
    rig = CoreRig(entry("a"), answers={ReadLogs: stopped_outside})
    rig.shown[token("a")] = ABSENT
    rig.until(250.0)
    assert not rig.has_result()
    rig.shown[token("a")] = replace(ABSENT, phase=Phase.ENDED, reason_hint=Reason.PREEMPTED)
    rig.until(260.0)
    assert rig.result().outcome.reason is Reason.PREEMPTED
    never = CoreRig(entry("a"), answers={ReadLogs: stopped_outside})
    never.shown[token("a")] = ABSENT
    never.until(310.0)
    assert "stopped from outside" in never.result().outcome.detail


def test_an_absence_with_a_gap_between_the_answers_begins_again() -> None:
    rig = CoreRig(entry("a"))
    rig.shown[token("a")] = ABSENT
    rig.until(100.0)
    rig.answers[PollJobs] = poll_fails
    rig.until(200.0)
    rig.answers[PollJobs] = rig.polled
    rig.until(499.0)
    assert not rig.has_result()
    rig.until(540.0)
    assert rig.result().outcome.reason is Reason.LOST


def ranks_of(first: Observation) -> Answer:
    """The logs have the end records of a start of which the cluster shows nothing any more."""
    return lambda command: [LogsRead(NAME, command.token, replace(command.seen, nodes=first.nodes))]


def test_a_job_that_the_list_still_has_is_not_over_whatever_the_records_of_its_first_start_say() -> None:
    """It is about to be started again."""
    rig = CoreRig(entry("a", max_restarts=1), answers={ReadLogs: ranks_of(ended(3))})
    rig.answers[ListJobs] = lambda command: [Listed(NAME, {token("a"): Handle("1")})]
    rig.until(10.0)
    rig.shown[token("a")] = ABSENT
    rig.until(200.0)
    assert not rig.has_result()
    rig.answers[ListJobs] = lambda command: [Listed(NAME, {})]
    rig.until(320.0)
    assert (rig.result().outcome.reason, rig.result().outcome.exit_code) == (Reason.JOB_FAILED, 3)


def test_the_records_of_an_earlier_start_are_no_end_of_a_later_one() -> None:
    rig = CoreRig(entry("a", max_restarts=1), answers={ReadLogs: ranks_of(ended(3))})
    rig.shown[token("a")] = replace(RUNNING, restarts=1)
    rig.until(10.0)
    rig.shown[token("a")] = ABSENT
    rig.until(200.0)
    assert not rig.has_result()
    rig.until(400.0)
    assert rig.result().outcome.reason is Reason.LOST


def test_a_reason_why_a_job_can_never_start_is_disproved_by_its_records() -> None:
    rig = CoreRig(entry("a"), answers={ReadLogs: ranks_of(ended(0))})
    rig.shown[token("a")] = replace(PENDING, reason_hint=Reason.DEPENDENCY_FAILED)
    rig.until(10.0)
    rig.shown[token("a")] = ABSENT
    rig.until(20.0)
    assert rig.result().outcome.reason is Reason.JOB_COMPLETED


def test_a_start_between_two_polls_ends_a_wait() -> None:
    """Two waits of one job, each shorter than queue_timeout."""
    rig = CoreRig(entry("a", queue_timeout=100.0, max_restarts=2))
    rig.shown[token("a")] = REQUEUED
    rig.until(80.0)
    rig.shown[token("a")] = replace(REQUEUED, restarts=1)
    rig.until(160.0)
    assert rig.times(Cancel) == []
    rig.until(200.0)
    assert rig.times(Cancel) != []


def test_a_limit_counts_up_to_the_begin_of_the_poll_that_shows_it() -> None:
    rig = CoreRig(entry("a", queue_timeout=100.0))
    rig.until(99.0)
    rig.answers[PollJobs] = silent
    rig.until(103.0)
    (begun,) = (at for at in rig.times(PollJobs) if at >= 99.0)
    assert begun <= 100.1
    rig.until(160.0)
    rig.give(Polled(NAME, {token("a"): RUNNING}))
    assert rig.times(Cancel) == []
    rig.give(Polled(NAME, {token("a"): PENDING}))
    assert rig.times(Cancel) == []


@pytest.mark.parametrize("shown", [REQUEUED, RUNNING])
def test_the_time_in_which_a_job_is_not_shown_is_no_run_time_if_it_was_started_again(
    shown: Observation,
) -> None:
    rig = CoreRig(entry("a", max_runtime=60.0, grace_period=0.0, max_restarts=1))
    rig.shown[token("a")] = RUNNING
    rig.until(50.0)
    rig.shown[token("a")] = ABSENT
    rig.until(280.0)
    rig.shown[token("a")] = replace(shown, restarts=1)
    rig.until(300.0)
    rig.shown[token("a")] = replace(RUNNING, restarts=1)
    rig.until(340.0)
    assert rig.times(Cancel) == []
    rig.until(600.0)
    assert rig.times(Cancel) != []


# Cancellations.


def test_a_job_whose_submission_is_under_way_is_cancelled_when_it_arrives() -> None:
    rig = CoreRig(answers={Submit: silent})
    rig.give(Opened(NAME, Capabilities(), False))
    rig.give(CellsAdded([entry("a")]))
    rig.give(Stop())
    rig.until(30.0)
    assert rig.times(Cancel) == []
    rig.give(Submitted(token("a"), Accepted(Handle("9"))))
    assert rig.last(Cancel).handles == {token("a"): Handle("9")}


def test_jobs_are_left_running_when_the_session_is_detached() -> None:
    rig = CoreRig(entry("a"))
    rig.give(Detach())
    rig.until(3000.0)
    assert rig.times(Cancel) == []


def test_a_cancel_that_fails_is_repeated_with_pauses_while_polls_go_on() -> None:
    fails = lambda command: [CancelAnswered(NAME, tuple(command.handles), "503")]  # noqa: E731
    rig = CoreRig(entry("a"), answers={Cancel: fails})
    rig.shown[token("a")] = RUNNING
    rig.until(10.0)
    rig.give(Stop())
    rig.until(70.0)
    assert rig.times(Cancel) == [10.0, 11.0, 13.0, 17.0, 25.0, 41.0]
    polls = [at for at in rig.times(PollJobs) if at >= 10.0]
    assert all(later - earlier < 1.0 + 0.06 * (later - 10.0) for earlier, later in pairwise(polls))
    rig.shown[token("a")] = STOPPED
    rig.until(80.0)
    assert rig.result().judgement.verdict is Verdict.NOT_RUN


def test_a_cancellation_that_shows_no_effect_is_requested_again_and_given_up() -> None:
    rig = CoreRig(entry("a"))
    rig.shown[token("a")] = RUNNING
    rig.until(10.0)
    rig.give(Stop())
    rig.until(60.0)
    assert rig.times(Cancel)[:3] == [10.0, 25.0, 40.0]
    rig.until(620.0)
    assert "no poll confirmed its cancellation" in rig.result().outcome.detail


def test_a_cancelled_job_that_polls_and_list_lack_has_ended_after_15_seconds() -> None:
    rig = CoreRig(entry("a"))
    rig.shown[token("a")] = RUNNING
    rig.until(10.0)
    rig.shown[token("a")] = ABSENT
    rig.give(Stop())
    rig.until(24.0)
    assert not rig.has_result()
    rig.until(32.0)
    assert rig.result().outcome.reason is Reason.CANCELLED


# The ledger.


def test_a_commit_that_fails_is_tried_three_times_and_then_every_cell_is_an_error() -> None:
    rig = CoreRig(entry("a"), entry("b"))
    rig.shown |= {token("a"): RUNNING, token("b"): RUNNING}
    rig.answers[Commit] = lambda command: [CommitFailed(FULL)]
    rig.until(4.0)
    first = rig.times(Commit)[-3]
    assert rig.times(Commit)[-3:] == [first, first + 0.5, first + 2.5]
    assert rig.core.broken is FULL
    assert rig.last(Cancel).handles.keys() == {token("a"), token("b")}
    for name in "ab":
        assert rig.result(name).judgement.verdict is Verdict.ERROR
        assert rig.result(name).outcome.detail == "ledger not writable: disk full"


def test_nothing_is_submitted_after_the_ledger_is_lost() -> None:
    rig = CoreRig(answers={Commit: lambda command: [CommitFailed(FULL)]})
    rig.give(Opened(NAME, Capabilities(), False))
    rig.give(CellsAdded([entry("a")]))
    rig.until(4000.0)
    assert rig.submitted() == []
    assert rig.result().judgement.verdict is Verdict.ERROR


def test_a_commit_that_succeeds_at_the_second_try_changes_nothing() -> None:
    answers = iter([[CommitFailed(FULL)]])
    rig = CoreRig(answers={Commit: lambda command: next(answers, [Committed()])})
    rig.give(Opened(NAME, Capabilities(), False))
    rig.give(CellsAdded([entry("a")]))
    rig.shown[token("a")] = ended(0)
    rig.until(10.0)
    assert rig.times(Submit) == [0.5]
    assert rig.result().judgement.verdict is Verdict.PASSED


def test_a_superseded_session_gives_no_commands_of_its_own() -> None:
    rig = CoreRig(entry("a"), entry("b", queue_timeout=100.0))
    rig.until(50.0)
    rig.give(SessionSuperseded(FULL))
    before = len(rig.given)
    rig.until(3000.0)
    assert rig.given[before:] == []
    assert rig.core.broken is FULL


# Hooks.


def test_a_hook_that_never_answers_makes_an_error_of_its_cell() -> None:
    rig = CoreRig(entry("a"), has_hooks=True)
    rig.shown[token("a")] = ended(0)
    rig.until(3600.0)
    assert len(rig.times(AskHooks)) == 1
    assert not rig.has_result()
    rig.until(3602.0)
    assert rig.result().judgement.verdict is Verdict.ERROR
    assert [miss.seen for miss in rig.result().judgement.misses] == ["a hook has not answered within 3600 s"]
    assert rig.result().outcome.reason is Reason.JOB_COMPLETED


def test_a_job_whose_spec_is_never_prepared_is_not_submitted() -> None:
    rig = CoreRig(entry("a"), prepares=True)
    rig.until(3599.0)
    assert len(rig.times(PrepareSpec)) == 1
    rig.until(3601.0)
    assert rig.submitted() == []
    assert rig.result().judgement.verdict is Verdict.ERROR


def test_a_hook_that_never_answers_does_not_outlive_its_withdrawn_attempt() -> None:
    rig = CoreRig(entry("a"), answers={Submit: silent}, has_hooks=True)
    rig.until(4000.0)
    rig.give(Submitted(token("a"), NotAccepted("quota")))
    rig.until(9000.0)
    assert rig.has_result()


# A process that is stopped for two hours, and continued (Ctrl-Z and fg).


def test_a_stop_of_the_session_is_no_silence_of_the_cluster() -> None:
    rig = CoreRig(entry("a"))
    rig.until(100.0)
    rig.stop(7200.0)
    rig.until(rig.at + 60.0)
    assert not rig.has_result()
    rig.shown[token("a")] = ended(0)
    rig.until(rig.at + 60.0)
    assert rig.result().judgement.verdict is Verdict.PASSED


def test_a_job_that_is_missing_right_after_a_stop_is_not_lost_at_once() -> None:
    rig = CoreRig(entry("a"))
    rig.shown[token("a")] = RUNNING
    rig.until(100.0)
    rig.shown[token("a")] = ABSENT
    rig.stop(7200.0)
    rig.until(rig.at + 250.0)
    assert not rig.has_result()


def test_a_submission_that_was_under_way_during_a_stop_may_still_return() -> None:
    rig = CoreRig(entry("a"), answers={Submit: silent})
    rig.until(100.0)
    rig.stop(7200.0)
    rig.give(Submitted(token("a"), Accepted(Handle("1"))))
    rig.shown[token("a")] = ended(0)
    rig.until(rig.at + 60.0)
    assert rig.result().judgement.verdict is Verdict.PASSED


def test_a_cancellation_is_not_given_up_because_of_a_stop() -> None:
    rig = CoreRig(entry("a"))
    rig.shown[token("a")] = RUNNING
    rig.until(100.0)
    rig.give(Stop())
    rig.until(150.0)
    rig.stop(7200.0)
    rig.shown[token("a")] = STOPPED
    rig.until(rig.at + 60.0)
    assert rig.result().outcome.reason is Reason.CANCELLED


def test_a_hook_gets_its_time_back_after_a_stop() -> None:
    rig = CoreRig(entry("a"), has_hooks=True)
    rig.shown[token("a")] = ended(0)
    rig.until(100.0)
    rig.stop(7200.0)
    rig.until(rig.at + 250.0)
    assert not rig.has_result()
    rig.until(rig.at + 100.0)
    assert rig.result().judgement.verdict is Verdict.ERROR


def test_a_commit_gets_its_time_back_after_a_stop() -> None:
    rig = CoreRig(entry("a"), answers={Commit: silent})
    rig.until(100.0)
    rig.stop(7200.0)
    rig.until(rig.at + 700.0)
    assert rig.core.broken is None
    rig.until(rig.at + 200.0)
    assert rig.core.broken is not None


# Kill.


def killing(*names: str) -> CoreRig:
    """A kill of jobs that a session has submitted."""
    cells = list(enumerate((entry(name) for name in names), 1))
    attempts = [
        Attempt(token(name), f"m.yaml::{name}", 1, EPOCH, submitted=EPOCH, handle=Handle(name))
        for name in names
    ]
    rig = CoreRig(policy=KILL, answers={ReadLedger: lambda command: [LedgerRead(cells, attempts)]})
    rig.core.adoption.begin([NAME])
    return rig


def test_a_kill_polls_first_and_leaves_what_has_ended_by_itself() -> None:
    rig = killing("a", "b")
    rig.shown |= {token("a"): ended(3), token("b"): RUNNING}
    rig.give(Tick())
    rig.until(3.0)
    kinds = [type(command) for _, command in rig.given if isinstance(command, PollJobs | Cancel)]
    assert kinds[:2] == [PollJobs, Cancel]
    assert rig.last(Cancel).handles == {token("b"): Handle("b")}
    attempt = rig.core.state.attempts[token("a")]
    assert (attempt.action, attempt.result) == (None, None)


def test_a_kill_is_done_once_the_ends_are_confirmed_and_the_lists_are_read() -> None:
    rig = killing("a")
    rig.give(Tick())
    rig.until(3.0)
    rig.shown[token("a")] = STOPPED
    rig.until(10.0)
    assert not rig.core.adoption.is_done()
    rig.give(SubmitterGone())
    rig.until(30.0)
    assert rig.core.adoption.is_done()
    assert rig.times(Publish) == []


def test_a_kill_cancels_jobs_that_only_the_clusters_list_shows() -> None:
    rig = killing()
    rig.answers[ListJobs] = lambda command: [Listed(NAME, {token("z"): Handle("z")})]
    rig.give(Tick())
    rig.until(5.0)
    assert rig.last(Cancel).handles == {token("z"): Handle("z")}


# Faults that were found.


@pytest.mark.parametrize("kind", [PollJobs, Submit])
def test_answers_to_a_superseded_session_cause_no_commands(kind: type[Command]) -> None:
    rig = CoreRig(answers={kind: silent})
    rig.give(Opened(NAME, Capabilities(), False))
    rig.give(CellsAdded([entry("a")]))
    rig.until(5.0)
    rig.give(SessionSuperseded(FULL))
    before = len(rig.given)
    rig.give(Polled(NAME, {}) if kind is PollJobs else Submitted(token("a"), Accepted(Handle("1"))))
    rig.until(10_000.0)
    assert rig.given[before:] == []


def test_a_superseded_session_cancels_nothing_ever() -> None:
    rig = CoreRig(entry("a"))
    rig.until(50.0)
    rig.give(SessionSuperseded(FULL))
    rig.until(10_000.0)
    assert rig.times(Cancel) == []


def test_a_superseded_session_that_stops_cancels_nothing() -> None:
    rig = CoreRig(entry("a"))
    rig.until(50.0)
    rig.give(SessionSuperseded(FULL))
    rig.give(Stop())
    rig.until(100.0)
    assert rig.times(Cancel) == []


@pytest.mark.parametrize("answer", [Unanswered("reset"), NotSent(), Rejected("no such partition")])
def test_a_submission_may_fail_after_it_was_given_up(answer: SubmitAnswer) -> None:
    rig = CoreRig(entry("a"), answers={Submit: silent})
    rig.until(4000.0)
    rig.give(Submitted(token("a"), answer))
    rig.until(4010.0)
    assert rig.submitted() == [token("a")]
    assert rig.result().outcome.reason is Reason.LOST


@pytest.mark.parametrize("answer", [NotAccepted("quota"), Rejected("no such partition")])
def test_a_cancelled_cell_whose_submission_fails_is_finished(answer: SubmitAnswer) -> None:
    rig = CoreRig(entry("a"), answers={Submit: silent})
    rig.give(CancelCells(["m.yaml::a"], "not wanted"))
    rig.give(Submitted(token("a"), answer))
    rig.until(100.0)
    assert rig.has_result()
    assert rig.core.unfinished == []


def test_a_lost_submission_that_was_cancelled_and_never_arrived_is_finished() -> None:
    rig = lossy(NotSubmitted())
    rig.until(5.0)
    rig.give(Stop())
    rig.until(100.0)
    assert rig.has_result()
    assert rig.core.unfinished == []


def test_a_cell_that_is_cancelled_while_its_hooks_decide_takes_no_place() -> None:
    rig = CoreRig(entry("a"), prepares=True)
    rig.give(CancelCells(["m.yaml::a"], "not wanted"))
    assert rig.core.state.clusters[NAME].ahead == 0


def test_a_log_read_that_never_returns_still_leads_to_a_verdict() -> None:
    rig = CoreRig(entry("a"), answers={ReadLogs: silent})
    rig.shown[token("a")] = ended(1)
    rig.until(86_400.0)
    assert rig.has_result()


def test_a_commit_that_is_answered_after_it_timed_out_publishes_nothing_again() -> None:
    rig = CoreRig(entry("a"))
    rig.until(0.5)
    rig.answers[Commit] = silent
    rig.shown[token("a")] = ended(0)
    rig.until(1000.0)
    assert rig.result().judgement.verdict is Verdict.ERROR
    rig.give(Committed())
    assert len(rig.times(Publish)) == 1


def test_a_lookup_behind_a_poll_that_is_due_causes_no_busy_loop() -> None:
    rig = CoreRig(answers={Submit: silent})
    rig.give(Opened(NAME, Capabilities(find_settle=0.01), True))
    rig.give(CellsAdded([entry("a"), entry("b")]))
    rig.give(Submitted(token("a"), Accepted(Handle("1"))))
    rig.at = 0.01
    rig.give(Submitted(token("b"), Unanswered("reset")))
    rig.give(News(NAME, [token("a")]))
    rig.until(1.0)


def test_a_verdict_whose_excerpt_is_being_read_does_not_wait_for_hooks() -> None:
    prepared = lambda command: [Prepared(command.token, command.registration.cell.spec)]  # noqa: E731
    rig = CoreRig(entry("a"), prepares=True, answers={PrepareSpec: prepared, ReadLogs: silent})
    rig.shown[token("a")] = RUNNING
    rig.until(7000.0)
    timer = rig.core.state.timers.next_at
    assert timer is not None
    rig.until(timer - 35.0)
    rig.shown[token("a")] = ended(1)
    rig.until(timer + 1.0)
    asked = rig.last(ReadLogs)
    rig.give(LogsRead(NAME, asked.token, asked.seen, excerpts={0: "the last line"}))
    assert rig.result().judgement.verdict is Verdict.FAILED


@pytest.mark.parametrize(
    ("reason", "kind", "retries", "reruns"),
    [
        (Reason.JOB_FAILED, None, 0, 1),
        (Reason.CANCELLED, ActionKind.TEST_TIMEOUT, 0, 1),
        (Reason.CANCELLED, ActionKind.CANCEL, 0, 0),
        (Reason.QUEUE_TIMEOUT, ActionKind.QUEUE_TIMEOUT, 1, 0),
    ],
)
def test_a_resume_counts_what_earlier_attempts_have_used(
    reason: Reason, kind: ActionKind | None, retries: int, reruns: int
) -> None:
    action = None if kind is None else OwnAction(kind, "why", EPOCH)
    outcome = Outcome(reason, REASON_CLASSES[reason], Source.NONE, action=action)
    cell = entry("a")
    job = ActiveAttempt(cell, 2, token("a", 2), Secrets(Path("/nonexistent")))
    count_used(job, [Attempt(token("a"), cell.key, 1, EPOCH, outcome=outcome)])
    assert (job.retries, job.reruns) == (retries, reruns)
