"""What a backend cannot do is refused before anything is submitted: by its capabilities, and by its
cluster's word."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_clusterjobs.backends.protocol import BackendError
from pytest_clusterjobs.backends.protocol import Capabilities
from pytest_clusterjobs.engine.extensions import NoExtensions
from pytest_clusterjobs.engine.run import Earlier
from pytest_clusterjobs.model import ActionKind
from pytest_clusterjobs.model import Cell
from pytest_clusterjobs.model import Expectation
from pytest_clusterjobs.model import Handle
from pytest_clusterjobs.model import JobSpec
from pytest_clusterjobs.model import Outcome
from pytest_clusterjobs.model import Reason
from pytest_clusterjobs.model import Source
from pytest_clusterjobs.model import Verdict
from pytest_clusterjobs.model.records import Registration
from pytest_clusterjobs.testing.scripts import ended
from pytest_clusterjobs.testing.scripts import running
from pytest_clusterjobs.testing.scripts import script
from tests.engine.engine_rig import engine_rig
from tests.engine.engine_rig import EngineRig
from tests.engine.engine_rig import entry

NARROW = Capabilities(max_nodes=1, restarts=False)
REJECTED = Expectation(reasons=(Reason.REJECTED,), exit_codes=None)
ANY = Expectation(reasons=tuple(Reason), exit_codes=None)


def refused(outcome: Outcome) -> str:
    """Why this run refused a job."""
    assert outcome.action is not None and outcome.action.kind is ActionKind.REFUSED
    assert (outcome.reason, outcome.source) == (Reason.REJECTED, Source.THIS_RUN)
    return outcome.action.why


@pytest.mark.parametrize(
    ("capabilities", "fields", "why"),
    [
        (
            NARROW,
            {"nodes": 8},
            "backend scripted runs jobs of 1 node at most, not of 8 nodes",
        ),
        (Capabilities(max_nodes=4), {"nodes": 5}, "backend scripted runs jobs of 4 nodes at most"),
        (NARROW, {"max_restarts": 1}, "backend scripted does not start jobs again, max_restarts is 1"),
        (
            Capabilities(max_restarts=9),
            {"max_restarts": 10},
            "backend scripted starts a job again 9 times at most, max_restarts is 10",
        ),
        (
            Capabilities(max_nodes=1, remedies={"max_nodes": "buy more"}),
            {"nodes": 2},
            "backend scripted runs jobs of 1 node at most, not of 2 nodes: buy more",
        ),
    ],
)
@pytest.mark.parametrize("expect", [Expectation(), REJECTED, ANY])
def test_what_it_cannot_do_is_refused_whatever_is_expected(
    tmp_path: Path, capabilities: Capabilities, fields: dict[str, Any], why: str, expect: Expectation
) -> None:
    with engine_rig(tmp_path / "l.sqlite", {}, capabilities=capabilities) as rig:
        result = rig.finish(entry("a", expect=expect, infra_retries=3, **fields))["a"]
        assert why in refused(result.outcome) and why in result.outcome.detail
        assert result.judgement.verdict is Verdict.ERROR
        assert not rig.backend.calls.submits
        (attempt,) = rig.ledger.attempts()
        assert attempt.outcome == result.outcome


def test_the_limit_itself_is_no_excess(tmp_path: Path) -> None:
    with engine_rig(tmp_path / "l.sqlite", {}, capabilities=Capabilities(max_nodes=4, max_restarts=2)) as rig:
        results = rig.finish(entry("a", nodes=4), entry("b", max_restarts=2))
        assert {each.judgement.verdict for each in results.values()} == {Verdict.PASSED}


def watch_submissions(rig: EngineRig) -> list[set[str]]:
    """At each submission: which cells have their results already."""
    ordinary, seen = rig.backend.submit, []

    def submit(spec: JobSpec, token: str) -> Handle:
        seen.append({key.rpartition("::")[2] for key in rig.results})
        return ordinary(spec, token)

    rig.backend.submit = submit  # type: ignore[method-assign]
    return seen


def test_all_are_looked_at_before_the_first_is_submitted(tmp_path: Path) -> None:
    scripts = {f"job{n}": script(running(), (60, ended(0))) for n in range(5)}
    with engine_rig(tmp_path / "l.sqlite", scripts, capabilities=NARROW, max_jobs=1) as rig:
        seen = watch_submissions(rig)
        results = rig.finish(*map(entry, scripts), entry("wide", nodes=2), entry("wider", nodes=3))
        assert seen[0] == {"wide", "wider"} and len(seen) == 5
        assert [results[name].judgement.verdict for name in scripts] == [Verdict.PASSED] * 5
        assert dict(rig.engine.refused) == {
            f"backend scripted runs jobs of 1 node at most, not of {n} nodes": 1 for n in (2, 3)
        }


def test_a_resumed_run_refuses_as_well(tmp_path: Path) -> None:
    with engine_rig(tmp_path / "l.sqlite", {}, capabilities=NARROW) as rig, rig.clock.auto():
        entries = [entry("a"), entry("wide", nodes=2)]
        rig.ledger.register(entries)
        rig.engine.resume(Earlier(entries, {}, {}))
        results = {each.key: each for _ in entries if (each := rig.engine.next_result(600.0)) is not None}
        assert refused(results["m.yaml::wide"].outcome)
        assert results["m.yaml::a"].judgement.verdict is Verdict.PASSED
        assert rig.backend.calls.submits.total() == 1
        rig.engine.close(60.0)


class Hook(NoExtensions):
    """Changes what is submitted."""

    changes_specs = True

    def __init__(self, change: Callable[[JobSpec, int], JobSpec]) -> None:
        self._change = change

    def prepare(self, cell: Cell, attempt: int) -> JobSpec:
        return self._change(cell.spec, attempt)


def test_what_a_hook_makes_of_a_job_is_held_against_the_limits(tmp_path: Path) -> None:
    hook = Hook(lambda spec, attempt: replace(spec, nodes=3 - spec.nodes))
    with engine_rig(tmp_path / "l.sqlite", {}, capabilities=NARROW, extensions=hook) as rig:
        results = rig.finish(entry("widened", nodes=1), entry("narrowed", nodes=2))
        assert "1 node at most, not of 2 nodes" in refused(results["widened"].outcome)
        assert results["narrowed"].judgement.verdict is Verdict.PASSED
        assert rig.backend.calls.submits.total() == 1


def test_a_retry_that_asks_for_more_is_refused(tmp_path: Path) -> None:
    preempted = script(running(), (10, ended(None, hint=Reason.PREEMPTED, word=None)))
    hook = Hook(lambda spec, attempt: replace(spec, nodes=attempt))
    with engine_rig(tmp_path / "l.sqlite", {"a": preempted}, capabilities=NARROW, extensions=hook) as rig:
        result = rig.finish(entry("a", infra_retries=3))["a"]
        assert refused(result.outcome) and result.attempt == 2
        assert rig.backend.calls.submits.total() == 1


def tell(rig: EngineRig, answer: Callable[[Sequence[JobSpec]], Any]) -> list[int]:
    """Have the cluster check selections; how many jobs it was asked about each time."""
    asked: list[int] = []

    def check_selection(specs: Sequence[JobSpec]) -> Any:
        asked.append(len(specs))
        return answer(specs)

    rig.backend.check_selection = check_selection  # type: ignore[attr-defined]
    return asked


def wide(specs: Sequence[JobSpec]) -> list[str]:
    return ["the partition has 2 nodes" if spec.nodes > 2 else "" for spec in specs]


@pytest.mark.parametrize(("expect", "verdict"), [(Expectation(), Verdict.ERROR), (REJECTED, Verdict.PASSED)])
def test_what_the_cluster_says_of_a_selection_is_its_refusal(
    tmp_path: Path, expect: Expectation, verdict: Verdict
) -> None:
    with engine_rig(tmp_path / "l.sqlite", {}) as rig:
        asked, seen = tell(rig, wide), watch_submissions(rig)
        results = rig.finish(entry("a"), entry("wide", nodes=3, expect=expect), entry("b", nodes=2))
        outcome = results["wide"].outcome
        assert (outcome.reason, outcome.source) == (Reason.REJECTED, Source.SCHEDULER)
        assert outcome.native_reason == "the partition has 2 nodes"
        assert results["wide"].judgement.verdict is verdict
        assert asked == [3] and seen[0] == {"wide"} and len(seen) == 2


def test_what_is_beyond_the_capabilities_is_not_asked_about(tmp_path: Path) -> None:
    with engine_rig(tmp_path / "l.sqlite", {}, capabilities=NARROW) as rig:
        asked = tell(rig, wide)
        rig.finish(entry("a"), entry("wide", nodes=3))
        assert asked == [1]


def _breaks(specs: Sequence[JobSpec]) -> Any:
    raise BackendError("503 Service Unavailable")


@pytest.mark.parametrize(
    "answer", [_breaks, lambda specs: [], lambda specs: None, lambda specs: ["x"] * 9, lambda specs: 1 // 0]
)
def test_a_check_that_cannot_tell_refuses_nothing(
    tmp_path: Path, answer: Callable[[Sequence[JobSpec]], Any]
) -> None:
    with engine_rig(tmp_path / "l.sqlite", {}) as rig:
        tell(rig, answer)
        results = rig.finish(entry("a"), entry("wide", nodes=3))
        assert {each.judgement.verdict for each in results.values()} == {Verdict.PASSED}


def test_a_cluster_does_not_tell_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "swordfish")
    with engine_rig(tmp_path / "l.sqlite", {}) as rig:
        tell(rig, lambda specs: ["no right with swordfish" for _ in specs])
        result = rig.finish(entry("a", secrets=("TOKEN",)))["a"]
        assert "swordfish" not in str(result) and result.outcome.reason == Reason.REJECTED


def test_thousands_are_refused_at_once(tmp_path: Path) -> None:
    entries: list[Registration] = [entry(f"wide{n}", nodes=2) for n in range(2000)]
    with engine_rig(tmp_path / "l.sqlite", {}, capabilities=NARROW) as rig:
        commits = []
        ordinary = rig.ledger.commit
        rig.ledger.commit = lambda *given: (commits.append(1), ordinary(*given))[1]  # type: ignore[method-assign, func-returns-value]
        assert len(rig.finish(*entries)) == 2000
        assert 0 < len(commits) < 10
