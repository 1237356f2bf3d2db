"""The engine on a scripted cluster: what it does when all is well, and how little it asks."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from pytest_clusterjobs.backends.protocol import Capabilities
from pytest_clusterjobs.model import ActionKind
from pytest_clusterjobs.model import Expectation
from pytest_clusterjobs.model import LogExpectation
from pytest_clusterjobs.model import Phase
from pytest_clusterjobs.model import Reason
from pytest_clusterjobs.model import Verdict
from pytest_clusterjobs.model.token import Token
from pytest_clusterjobs.testing.scripts import ACCEPT
from pytest_clusterjobs.testing.scripts import Cancelling
from pytest_clusterjobs.testing.scripts import ended
from pytest_clusterjobs.testing.scripts import FAIL
from pytest_clusterjobs.testing.scripts import LOSE
from pytest_clusterjobs.testing.scripts import pending
from pytest_clusterjobs.testing.scripts import PrintedLine
from pytest_clusterjobs.testing.scripts import running
from pytest_clusterjobs.testing.scripts import script
from pytest_clusterjobs.testing.scripts import slowly
from pytest_clusterjobs.testing.scripts import THROTTLE
from tests.engine.engine_rig import engine_rig
from tests.engine.engine_rig import entry
from tests.engine.engine_rig import RUN


def test_results_come_in_the_order_of_ends(tmp_path: Path) -> None:
    scripts = {
        "slow": script(running(), (50, ended(0))),
        "fast": script(running(), (10, ended(0))),
        "failing": script(running(), (20, ended(3))),
    }
    with engine_rig(tmp_path / "l.sqlite", scripts) as rig:
        results = rig.finish(entry("slow"), entry("fast"), entry("failing"))
    assert list(results) == ["fast", "failing", "slow"]
    assert results["slow"].judgement.verdict is Verdict.PASSED
    assert results["failing"].judgement.verdict is Verdict.FAILED
    assert results["failing"].outcome.exit_code == 3


def test_two_runs_make_the_same_calls_on_the_same_threads_in_the_same_order(tmp_path: Path) -> None:
    log = (PrintedLine(5, "sps=120\n"),)
    answers = [(ACCEPT,), (THROTTLE, ACCEPT), (LOSE,), (slowly(8.0),), (FAIL, slowly(3.0))]
    scripts = {
        f"job{number}": script(running(), (20 + number % 7, ended(number % 2)), answers=each, log=log)
        for number, each in enumerate(answers * 4)
    }
    cells = [entry(name, expect=Expectation(log=LogExpectation(contains=("sps",)))) for name in scripts]
    capabilities = Capabilities(submit_threads=3, ids_per_poll=4, min_poll_interval=1.0)

    def calls(path: Path) -> list[tuple[object, ...]]:
        made: list[tuple[object, ...]] = []
        with engine_rig(path, scripts, capabilities=capabilities) as rig:

            def noted(owner: object, name: str) -> None:
                ordinary = getattr(owner, name)

                def call(*args: Any, **kwargs: Any) -> Any:
                    begin = rig.clock.monotonic()
                    made.append((begin, threading.current_thread().name, name, repr(args), repr(kwargs)))
                    return ordinary(*args, **kwargs)

                setattr(owner, name, call)

            for name in ("submit", "poll", "find", "logs", "cancel", "sweep"):
                noted(rig.backend, name)
            noted(rig.ledger, "commit")
            assert len(rig.finish(*cells)) == len(cells)
        return made

    first, second = calls(tmp_path / "1.sqlite"), calls(tmp_path / "2.sqlite")
    assert len({thread for _, thread, *_ in first}) == 3
    assert first == second


def test_the_run_takes_as_long_as_its_slowest_job_and_one_poll(tmp_path: Path) -> None:
    scripts = {f"job{n}": script(running(), (100 + n, ended(0))) for n in range(12)}
    with engine_rig(tmp_path / "l.sqlite", scripts) as rig:
        rig.finish(*(entry(name) for name in scripts))
        assert rig.clock.monotonic() <= 111 * 1.05 + 2


def test_every_attempt_is_submitted_once_under_its_own_token(tmp_path: Path) -> None:
    scripts = {f"job{n}": script(ended(0)) for n in range(40)}
    with engine_rig(tmp_path / "l.sqlite", scripts) as rig:
        rig.finish(*(entry(name) for name in scripts))
        assert set(rig.backend.calls.submits.values()) == {1}
        assert set(rig.backend.jobs) == {str(Token.of(RUN, f"m.yaml::{name}", 1)) for name in scripts}


def test_adding_a_cell_again_submits_nothing(tmp_path: Path) -> None:
    with engine_rig(tmp_path / "l.sqlite", {}) as rig:
        rig.engine.add([entry("a")])
        rig.finish(entry("a"))
        assert rig.backend.calls.names == {"a": 1}


def test_polls_are_batched_and_grow_rarer_with_age(tmp_path: Path) -> None:
    scripts = {f"job{n}": script(running(), (3600, ended(0))) for n in range(250)}
    capabilities = Capabilities(ids_per_poll=100, min_poll_interval=1.0)
    with engine_rig(tmp_path / "l.sqlite", scripts, capabilities=capabilities) as rig:
        rig.finish(*(entry(name) for name in scripts))
        rounds = len(rig.backend.calls.polls) / 3
        # 5 % of age from 1 s to 30 s: 20 s at 1 s each, log(600/20)/log(1.05) steps, then every 30 s.
        assert rounds < 260
        assert all(len(poll.tokens) <= 100 for poll in rig.backend.calls.polls)


def test_the_window_bounds_the_jobs_in_flight(tmp_path: Path) -> None:
    scripts = {f"job{n}": script(running(), (10, ended(0))) for n in range(20)}
    with engine_rig(tmp_path / "l.sqlite", scripts, max_jobs=5) as rig:
        rig.finish(*(entry(name) for name in scripts))
        starts = sorted(job.accepted for job in rig.backend.jobs.values())
        assert all(later - earlier >= 10 for earlier, later in zip(starts, starts[5:], strict=False))


def test_the_window_counts_nodes(tmp_path: Path) -> None:
    scripts = {f"job{n}": script(running(), (10, ended(0))) for n in range(4)}
    with engine_rig(tmp_path / "l.sqlite", scripts, max_nodes=8) as rig:
        rig.finish(*(entry(name, nodes=4) for name in scripts))
        starts = sorted(job.accepted for job in rig.backend.jobs.values())
        assert starts[2] - starts[0] >= 10


def test_a_job_larger_than_the_window_is_refused_not_waited_for(tmp_path: Path) -> None:
    with engine_rig(tmp_path / "l.sqlite", {}, max_nodes=2) as rig:
        result = rig.finish(entry("wide", nodes=4))["wide"]
        assert result.outcome.reason == Reason.REJECTED
        assert "--cluster-max-nodes" in result.outcome.detail
        assert not rig.backend.calls.submits


def test_the_submission_rate_is_kept(tmp_path: Path) -> None:
    capabilities = Capabilities(submissions_per_second=2.0, submit_threads=4)
    with engine_rig(tmp_path / "l.sqlite", {}, capabilities=capabilities) as rig:
        rig.finish(*(entry(f"job{n}") for n in range(10)))
        starts = sorted(job.accepted for job in rig.backend.jobs.values())
        assert starts[-1] - starts[0] == 4.5


def test_closing_cancels_what_lives_and_what_is_on_its_way(tmp_path: Path) -> None:
    scripts = {f"job{n}": script(running()) for n in range(6)}
    with engine_rig(tmp_path / "l.sqlite", scripts, max_jobs=4) as rig, rig.clock.auto():
        rig.engine.add([entry(name) for name in scripts])
        rig.until_live(4)
        assert rig.engine.close(60.0) == 0
        assert rig.backend.live() == []
        assert len(rig.backend.jobs) == 4
        actions = {attempt.action.kind for attempt in rig.ledger.attempts() if attempt.action}
        assert actions == {ActionKind.CANCEL}
        assert {r.judgement.verdict for r in rig.ledger.results().values()} == {Verdict.NOT_RUN}


def test_a_job_that_ignores_its_cancel_is_left_and_counted(tmp_path: Path) -> None:
    scripts = {"stubborn": script(running(), cancelling=Cancelling(None))}
    with engine_rig(tmp_path / "l.sqlite", scripts) as rig, rig.clock.auto():
        rig.engine.add([entry("stubborn")])
        rig.until_live(1)
        assert rig.engine.close(5.0) == 1


def test_leaving_the_jobs_waits_for_those_that_are_being_cancelled(tmp_path: Path) -> None:
    scripts = {name: script(running(), cancelling=Cancelling(20.0)) for name in ("a", "b")}
    with engine_rig(tmp_path / "l.sqlite", scripts) as rig, rig.clock.auto(86400.0):
        rig.engine.add([entry("a"), entry("b")])
        rig.until_live(2)
        rig.engine.cancel(["m.yaml::a"], "a limit")
        rig.engine.detach()
        assert len(rig.backend.live()) == 1


def test_cancelling_one_cell_leaves_the_others(tmp_path: Path) -> None:
    scripts = {"a": script(running()), "b": script(running(), (60, ended(0)))}
    with engine_rig(tmp_path / "l.sqlite", scripts) as rig, rig.clock.auto():
        rig.engine.add([entry("a"), entry("b")])
        rig.until_live(2)
        rig.engine.cancel(["m.yaml::a"], "nobody looks")
        first = rig.engine.next_result(600.0)
        assert first is not None and first.key == "m.yaml::a"
        second = rig.engine.next_result(600.0)
        assert second is not None and second.judgement.verdict is Verdict.PASSED
        rig.engine.close(5.0)


def test_a_queue_that_does_not_move_times_out(tmp_path: Path) -> None:
    scripts = {"stuck": script(pending("Resources"))}
    with engine_rig(tmp_path / "l.sqlite", scripts) as rig:
        result = rig.finish(entry("stuck", queue_timeout=600.0))["stuck"]
        assert result.outcome.reason == Reason.QUEUE_TIMEOUT
        assert result.judgement.verdict is Verdict.ERROR
        assert "Resources" in result.outcome.detail
        assert 600 <= rig.clock.monotonic() <= 640
        assert rig.backend.live() == []


def test_an_expected_queue_timeout_passes(tmp_path: Path) -> None:
    expect = Expectation(reasons=(Reason.QUEUE_TIMEOUT,), exit_codes=None)
    with engine_rig(tmp_path / "l.sqlite", {"stuck": script(pending())}) as rig:
        result = rig.finish(entry("stuck", queue_timeout=600.0, expect=expect))["stuck"]
        assert result.judgement.verdict is Verdict.PASSED


def test_a_job_whose_own_side_is_dead_is_ended_here(tmp_path: Path) -> None:
    with engine_rig(tmp_path / "l.sqlite", {"a": script(running())}) as rig:
        result = rig.finish(entry("a", max_runtime=100.0, grace_period=10.0))["a"]
        assert result.outcome.reason == Reason.MAX_RUNTIME_REACHED
        assert 170 <= rig.clock.monotonic() <= 200


def test_the_test_timeout_counts_from_the_jobs_start_and_always_fails(tmp_path: Path) -> None:
    scripts = {"a": script(pending(), (100, running()))}
    expect = Expectation(reasons="any")
    with engine_rig(tmp_path / "l.sqlite", scripts) as rig:
        result = rig.finish(entry("a", test_timeout=20.0, expect=expect))["a"]
        assert result.judgement.verdict is Verdict.FAILED
        assert "Timeout (>20s) from job start" in result.outcome.detail
        assert 120 <= rig.clock.monotonic() <= 130
        assert rig.backend.live() == []


def test_missing_secrets_refuse_the_submission_by_name(tmp_path: Path) -> None:
    with engine_rig(tmp_path / "l.sqlite", {}) as rig:
        result = rig.finish(entry("a", secrets=("NO_SUCH_SECRET_OF_A_TEST",)))["a"]
        assert result.outcome.reason == Reason.REJECTED
        assert "NO_SUCH_SECRET_OF_A_TEST" in result.outcome.detail
        assert not rig.backend.calls.submits


def test_what_is_seen_is_kept_when_it_changes_not_at_every_poll(tmp_path: Path) -> None:
    """Half a day of a job is a few rows, however often somebody asked."""
    life = script(pending("Resources"), (3600, running()), (43200, ended(0)))
    with engine_rig(tmp_path / "l.sqlite", {"a": life}) as rig:
        rig.finish(entry("a", max_runtime=86400.0))
        polls = len(rig.backend.calls.polls)
        token = rig.ledger.attempts()[0].token
        assert polls > 1000
        assert [seen.phase for _, seen in rig.ledger.history(token)] == [Phase.PENDING, Phase.RUNNING]
        size = sum(path.stat().st_size for path in tmp_path.iterdir())
        assert size < 1 << 20
