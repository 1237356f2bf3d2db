"""The engine on a scripted cluster that misbehaves: no false verdict, no twin, no leak."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_clusterjobs.backends.protocol import Capabilities
from pytest_clusterjobs.backends.protocol import Throttled
from pytest_clusterjobs.ledger.batch import Batch
from pytest_clusterjobs.model import Expectation
from pytest_clusterjobs.model import Handle
from pytest_clusterjobs.model import LogExpectation
from pytest_clusterjobs.model import Observation
from pytest_clusterjobs.model import Reason
from pytest_clusterjobs.model import Source
from pytest_clusterjobs.model import Verdict
from pytest_clusterjobs.testing.scripts import absent
from pytest_clusterjobs.testing.scripts import ACCEPT
from pytest_clusterjobs.testing.scripts import Cancelling
from pytest_clusterjobs.testing.scripts import ended
from pytest_clusterjobs.testing.scripts import FAIL
from pytest_clusterjobs.testing.scripts import LOSE
from pytest_clusterjobs.testing.scripts import missing
from pytest_clusterjobs.testing.scripts import pending
from pytest_clusterjobs.testing.scripts import PrintedLine
from pytest_clusterjobs.testing.scripts import rank
from pytest_clusterjobs.testing.scripts import reject
from pytest_clusterjobs.testing.scripts import running
from pytest_clusterjobs.testing.scripts import Script
from pytest_clusterjobs.testing.scripts import script
from pytest_clusterjobs.testing.scripts import suspended
from tests.engine.engine_rig import engine_rig
from tests.engine.engine_rig import entry


def test_a_refused_submission_is_an_error_with_the_clusters_words(tmp_path: Path) -> None:
    scripts = {"a": script(answers=(reject("invalid partition 'gpu'"),))}
    with engine_rig(tmp_path / "l.sqlite", scripts) as rig:
        result = rig.finish(entry("a"))["a"]
        assert result.outcome.reason == Reason.REJECTED
        assert "invalid partition 'gpu'" in result.outcome.detail
        assert result.judgement.verdict is Verdict.ERROR
        assert rig.backend.calls.submits.total() == 1


def test_a_lost_answer_is_looked_up_and_never_submitted_twice(tmp_path: Path) -> None:
    scripts = {"a": script(running(), (30, ended(0)), answers=(LOSE,))}
    with engine_rig(tmp_path / "l.sqlite", scripts) as rig:
        assert rig.finish(entry("a"))["a"].judgement.verdict is Verdict.PASSED
        assert rig.backend.calls.submits.total() == 1
        assert rig.backend.calls.finds.total() >= 1


def test_a_submission_that_did_not_arrive_is_made_again(tmp_path: Path) -> None:
    scripts = {"a": script(ended(0), answers=(FAIL, ACCEPT))}
    capabilities = Capabilities(find_settle=20.0)
    with engine_rig(tmp_path / "l.sqlite", scripts, capabilities=capabilities) as rig:
        assert rig.finish(entry("a"))["a"].judgement.verdict is Verdict.PASSED
        assert rig.backend.calls.submits.total() == 2
        assert len(rig.backend.jobs) == 1
        assert rig.clock.monotonic() >= 20


def test_a_submission_that_never_arrives_is_an_error_in_the_end(tmp_path: Path) -> None:
    with engine_rig(tmp_path / "l.sqlite", {"a": script(answers=(FAIL,))}) as rig:
        result = rig.finish(entry("a"))["a"]
        assert result.outcome.reason == Reason.UNKNOWN
        assert "503 Service Unavailable" in result.outcome.detail
        assert rig.backend.calls.submits.total() == 3


def test_a_cluster_that_cannot_tell_never_gets_a_second_submission(tmp_path: Path) -> None:
    scripts = {"a": script(running(), answers=(LOSE,))}
    with engine_rig(tmp_path / "l.sqlite", scripts) as rig:
        rig.backend.outage(0, 30 * 86400, calls=("find",))
        result = rig.finish(entry("a"))["a"]
        assert result.outcome.reason == Reason.LOST
        assert rig.backend.calls.submits.total() == 1


def test_a_job_seen_late_is_not_lost(tmp_path: Path) -> None:
    scripts = {"a": script(running(), (200, ended(0)), visible_after=90.0, id_after=120.0)}
    with engine_rig(tmp_path / "l.sqlite", scripts) as rig:
        result = rig.finish(entry("a"))["a"]
        assert result.judgement.verdict is Verdict.PASSED
        assert result.job_id == "1"


def test_five_minutes_of_unbroken_absence_are_lost_and_cancelled_all_the_same(tmp_path: Path) -> None:
    scripts = {"a": script(running(), (60, absent()))}
    with engine_rig(tmp_path / "l.sqlite", scripts) as rig:
        result = rig.finish(entry("a"))["a"]
        assert result.outcome.reason == Reason.LOST
        assert result.judgement.verdict is Verdict.ERROR
        assert 360 <= rig.clock.monotonic() <= 400
        assert rig.backend.calls.cancels.total() >= 1


def test_absence_with_breaks_is_no_loss(tmp_path: Path) -> None:
    states = [running()]
    timeline = [(60.0 + 200 * n, absent() if n % 2 == 0 else running()) for n in range(8)]
    scripts = {"a": script(*states, *timeline, (2000, ended(0)))}
    with engine_rig(tmp_path / "l.sqlite", scripts) as rig:
        assert rig.finish(entry("a"))["a"].judgement.verdict is Verdict.PASSED


def test_absence_that_nobody_watched_is_not_unbroken(tmp_path: Path) -> None:
    """A scheduler that comes back from an outage may not have read its state yet."""
    scripts = {"a": script(running(), (60, absent()), (2000, running()), (2100, ended(0)))}
    with engine_rig(tmp_path / "l.sqlite", scripts) as rig:
        rig.backend.outage(90, 1850, calls=("poll", "find", "sweep", "logs"))
        assert rig.finish(entry("a"))["a"].judgement.verdict is Verdict.PASSED


def test_after_an_outage_absence_takes_five_minutes_again(tmp_path: Path) -> None:
    with engine_rig(tmp_path / "l.sqlite", {"a": script(running(), (60, absent()))}) as rig:
        rig.backend.outage(90, 1850, calls=("poll", "find", "sweep", "logs"))
        result = rig.finish(entry("a"))["a"]
        assert result.outcome.reason == Reason.LOST
        assert result.judgement.verdict is Verdict.ERROR
        assert rig.clock.monotonic() >= 1940 + 300


def test_half_a_list_makes_no_verdict_of_the_other_half(tmp_path: Path) -> None:
    halves = script(running(), (10, missing()), (900, absent()), (1000, running()), (1600, ended(0)))
    scripts = {
        "a": halves,
        "b": script(running(), (1700, ended(0))),
        "gone": script(running(), (10, absent())),
    }
    with engine_rig(tmp_path / "l.sqlite", scripts) as rig:
        results = rig.finish(entry("a"), entry("b"), entry("gone"))
        assert {name: result.outcome.reason for name, result in results.items()} == {
            "gone": Reason.LOST,
            "a": Reason.JOB_COMPLETED,
            "b": Reason.JOB_COMPLETED,
        }


def test_half_an_answer_changes_nothing(tmp_path: Path) -> None:
    scripts = {"a": script(running(), (10, missing()), (1500, running()), (1600, ended(0)))}
    with engine_rig(tmp_path / "l.sqlite", scripts) as rig:
        assert rig.finish(entry("a"))["a"].judgement.verdict is Verdict.PASSED


def test_an_api_that_fails_for_minutes_is_no_jobs_death(tmp_path: Path) -> None:
    with engine_rig(tmp_path / "l.sqlite", {"a": script(running(), (100, ended(0)))}) as rig:
        rig.backend.outage(20, 1800, calls=("poll", "logs"))
        assert rig.finish(entry("a"))["a"].judgement.verdict is Verdict.PASSED
        assert rig.clock.monotonic() >= 1820


def test_an_api_that_is_silent_for_an_hour_costs_no_night_its_verdict(tmp_path: Path) -> None:
    with engine_rig(tmp_path / "l.sqlite", {"a": script(running())}) as rig:
        rig.backend.outage(20, 30 * 86400, calls=("poll", "cancel", "logs"))
        result = rig.finish(entry("a", max_runtime=60.0))["a"]
        assert result.outcome.reason == Reason.LOST, "the limit must not be taken for reached on old news"
        assert "503" in result.outcome.detail


def test_throttling_slows_the_polls_down(tmp_path: Path) -> None:
    with engine_rig(tmp_path / "l.sqlite", {"a": script(running(), (600, ended(0)))}) as rig:
        rig.backend.outage(1, 500, calls=("poll",), error=Throttled("429 Too Many Requests"))
        assert rig.finish(entry("a"))["a"].judgement.verdict is Verdict.PASSED
        throttled = [poll for poll in rig.backend.calls.polls if 1 <= poll.at <= 501]
        assert len(throttled) <= 30


def test_an_end_is_final_whatever_the_scheduler_says_later(tmp_path: Path) -> None:
    scripts = {"a": script(running(), (10, ended(3)), (12, running()), (50, ended(0)), log_after=20.0)}
    capabilities = Capabilities(log_settle=60.0)
    expect = Expectation(log=LogExpectation(excludes=("nothing",)))
    with engine_rig(tmp_path / "l.sqlite", scripts, capabilities=capabilities) as rig:
        result = rig.finish(entry("a", expect=expect))["a"]
        assert result.outcome.exit_code == 3


def test_a_state_that_goes_backwards_is_followed(tmp_path: Path) -> None:
    scripts = {"a": script(running(), (10, pending("requeued")), (300, running()), (400, ended(0)))}
    with engine_rig(tmp_path / "l.sqlite", scripts) as rig:
        assert rig.finish(entry("a"))["a"].judgement.verdict is Verdict.PASSED


def test_logs_that_come_late_are_waited_for(tmp_path: Path) -> None:
    log = (PrintedLine(1, "started\n"), PrintedLine(9, "sps=120\n"))
    scripts = {"a": script(running(), (10, ended(0)), log=log, log_after=30.0)}
    expect = Expectation(log=LogExpectation(contains=("sps=120",)))
    with engine_rig(tmp_path / "l.sqlite", scripts, capabilities=Capabilities(log_settle=60.0)) as rig:
        assert rig.finish(entry("a", expect=expect))["a"].judgement.verdict is Verdict.PASSED


def test_logs_that_never_come_give_no_answer(tmp_path: Path) -> None:
    log = (PrintedLine(1, "started\n"), PrintedLine(9, "sps=120\n"))
    scripts = {"a": script(running(), (10, ended(0)), log=log, log_after=None)}
    expect = Expectation(log=LogExpectation(excludes=("error",)))
    with engine_rig(tmp_path / "l.sqlite", scripts, capabilities=Capabilities(log_settle=60.0)) as rig:
        assert rig.finish(entry("a", expect=expect))["a"].judgement.verdict is Verdict.ERROR


def test_logs_are_not_read_where_nothing_depends_on_them(tmp_path: Path) -> None:
    with engine_rig(tmp_path / "l.sqlite", {"a": script(running(), (10, ended(0)))}) as rig:
        rig.finish(entry("a"))
        assert not rig.backend.calls.logs


def test_a_cancel_that_nobody_confirms_is_said_so(tmp_path: Path) -> None:
    scripts = {"a": script(running(), cancelling=Cancelling(None))}
    expect = Expectation(reasons=(Reason.MAX_RUNTIME_REACHED,), exit_codes=None)
    with engine_rig(tmp_path / "l.sqlite", scripts) as rig:
        result = rig.finish(entry("a", max_runtime=60.0, expect=expect))["a"]
        assert result.judgement.verdict is Verdict.ERROR
        assert "may still be running" in result.outcome.detail
        assert rig.backend.calls.cancels.total() > 10, "it insists"


def test_infrastructure_is_tried_again_and_every_attempt_is_kept(tmp_path: Path) -> None:
    preempted = script(running(), (10, ended(None, hint=Reason.PREEMPTED, word=None)))
    scripts = {"a": [preempted, preempted, script(running(), (10, ended(0)))]}
    with engine_rig(tmp_path / "l.sqlite", scripts) as rig:
        result = rig.finish(entry("a", infra_retries=2))["a"]
        assert result.judgement.verdict is Verdict.PASSED
        assert result.attempt == 3
        reasons = [attempt.outcome.reason for attempt in rig.ledger.attempts() if attempt.outcome]
        assert reasons == [Reason.PREEMPTED, Reason.PREEMPTED, Reason.JOB_COMPLETED]


def test_a_new_attempt_is_not_intended_before_the_last_ones_end_is_written_down(tmp_path: Path) -> None:
    """Else a crash in between leaves two live attempts of one cell."""
    preempted = script(running(), (10, ended(None, hint=Reason.PREEMPTED, word=None)))
    other = script(running(), (10, ended(0)))
    scripts: dict[str, Script | list[Script]] = {"a": [preempted, script(ended(0))], "b": other}
    with engine_rig(tmp_path / "l.sqlite", scripts) as rig:
        ordinary = rig.ledger.commit
        ends: list[str] = []

        def commit(batch: Batch, *args: Any) -> None:
            assert Reason.PREEMPTED in ends or not any(each.number > 1 for each in batch.intended.values())
            ordinary(batch, *args)
            ends.extend(outcome.reason for _, outcome in batch.ended)

        rig.ledger.commit = commit  # type: ignore[method-assign, assignment]
        results = rig.finish(entry("a", infra_retries=1), entry("b"))
        assert results["a"].attempt == 2


@pytest.mark.parametrize("hint", [None, Reason.OUT_OF_MEMORY, Reason.CANCELLED])
def test_the_products_failures_are_never_tried_again(tmp_path: Path, hint: Reason | None) -> None:
    scripts = {"a": script(running(), (10, ended(1, hint=hint)))}
    with engine_rig(tmp_path / "l.sqlite", scripts) as rig:
        rig.finish(entry("a", infra_retries=5))
        assert rig.backend.calls.submits.total() == 1


def test_a_lost_job_is_never_tried_again(tmp_path: Path) -> None:
    with engine_rig(tmp_path / "l.sqlite", {"a": script(running(), (10, absent()))}) as rig:
        assert rig.finish(entry("a", infra_retries=5))["a"].outcome.reason == Reason.LOST
        assert rig.backend.calls.submits.total() == 1


def test_a_rank_without_a_word_is_no_success(tmp_path: Path) -> None:
    nodes = [rank(0, 0), rank(1, None, None)]
    scripts = {"a": script(running(), (10, ended(0, nodes=nodes)))}
    with engine_rig(tmp_path / "l.sqlite", scripts) as rig:
        result = rig.finish(entry("a", nodes=2))["a"]
        assert result.outcome.reason == Reason.UNKNOWN
        assert result.judgement.verdict is Verdict.ERROR


def test_the_scheduler_is_believed_before_the_exit_code(tmp_path: Path) -> None:
    scripts = {"a": script(running(), (10, ended(0, hint=Reason.NODE_FAILED)))}
    with engine_rig(tmp_path / "l.sqlite", scripts) as rig:
        outcome = rig.finish(entry("a"))["a"].outcome
        assert (outcome.reason, outcome.source) == (Reason.NODE_FAILED, Source.SCHEDULER)


def test_a_backend_with_a_bug_is_trouble_not_a_verdict(tmp_path: Path) -> None:
    with engine_rig(tmp_path / "l.sqlite", {"a": script(running(), (100, ended(0)))}) as rig:
        ordinary = rig.backend.poll
        broken = [True] * 5

        def poll(handles: object) -> object:
            if broken:
                broken.pop()
                raise TypeError("a bug in the adapter")
            return ordinary(handles)  # type: ignore[arg-type]

        rig.backend.poll = poll  # type: ignore[method-assign, assignment]
        assert rig.finish(entry("a"))["a"].judgement.verdict is Verdict.PASSED


def test_an_answer_that_has_no_observations_is_an_api_error(tmp_path: Path) -> None:
    with engine_rig(tmp_path / "l.sqlite", {"a": script(running(), (100, ended(0)))}) as rig:
        rig.backend.poll = dict.fromkeys  # type: ignore[method-assign, assignment]
        outcome = rig.finish(entry("a"))["a"].outcome
        assert outcome.reason == Reason.LOST
        assert "the backend's poll answered" in outcome.detail


def test_a_bug_is_raised_where_a_thread_waits(tmp_path: Path) -> None:
    with engine_rig(tmp_path / "l.sqlite", {}) as rig:
        rig.ledger.commit = None  # type: ignore[method-assign, assignment]
        with pytest.raises(TypeError, match="NoneType"):
            rig.finish(entry("a"), limit=3600.0)


def test_news_that_come_during_a_poll_are_not_slept_over(tmp_path: Path) -> None:
    with engine_rig(tmp_path / "l.sqlite", {"a": script(running(), (1000, ended(0)))}) as rig:
        ordinary = rig.backend.poll
        told: list[float] = []

        def poll(handles: Mapping[str, Handle]) -> Mapping[str, Observation]:
            seen = ordinary(handles)
            if rig.clock.monotonic() > 600 and not told:
                told.append(rig.clock.monotonic())
                wake[0](handles.keys())
            return seen

        wake: list[Callable[[Collection[str]], None]] = []
        rig.backend.poll = poll  # type: ignore[method-assign]
        rig.backend.subscribe = wake.append  # type: ignore[attr-defined]
        rig.finish(entry("a"))
        following = min(poll.at for poll in rig.backend.calls.polls if poll.at > told[0])
        assert following - told[0] < 1, "else it is polled again after 5 % of its age: 30 s"


def test_time_in_which_a_job_is_suspended_is_none_of_its_run_time(tmp_path: Path) -> None:
    states = (running(), (10, suspended("gang scheduling")), (5000, running()), (5030, ended(3)))
    with engine_rig(tmp_path / "l.sqlite", {"a": script(*states)}) as rig:
        outcome = rig.finish(entry("a", max_runtime=60.0))["a"].outcome
        assert (outcome.reason, outcome.exit_code) == (Reason.JOB_FAILED, 3)


def test_a_job_that_stays_suspended_is_ended(tmp_path: Path) -> None:
    states = (running(), (10, suspended("gang scheduling")))
    cancelling = Cancelling(after=1.0)
    scripts = {"a": script(*states, cancelling=cancelling)}
    with engine_rig(tmp_path / "l.sqlite", scripts) as rig:
        outcome = rig.finish(entry("a", max_runtime=60.0, queue_timeout=600.0))["a"].outcome
        assert (outcome.reason, outcome.source) == (Reason.QUEUE_TIMEOUT, Source.THIS_RUN)
        assert "suspended" in outcome.detail and "gang scheduling" in outcome.detail
