"""Attempts: jobs that can never start, second chances after infrastructure and after failures, withdrawn
jobs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pytest_clusterjobs.engine.extensions import NoExtensions
from pytest_clusterjobs.engine.limits import STUCK_AFTER_SECONDS
from pytest_clusterjobs.model import Cell
from pytest_clusterjobs.model import JobSpec
from pytest_clusterjobs.model import Reason
from pytest_clusterjobs.model import Source
from pytest_clusterjobs.model import Verdict
from pytest_clusterjobs.model.records import Result
from pytest_clusterjobs.testing.scripts import ended
from pytest_clusterjobs.testing.scripts import pending
from pytest_clusterjobs.testing.scripts import running
from pytest_clusterjobs.testing.scripts import script
from pytest_clusterjobs.testing.scripts import stuck
from tests.engine.engine_rig import engine_rig
from tests.engine.engine_rig import entry


@pytest.mark.parametrize("reason", [Reason.REJECTED, Reason.DEPENDENCY_FAILED])
def test_a_job_that_can_never_start_is_ended_after_a_minute(tmp_path: Path, reason: Reason) -> None:
    with engine_rig(tmp_path / "l.sqlite", {"a": script(stuck("its own words", reason))}) as rig:
        result = rig.finish(entry("a"))["a"]
        assert (result.outcome.reason, result.outcome.source) == (reason, Source.THIS_RUN)
        assert result.judgement.verdict is Verdict.ERROR
        assert "it can never start: its own words" in result.outcome.detail
        assert STUCK_AFTER_SECONDS <= rig.clock.monotonic() < STUCK_AFTER_SECONDS + 40
        assert rig.backend.calls.cancels.total() >= 1


def test_a_word_that_does_not_last_ends_nothing(tmp_path: Path) -> None:
    """A cluster that scales up says so for a while; here for 50 s, three times."""
    waves = [(70.0 * n + delay, state) for n in range(3) for delay, state in ((0, stuck()), (50, pending()))]
    with engine_rig(tmp_path / "l.sqlite", {"a": script(*waves, (220, running()), (230, ended(0)))}) as rig:
        assert rig.finish(entry("a"))["a"].judgement.verdict is Verdict.PASSED


def test_a_failure_is_rerun_as_often_as_asked_and_each_attempt_is_kept(tmp_path: Path) -> None:
    scripts = {"a": [script(running(), (2, ended(3)))] * 2 + [script(running(), (2, ended(0)))]}
    with engine_rig(tmp_path / "l.sqlite", scripts) as rig:
        result = rig.finish(entry("a", reruns=2))["a"]
        assert (result.judgement.verdict, result.attempt) == (Verdict.PASSED, 3)
        codes = [attempt.outcome.exit_code for attempt in rig.ledger.attempts() if attempt.outcome]
        assert codes == [3, 3, 0]


def test_reruns_run_out(tmp_path: Path) -> None:
    with engine_rig(tmp_path / "l.sqlite", {"a": script(ended(3))}) as rig:
        result = rig.finish(entry("a", reruns=1))["a"]
        assert (result.judgement.verdict, result.attempt) == (Verdict.FAILED, 2)


def test_retries_and_reruns_are_counted_apart(tmp_path: Path) -> None:
    lost = script(ended(None, hint=Reason.NODE_FAILED, word=None))
    scripts = {"a": [lost, script(ended(3)), lost, script(ended(0))]}
    with engine_rig(tmp_path / "l.sqlite", scripts) as rig:
        result = rig.finish(entry("a", reruns=1, infra_retries=2))["a"]
        assert (result.judgement.verdict, result.attempt) == (Verdict.PASSED, 4)


def test_a_pass_is_not_rerun(tmp_path: Path) -> None:
    with engine_rig(tmp_path / "l.sqlite", {"a": script(ended(0))}) as rig:
        assert rig.finish(entry("a", reruns=3))["a"].attempt == 1


def test_a_job_that_is_cancelled_before_its_submission_has_its_result_at_once(tmp_path: Path) -> None:
    scripts = {"a": script(running(), (60, ended(0))), "b": script(ended(0))}
    with engine_rig(tmp_path / "l.sqlite", scripts, max_jobs=1) as rig, rig.clock.auto(3600):
        rig.engine.add([entry("a"), entry("b")])
        rig.until_live(1)
        rig.engine.cancel(["m.yaml::b"], "nobody wants it")
        result = rig.engine.wait_for("m.yaml::b", 10.0)
        assert result is not None and result.judgement.verdict is Verdict.NOT_RUN
        assert rig.ledger.results()["m.yaml::b"] == result
        assert rig.backend.calls.submits.total() == 1
        rig.engine.close(60.0)


class Wider(NoExtensions):
    """Makes second attempts wider, and notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[int, str]] = []

    def prepare(self, cell: Cell, attempt: int) -> JobSpec:
        return cell.spec if attempt == 1 else replace(cell.spec, nodes=2)

    def ended(self, cell: Cell, result: Result) -> tuple[()]:
        self.told.append((result.attempt, result.outcome.reason))
        return ()


def test_what_a_hook_changed_is_what_is_submitted_judged_and_kept(tmp_path: Path) -> None:
    lost = script(ended(None, hint=Reason.NODE_FAILED, word=None))
    wider = Wider()
    with engine_rig(tmp_path / "l.sqlite", {"a": [lost, script(ended(0))]}, extensions=wider) as rig:
        result = rig.finish(entry("a", infra_retries=1))["a"]
        assert result.judgement.verdict is Verdict.PASSED
        assert len(result.outcome.nodes) == 2
        first, second = rig.ledger.attempts()
        assert first.spec is None
        assert second.spec is not None and second.spec.nodes == 2
        assert wider.told == [(1, "node_failed"), (2, "job_completed")]
