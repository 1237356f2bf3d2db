"""A cluster that takes no jobs for now: they wait outside, are asked for seldom, and have an end in sight."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pytest_clusterjobs.backends.protocol import Capabilities
from pytest_clusterjobs.backends.protocol import Throttled
from pytest_clusterjobs.engine.extensions import NoExtensions
from pytest_clusterjobs.engine.rejudge import rejudge
from pytest_clusterjobs.engine.secrets import Secrets
from pytest_clusterjobs.model import Cell
from pytest_clusterjobs.model import Expectation
from pytest_clusterjobs.model import Handle
from pytest_clusterjobs.model import JobSpec
from pytest_clusterjobs.model import Reason
from pytest_clusterjobs.model import Verdict
from pytest_clusterjobs.model.records import Registration
from pytest_clusterjobs.model.records import Result
from pytest_clusterjobs.testing.scripts import ACCEPT
from pytest_clusterjobs.testing.scripts import ended
from pytest_clusterjobs.testing.scripts import FAIL
from pytest_clusterjobs.testing.scripts import LOSE
from pytest_clusterjobs.testing.scripts import running
from pytest_clusterjobs.testing.scripts import script
from pytest_clusterjobs.testing.scripts import THROTTLE
from tests.engine.engine_rig import engine_rig
from tests.engine.engine_rig import EngineRig
from tests.engine.engine_rig import entry

LIMIT = Throttled("AssocMaxSubmitJobLimit")

DAY = 86_400.0


def with_places(rig: EngineRig, places: int) -> None:
    """Have the cluster refuse more than so many live jobs, as Slurm's limits do."""
    submit = rig.backend.submit

    def refusing(spec: JobSpec, token: str) -> Handle:
        if len(rig.backend.live()) >= places:
            rig.backend.calls.submits[token] += 1
            raise LIMIT
        return submit(spec, token)

    rig.backend.submit = refusing  # type: ignore[method-assign]


def test_a_job_that_is_not_taken_is_submitted_until_it_is(tmp_path: Path) -> None:
    scripts = {"a": script(ended(0), answers=(*[THROTTLE] * 7, ACCEPT))}
    with engine_rig(tmp_path / "l.sqlite", scripts) as rig:
        assert rig.finish(entry("a"))["a"].judgement.verdict is Verdict.PASSED
        assert rig.backend.calls.submits.total() == 8
        assert rig.backend.calls.finds.total() == 0, "it is known not to have been submitted"
        assert rig.clock.monotonic() >= 1 + 2 + 4 + 8 + 16 + 30 + 30


def test_more_cells_than_a_user_may_have_jobs(tmp_path: Path) -> None:
    """Each runs for an hour, and only two at a time are let in: the last waits longer than
    ``queue_timeout``, for its own run."""
    names = [f"c{number}" for number in range(9)]
    scripts = {name: script(running(), (3600, ended(0))) for name in names}
    with engine_rig(tmp_path / "l.sqlite", scripts) as rig:
        with_places(rig, 2)
        results = rig.finish(*(entry(name, queue_timeout=600.0) for name in names))
        assert {result.judgement.verdict for result in results.values()} == {Verdict.PASSED}


def test_a_cluster_that_takes_nothing_is_queue_timeout_with_its_words(tmp_path: Path) -> None:
    with engine_rig(tmp_path / "l.sqlite", {}) as rig:
        rig.backend.outage(0, 30 * DAY, calls=("submit",), error=LIMIT)
        results = rig.finish(*(entry(f"c{number}", queue_timeout=600.0) for number in range(50)))
        assert {result.outcome.reason for result in results.values()} == {Reason.QUEUE_TIMEOUT}
        assert {result.judgement.verdict for result in results.values()} == {Verdict.ERROR}
        assert "AssocMaxSubmitJobLimit" in results["c0"].outcome.detail
        assert 600 <= rig.clock.monotonic() <= 665
        assert rig.ledger.attempts() == []


def test_a_long_queue_costs_a_cluster_that_takes_nothing_one_call_at_a_time(tmp_path: Path) -> None:
    names = [f"c{number}" for number in range(200)]
    with engine_rig(tmp_path / "l.sqlite", {name: script(ended(0)) for name in names}) as rig:
        rig.backend.outage(0, 3600, calls=("submit",), error=LIMIT)
        results = rig.finish(*(entry(name) for name in names))
        assert {result.judgement.verdict for result in results.values()} == {Verdict.PASSED}
        refused = rig.backend.calls.submits.total() - len(names)
        # Those of several threads may be under way together.
        assert refused <= (3600 / 30 + 6) * Capabilities().submit_threads


