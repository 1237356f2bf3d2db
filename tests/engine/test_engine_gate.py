"""A cluster that takes no jobs for now: they wait outside, are asked for seldom, and have an end in sight."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pytest_clusterjobs.backends.protocol import Capabilities
from pytest_clusterjobs.backends.protocol import Throttled
from pytest_clusterjobs.engine.extensions import NoExtensions
from pytest_clusterjobs.engine.records import Registration
from pytest_clusterjobs.jobs import Cell
from pytest_clusterjobs.jobs import Handle
from pytest_clusterjobs.jobs import JobSpec
from pytest_clusterjobs.jobs import Reason
from pytest_clusterjobs.jobs import Verdict
from pytest_clusterjobs.testing.rig import engine_rig
from pytest_clusterjobs.testing.rig import EngineRig
from pytest_clusterjobs.testing.rig import entry
from pytest_clusterjobs.testing.scripts import ACCEPT
from pytest_clusterjobs.testing.scripts import ended
from pytest_clusterjobs.testing.scripts import running
from pytest_clusterjobs.testing.scripts import script
from pytest_clusterjobs.testing.scripts import THROTTLE

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
    """Each runs for an hour, and only two at a time are let in: the last waits longer than ``queue_timeout``, for its own run."""
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

    def prepare(self, cell: Cell, attempt: int) -> JobSpec:
        """Take note."""
        self.prepared.append(attempt)
        return cell.spec


def test_hooks_see_an_attempt_once_however_often_it_is_submitted(tmp_path: Path) -> None:
    hooks = Hooks()
    scripts = {"a": script(ended(0), answers=(THROTTLE, THROTTLE, ACCEPT))}
    with engine_rig(tmp_path / "l.sqlite", scripts, extensions=hooks) as rig:
        rig.finish(entry("a"))
    assert hooks.prepared == [1]


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