def test_a_cluster_with_a_rate_is_asked_again(tmp_path: Path) -> None:
    """What a slot of the rate is, and what a refusal, are two things."""
    rated = Capabilities(submissions_per_second=40.0)
    names = [f"c{number}" for number in range(20)]
    once = {"c0": script(ended(0), answers=(THROTTLE, ACCEPT))}
    scripts = {name: script(running(), (60, ended(0))) for name in names} | once
    with engine_rig(tmp_path / "l.sqlite", scripts, capabilities=rated) as rig:
        results = rig.finish(*(entry(name, queue_timeout=600.0) for name in names))
        assert {result.judgement.verdict for result in results.values()} == {Verdict.PASSED}
        assert rig.clock.monotonic() < 120


def asking_for(partition: str, rig: EngineRig, error: Throttled = LIMIT, seconds: float = 0.0) -> None:
    """Have the cluster never take a job of ``partition``, and think about it for some seconds."""
    submit = rig.backend.submit

    def refusing(spec: JobSpec, token: str) -> Handle:
        if spec.options.get("partition") == partition:
            rig.clock.sleep(seconds)
            raise error
        return submit(spec, token)

    rig.backend.submit = refusing  # type: ignore[method-assign]


def test_cells_that_ask_for_something_else_do_not_wait(tmp_path: Path) -> None:
    """A limit is often that of one partition, queue or account; and an answer may take Slurm a minute."""
    others = [f"y{number}" for number in range(6)]
    with engine_rig(tmp_path / "l.sqlite", {name: script(ended(0)) for name in others}) as rig:
        asking_for("full", rig, seconds=60.0)
        full = [
            entry(f"x{number}", queue_timeout=3600.0, options={"partition": "full"}) for number in range(20)
        ]
        results = rig.finish(*full, *(entry(name) for name in others))
        assert sorted(list(results)[:6]) == others, "as they end"
        assert {result.outcome.reason for result in results.values()} == {
            Reason.JOB_COMPLETED,
            Reason.QUEUE_TIMEOUT,
        }


def test_a_slow_refusal_does_not_keep_the_threads_from_other_clusters(tmp_path: Path) -> None:
    with engine_rig(tmp_path / "l.sqlite", {"b": script(ended(0))}) as rig, rig.clock.auto(DAY):
        asking_for("full", rig, seconds=60.0)
        rig.engine.add([entry(f"x{number}", options={"partition": "full"}) for number in range(20)])
        assert rig.engine.next_result(300.0) is None
        rig.engine.add([elsewhere(entry("b"))])
        added = rig.clock.monotonic()
        assert rig.engine.next_result(600.0) is not None
        assert rig.clock.monotonic() - added < 10
        rig.engine.close(600.0)


def test_all_follow_the_first_that_is_taken(tmp_path: Path) -> None:
    names = [f"c{number}" for number in range(50)]
    with engine_rig(tmp_path / "l.sqlite", {name: script(ended(0)) for name in names}) as rig:
        rig.backend.outage(0, 300, calls=("submit",), error=LIMIT)
        rig.finish(*(entry(name) for name in names))
        assert rig.clock.monotonic() < 300 + 30 + 10


def test_one_that_comes_later_has_its_own_queue_timeout(tmp_path: Path) -> None:
    with engine_rig(tmp_path / "l.sqlite", {"a": script(ended(0)), "b": script(ended(0))}) as rig:
        rig.backend.outage(0, 1000, calls=("submit",), error=LIMIT)
        with rig.clock.auto(DAY):
            rig.engine.add([entry("a", queue_timeout=7200.0)])
            assert rig.engine.next_result(900.0) is None
            rig.engine.add([entry("b", queue_timeout=600.0)])
            results = [rig.engine.next_result(1000.0), rig.engine.next_result(1000.0)]
            assert [result and result.judgement.verdict for result in results] == [Verdict.PASSED] * 2
            rig.engine.close(60.0)


def test_an_hour_in_which_nobody_asked_does_not_count(tmp_path: Path) -> None:
    """The window is full of another cluster's job; what was refused before that and after it is no hour of
    refusals."""
    scripts = {
        "o": script(running(), (3600, ended(0))),
        "b": script(ended(0), answers=(THROTTLE, THROTTLE, ACCEPT)),
    }
    one = Capabilities(submit_threads=1)
    with engine_rig(tmp_path / "l.sqlite", scripts, max_jobs=1, capabilities=one) as rig:
        results = rig.finish(elsewhere(entry("b", queue_timeout=600.0)), entry("o"))
        assert list(results) == ["o", "b"]
        assert results["b"].judgement.verdict is Verdict.PASSED


def test_a_job_whose_answer_was_lost_may_be_what_takes_the_place(tmp_path: Path) -> None:
    scripts = {
        "a": script(running(), (400, ended(0)), answers=(LOSE,), visible_after=150),
        "b": script(ended(0)),
    }
    slow = Capabilities(submit_threads=1, find_settle=200.0)
    with engine_rig(tmp_path / "l.sqlite", scripts, capabilities=slow) as rig:
        with_places(rig, 1)
        results = rig.finish(entry("a", queue_timeout=1000.0), entry("b", queue_timeout=100.0))
        assert {result.judgement.verdict for result in results.values()} == {Verdict.PASSED}


def test_however_seldom_each_kind_is_asked_for_their_queue_timeout_comes(tmp_path: Path) -> None:
    """Twenty kinds of cells at a Slurm that says no after a minute, and four threads to ask."""
    with engine_rig(tmp_path / "l.sqlite", {}) as rig:
        cells = [
            entry(f"x{n}", queue_timeout=600.0, options={"partition": "full", "qos": n}) for n in range(20)
        ]
        asking_for("full", rig, seconds=70.0)
        results = rig.finish(*cells)
        assert {result.outcome.reason for result in results.values()} == {Reason.QUEUE_TIMEOUT}
        assert rig.clock.monotonic() < 3600


def test_one_refusal_costs_no_place_in_the_queue(tmp_path: Path) -> None:
    names = [f"o{number}" for number in range(50)]
    scripts = {name: script(running(), (600, ended(0))) for name in names}
    scripts["b"] = script(ended(0), answers=(THROTTLE, ACCEPT))
    with engine_rig(tmp_path / "l.sqlite", scripts, max_jobs=2) as rig:
        results = rig.finish(elsewhere(entry("b")), *(entry(name) for name in names))
        assert list(results).index("b") < 10


def test_a_launch_waits_for_the_last_answer(tmp_path: Path) -> None:
    with engine_rig(tmp_path / "l.sqlite", {"a": script(ended(0))}) as rig, rig.clock.auto(DAY):
        submit = rig.backend.submit

        def slow(spec: JobSpec, token: str) -> Handle:
            if rig.clock.monotonic() < 200:
                rig.clock.sleep(70.0)
                raise LIMIT
            return submit(spec, token)

        rig.backend.submit = slow  # type: ignore[method-assign]
        rig.engine.add([entry("a")])
        rig.engine.settle(60.0, lambda: None)
        assert not rig.engine.unsubmitted()
        rig.engine.close(600.0)


def test_a_launch_that_is_given_up_submits_no_more_of_what_it_has_taken_up(tmp_path: Path) -> None:
    with engine_rig(tmp_path / "l.sqlite", {}) as rig, rig.clock.auto(DAY):
        asking_for("full", rig, seconds=70.0)
        options = [{"partition": "full", "qos": number} for number in range(300)]
        rig.engine.add([entry(f"x{n}", options=each) for n, each in enumerate(options)])
        assert rig.engine.next_result(1.0) is None
        before = rig.clock.monotonic()
        rig.engine.detach()
        assert rig.clock.monotonic() - before < 100
        assert len(rig.engine.unsubmitted()) == 300


def test_options_of_any_kind_are_told_apart(tmp_path: Path) -> None:
    with engine_rig(tmp_path / "l.sqlite", {"a": script(ended(0))}) as rig:
        result = rig.finish(entry("a", options={"ports": {80: "http", "admin": 81}}))["a"]
        assert result.judgement.verdict is Verdict.PASSED


def test_nothing_is_left_of_one_that_was_submitted_in_vain_before(tmp_path: Path) -> None:
    scripts = {
        "a": script(ended(0), answers=(FAIL, *[THROTTLE] * 100)),
        "b": script(ended(0), answers=[THROTTLE] * 100),
    }
    with engine_rig(tmp_path / "l.sqlite", scripts) as rig:
        results = rig.finish(entry("a", queue_timeout=600.0), entry("b", queue_timeout=600.0))
        assert {result.outcome.reason for result in results.values()} == {Reason.QUEUE_TIMEOUT}
        assert rig.ledger.attempts() == []


def test_one_that_was_never_taken_meets_no_expectation(tmp_path: Path) -> None:
    """``queue_timeout`` is about a job that the cluster let wait."""
    with engine_rig(tmp_path / "l.sqlite", {}) as rig:
        rig.backend.outage(0, DAY, calls=("submit",), error=LIMIT)
        wanted = Expectation(reasons=(Reason.QUEUE_TIMEOUT,))
        result = rig.finish(entry("a", queue_timeout=600.0, expect=wanted))["a"]
        assert result.outcome.reason is Reason.QUEUE_TIMEOUT
        assert result.judgement.verdict is Verdict.ERROR
        cell = entry("a", expect=wanted)
        assert rejudge(cell, cell.cell, None, result, None, Secrets(tmp_path)).judgement == result.judgement


def test_it_is_said_why_they_wait(tmp_path: Path) -> None:
    with engine_rig(tmp_path / "l.sqlite", {"a": script(ended(0))}) as rig, rig.clock.auto(DAY):
        rig.backend.outage(0, 100, calls=("submit",), error=LIMIT)
        rig.engine.add([entry("a")])
        assert rig.engine.next_result(10.0) is None
        assert rig.engine.refusals == {"scripted": "AssocMaxSubmitJobLimit"}
        assert rig.engine.counts()["queued"] == 1
        assert rig.engine.next_result(1000.0) is not None
        assert rig.engine.refusals == {}
        rig.engine.close(60.0)


def waiting(rig: EngineRig, then: Callable[[], None]) -> None:
    """Let a cell wait outside for some seconds before something happens."""
    rig.backend.outage(0, DAY, calls=("submit",), error=LIMIT)
    with rig.clock.auto(DAY):
        rig.engine.add([entry("a")])
        assert rig.engine.next_result(20.0) is None
        then()


def test_one_that_waits_can_be_cancelled(tmp_path: Path) -> None:
    with engine_rig(tmp_path / "l.sqlite", {}) as rig:

        def cancel() -> None:
            rig.engine.cancel(["m.yaml::a"], "not wanted")
            result = rig.engine.next_result(60.0)
            assert result is not None and result.judgement.verdict is Verdict.NOT_RUN
            assert rig.engine.close(60.0) == 0

        waiting(rig, cancel)


def test_nothing_is_left_of_one_that_waits_when_the_session_ends(tmp_path: Path) -> None:
    with engine_rig(tmp_path / "l.sqlite", {}) as rig:

        def end() -> None:
            assert rig.engine.close(60.0) == 0
            assert rig.ledger.attempts() == []
            assert not rig.backend.jobs

        waiting(rig, end)


class Hooks(NoExtensions):
    """Counts how often a cell is prepared."""

    def __init__(self) -> None:
        self.prepared: list[int] = []
        self.ends: list[str] = []

    def prepare(self, cell: Cell, attempt: int) -> JobSpec:
        """Take note."""
        self.prepared.append(attempt)
        return cell.spec

    def ended(self, cell: Cell, result: Result) -> tuple[()]:
        """Take note."""
        self.ends.append(result.key)
        return ()


def test_hooks_see_an_attempt_once_however_often_it_is_submitted(tmp_path: Path) -> None:
    hooks = Hooks()
    scripts = {"a": script(ended(0), answers=(THROTTLE, THROTTLE, ACCEPT))}
    with engine_rig(tmp_path / "l.sqlite", scripts, extensions=hooks) as rig:
        rig.finish(entry("a"))
    assert (hooks.prepared, hooks.ends) == ([1], ["m.yaml::a"])


def test_hooks_are_told_the_end_of_what_they_were_asked_about(tmp_path: Path) -> None:
    hooks = Hooks()
    with engine_rig(tmp_path / "l.sqlite", {}, extensions=hooks) as rig:
        rig.backend.outage(0, DAY, calls=("submit",), error=LIMIT)
        rig.finish(entry("a", queue_timeout=600.0))
    assert (hooks.prepared, hooks.ends) == ([1], ["m.yaml::a"])


def elsewhere(registration: Registration) -> Registration:
    """The same cell on another cluster."""
    return replace(registration, cell=replace(registration.cell, backend="other"))


def test_the_cells_of_other_clusters_do_not_wait(tmp_path: Path) -> None:
    with engine_rig(tmp_path / "l.sqlite", {"b": script(ended(0))}) as rig:
        submit = rig.backend.submit

        def refusing(spec: JobSpec, token: str) -> Handle:
            if spec.name == "a" and rig.clock.monotonic() < 1000:
                raise LIMIT
            return submit(spec, token)

        rig.backend.submit = refusing  # type: ignore[method-assign]
        results = rig.finish(entry("a"), elsewhere(entry("b")))
        assert list(results) == ["b", "a"]
        assert {result.judgement.verdict for result in results.values()} == {Verdict.PASSED}
