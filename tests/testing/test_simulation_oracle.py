"""The oracle of the simulation reports a sabotaged history by the right rule, and accepts a true one."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import replace

import pytest

from pytest_clusterjobs.model import Classification
from pytest_clusterjobs.model import ClassifyRule
from pytest_clusterjobs.model import Expectation
from pytest_clusterjobs.model import Judgement
from pytest_clusterjobs.model import LogExpectation
from pytest_clusterjobs.model import Outcome
from pytest_clusterjobs.model import Reason
from pytest_clusterjobs.model import REASON_CLASSES
from pytest_clusterjobs.model import ReasonClass
from pytest_clusterjobs.model import Source
from pytest_clusterjobs.model import Verdict
from pytest_clusterjobs.model.records import Attempt
from pytest_clusterjobs.model.records import Result
from pytest_clusterjobs.model.token import Token
from pytest_clusterjobs.testing.simulation.behaviour import Behaviour
from pytest_clusterjobs.testing.simulation.behaviour import RankBehaviour
from pytest_clusterjobs.testing.simulation.cells import draw_cells
from pytest_clusterjobs.testing.simulation.cells import SimulatedCell
from pytest_clusterjobs.testing.simulation.coverage import Coverage
from pytest_clusterjobs.testing.simulation.coverage_bounds import CoverageBounds
from pytest_clusterjobs.testing.simulation.expected import true_verdict
from pytest_clusterjobs.testing.simulation.facts import Fact
from pytest_clusterjobs.testing.simulation.facts import Violation
from pytest_clusterjobs.testing.simulation.oracle import Bounds
from pytest_clusterjobs.testing.simulation.oracle import meets
from pytest_clusterjobs.testing.simulation.oracle import Oracle
from pytest_clusterjobs.testing.simulation.rng import Rng
from pytest_clusterjobs.testing.simulation.shrink import Plan
from pytest_clusterjobs.testing.simulation.shrink import render
from pytest_clusterjobs.testing.simulation.shrink import ShownHistory
from pytest_clusterjobs.testing.simulation.shrink import shrink
from pytest_clusterjobs.testing.simulation.truth import TrueEnd

RUN = "20260101t000000-000000"


def an_end(
    reason: str = "job_completed", code: int | None = 0, *, at: float = 50.0, by: str = "itself"
) -> TrueEnd:
    return TrueEnd(reason, code, restarts=0, heartbeats=2, begun=True, at=at, by=by)


class Job:
    """A job that the sabotaged cluster had."""

    def __init__(self, number: int, token: str, end: TrueEnd | None = None) -> None:
        self.number = number
        self.token = token
        self.submitted_at = 1.0
        self.started_at = [2.0]
        self.truth: TrueEnd | None = end or an_end()

    def end(self) -> TrueEnd | None:
        return self.truth

    def is_unlisted(self, now: float) -> bool:
        return False

    def command_end(self) -> TrueEnd | None:
        return None

    def has_dismissed(self) -> bool:
        return False

    def partial_ends(self) -> tuple[tuple[str, int | None], ...]:
        return ()


def plain_cells(count: int = 2) -> list[SimulatedCell]:
    """Cells that expect ``job_completed``, and nothing of their logs."""
    cells = [cell for seed in range(40) for cell in draw_cells(Rng(seed), faults=0.0) if seed % 2]
    found = []
    for number, cell in enumerate(cells[:count]):
        entry = cell.registration
        plain = replace(
            entry.cell, expect=Expectation(), classify=Classification(), infra_retries=0, backend="sim"
        )
        key = f"m.yaml::cell-{number}"
        entry = replace(entry, key=key, cell=plain, reruns=0, test_timeout=None)
        found.append(replace(cell, registration=entry, behaviours=[Behaviour([[RankBehaviour()]], [])]))
    return found


def a_result(key: str, verdict: Verdict, job_id: str, reason: str = "job_completed") -> Result:
    outcome = Outcome(reason, REASON_CLASSES[reason], Source.SENTINEL)
    return Result(key, outcome, Judgement(verdict), job_id=job_id)


def token(key: str, number: int = 1) -> str:
    return str(Token.of(RUN, key, number))


class TrueHistory:
    """Two cells that complete and pass; each test changes one thing before ``feed``."""

    def __init__(self, **bounds: object) -> None:
        self.cells = plain_cells()
        self.keys = [cell.key for cell in self.cells]
        self.oracle = Oracle(RUN, self.cells, Bounds(ends_by=1000.0, **bounds))  # type: ignore[arg-type]
        self.jobs = [Job(i, token(key)) for i, key in enumerate(self.keys)]
        self.results = [
            a_result(key, Verdict.PASSED, str(job.number))
            for key, job in zip(self.keys, self.jobs, strict=True)
        ]
        self.commits = list(self.results)
        self.stored = list(self.results)
        self.polls = [10.0, 20.0, 50.0]
        self.known = [job.token for job in self.jobs]
        self.finished: float | None = 70.0

    def feed(self) -> list[Violation]:
        oracle = self.oracle
        oracle.on_commit(0.5, intents=self.known)
        for job in self.jobs:
            oracle.on_call("submit", "sim", job.submitted_at, [job.token])
            oracle.on_submit_effect(job)
        for at in self.polls:
            oracle.on_call("poll", "sim", at, [job.token for job in self.jobs])
        for result in self.commits:
            oracle.on_commit(60.0, [result])
        for result in self.results:
            oracle.on_publish(result, 60.0)
        if self.finished is not None:
            oracle.on_process("finished", self.finished)
        attempts = [Attempt(each, key, 1, 0.5) for each, key in zip(self.known, self.keys, strict=False)]
        oracle.on_ledger(attempts, {result.key: result for result in self.stored})
        return oracle.violations()


def rules(violations: list[Violation]) -> list[str]:
    return sorted({each.rule for each in violations})


def test_a_true_history_breaks_no_rule() -> None:
    assert TrueHistory().feed() == []


def test_a_wrong_verdict() -> None:
    history = TrueHistory()
    history.jobs[0].truth = an_end("job_failed", 3)
    found = history.feed()
    assert rules(found) == ["c", "c2"]
    assert "passed, the truth" in found[0].text


def test_a_wrong_verdict_in_a_history_with_a_cause() -> None:
    history = TrueHistory()
    history.jobs[0].truth = an_end("job_failed", 3)
    history.oracle.on_fact(Fact("forgotten", 5.0, 5.0, history.keys[0]))
    assert rules(history.feed()) == ["c"]


@pytest.mark.parametrize(
    ("facts", "broken"),
    [
        ([], ["c", "c2"]),
        ([Fact("error_after", 1.0, 1.0)], ["c", "c2"]),
        ([Fact("outage", 1.0, 100.0)], ["c", "c2"]),
        ([Fact("outage", 1.0, 400.0)], []),
        ([Fact("forgotten", 1.0, 1.0)], []),
        ([Fact("forgotten", 1.0, 1.0, "m.yaml::cell-1")], ["c", "c2"]),
        ([Fact("lost_log", 1.0, 1.0)], ["c"]),
    ],
)
def test_an_error_needs_a_cause(facts: list[Fact], broken: list[str]) -> None:
    history = TrueHistory()
    for fact in facts:
        history.oracle.on_fact(fact)
    error = a_result(history.keys[0], Verdict.ERROR, "0", "unknown")
    history.results[0] = history.commits[0] = history.stored[0] = error
    assert rules(history.feed()) == broken


def test_a_lost_log_is_a_cause_where_only_the_log_has_the_reports() -> None:
    history = TrueHistory(reports_in_polls=False)
    history.oracle.on_fact(Fact("lost_log", 1.0, 1.0, history.keys[0]))
    error = a_result(history.keys[0], Verdict.ERROR, "0", "unknown")
    history.results[0] = history.commits[0] = history.stored[0] = error
    assert history.feed() == []


def test_a_doubled_job() -> None:
    history = TrueHistory()
    history.jobs.append(Job(2, history.jobs[0].token))
    assert rules(history.feed()) == ["a"]


@pytest.mark.parametrize(
    ("by", "reported", "broken"), [("run", True, []), ("run", False, ["a"]), ("itself", True, ["a"])]
)
def test_an_extra_job_after_a_superseded_driver(by: str, reported: bool, broken: list[str]) -> None:
    history = TrueHistory(unique_tokens=False)
    history.oracle.on_process("superseded", 3.0)
    history.jobs.insert(0, Job(7, history.jobs[0].token, end=an_end("cancelled", None, by=by)))
    if reported:
        history.oracle.on_extra_reported("7")
    assert rules(history.feed()) == broken


def test_a_submission_without_an_intent() -> None:
    history = TrueHistory()
    del history.known[1]
    assert rules(history.feed()) == ["a", "f"]


@pytest.mark.parametrize(
    ("end", "facts", "broken"),
    [
        (None, [], ["b"]),
        (500.0, [], ["b"]),
        (100.0, [], []),
        (500.0, [Fact("outage", 40.0, 450.0)], []),
        (900.0, [Fact("outage", 40.0, 450.0)], ["b"]),
    ],
)
def test_a_leaked_job(end: float | None, facts: list[Fact], broken: list[str]) -> None:
    """A cell whose session was stopped at 60 s; its job lives on until ``end``."""
    history = TrueHistory()
    history.jobs[0].truth = None if end is None else an_end("cancelled", None, at=end, by="run")
    for fact in facts:
        history.oracle.on_fact(fact)
    history.oracle.on_process("stopped", 60.0)
    stopped = a_result(history.keys[0], Verdict.NOT_RUN, "0", "cancelled")
    history.results[0] = history.commits[0] = history.stored[0] = stopped
    assert rules(history.feed()) == broken


def test_a_job_beyond_its_limit() -> None:
    history = TrueHistory()
    spec = history.cells[0].registration.cell.spec
    history.oracle.on_start(history.jobs[0], 2.0, 2.0 + spec.max_runtime + 20.0)
    history.oracle.on_start(history.jobs[1], 2.0, 9000.0)
    assert rules(history.feed()) == ["b"]


def test_a_missing_verdict() -> None:
    history = TrueHistory()
    for results in (history.results, history.commits, history.stored):
        del results[1]
    assert rules(history.feed()) == ["c"]


def test_two_verdicts() -> None:
    history = TrueHistory()
    history.results.append(history.results[0])
    assert rules(history.feed()) == ["c"]


def test_a_changed_verdict() -> None:
    history = TrueHistory()
    history.commits.insert(0, a_result(history.keys[0], Verdict.FAILED, "0"))
    assert rules(history.feed()) == ["d"]


def test_a_resume_may_change_a_not_run() -> None:
    history = TrueHistory()
    history.oracle.on_commit(3.0, [a_result(history.keys[0], Verdict.NOT_RUN, "0", "cancelled")])
    history.oracle.on_process("resumed", 4.0)
    assert history.feed() == []


def test_a_verdict_before_the_end() -> None:
    history = TrueHistory()
    history.jobs[0].truth = an_end(at=65.0)
    assert rules(history.feed()) == ["d"]


@pytest.mark.parametrize("finished", [None, 1001.0])
def test_a_history_that_ends_late(finished: float | None) -> None:
    history = TrueHistory()
    history.finished = finished
    assert rules(history.feed()) == ["e"]


def test_a_ledger_that_reads_back_another_verdict() -> None:
    history = TrueHistory()
    history.stored[0] = a_result(history.keys[0], Verdict.FAILED, "0")
    assert rules(history.feed()) == ["f"]


def test_polls_above_the_budget() -> None:
    history = TrueHistory()
    history.polls = [10.0, 10.04]
    assert rules(history.feed()) == ["g"]
    history = TrueHistory()
    history.polls = [10.0 + i / 10 for i in range(20)]
    assert rules(history.feed()) == ["g"]


def test_a_job_that_is_polled_at_every_interval_for_hours() -> None:
    history = TrueHistory(min_poll_interval=1.0)
    history.polls = [10.0 + i for i in range(3000)]
    assert rules(history.feed()) == ["g"]


def test_a_cancel_that_was_asked_of_a_session_does_not_wait_for_its_ledger() -> None:
    facts = [Fact("slow_commit", 40.0, 700.0)]
    for kind, broken in (("stopped", []), ("cancelled", ["b"])):
        history = TrueHistory()
        for fact in facts:
            history.oracle.on_fact(fact)
        history.finished = 900.0
        history.jobs[0].truth = an_end("cancelled", None, at=710.0, by="run")
        history.oracle.on_process(kind, 60.0, key=history.keys[0] if kind == "cancelled" else None)
        stopped = a_result(history.keys[0], Verdict.NOT_RUN, "0", "cancelled")
        history.results[0] = history.commits[0] = history.stored[0] = stopped
        assert rules(history.feed()) == broken


def test_submissions_above_the_budget() -> None:
    history = TrueHistory()
    for _ in range(9):
        history.oracle.on_call("submit", "sim", 1.0, [history.jobs[0].token], throttled=True)
    assert history.feed() == []
    history = TrueHistory()
    for _ in range(3):
        history.oracle.on_call("submit", "sim", 1.0, [history.jobs[0].token])
    assert rules(history.feed()) == ["g"]


def test_a_retry_that_is_missing() -> None:
    history = TrueHistory()
    entry = history.cells[0].registration
    history.cells[0].registration = replace(entry, reruns=1)
    history.jobs[0].truth = an_end("job_failed", 3)
    failed = a_result(history.keys[0], Verdict.FAILED, "0", "job_failed")
    history.results[0] = history.commits[0] = history.stored[0] = failed
    assert rules(history.feed()) == ["c2"]


# What meets an expectation.


@pytest.mark.parametrize(
    ("expect", "end", "met"),
    [
        (Expectation(), an_end(), True),
        (Expectation(), an_end("job_failed", 3), False),
        (Expectation(exit_codes=3), an_end("job_failed", 3), True),
        (Expectation("any"), an_end("max_runtime_reached", None, by="limit"), True),
        (Expectation("any"), an_end("preempted", None, by="cluster"), False),
        (Expectation("cancelled"), an_end("cancelled", None, by="run"), False),
        (Expectation("cancelled"), an_end("cancelled", None, by="other"), True),
        (Expectation("heartbeat_timeout"), an_end("heartbeat_timeout", None, by="limit"), True),
        (Expectation("heartbeat_timeout", heartbeats=0), an_end("heartbeat_timeout", None), False),
        (Expectation(restarts=1), an_end(), False),
        (Expectation(log=LogExpectation("done", "Traceback", "^d")), an_end(), True),
        (Expectation(log=LogExpectation(excludes="done")), an_end(), False),
    ],
)
def test_meets(expect: Expectation, end: TrueEnd, met: bool) -> None:
    assert meets(expect, end, log_lines=["done"]) is met


def test_no_heartbeat_does_not_meet_a_heartbeat_timeout() -> None:
    end = replace(an_end("heartbeat_timeout", None, by="limit"), heartbeats=0)
    assert not meets(Expectation("heartbeat_timeout"), end, log_lines=[])


def test_a_classify_rule_never_makes_a_pass_of_a_failure() -> None:
    rules = Classification((ClassifyRule(log=r"=(?P<reason>\w+)"),), reasons={"odd": ReasonClass.PRODUCT})
    failed = an_end("job_failed", 3)
    assert not meets(Expectation(), failed, log_lines=["=job_completed"], classify=rules)
    assert not meets(Expectation(), an_end(), log_lines=["=job_failed"], classify=rules)
    assert meets(Expectation("odd"), an_end(), log_lines=["=odd"], classify=rules)


# What is drawn.


def test_cells_are_drawn_again_from_the_same_seed() -> None:
    assert draw_cells(Rng(7), faults=0.5) == draw_cells(Rng(7), faults=0.5)


def test_passed_and_failed_are_both_frequent() -> None:
    """By the ends that the plots intend, without faults of the cluster."""
    ends = {
        "completes": an_end(),
        "stalls": an_end("heartbeat_timeout", None, by="limit"),
        "overruns": an_end("max_runtime_reached", None, by="limit"),
        "setup_fails": an_end("start_failed", None),
    }
    counts = dict.fromkeys(Verdict, 0)
    for seed in range(200):
        for cell in draw_cells(Rng(seed), faults=0.2):
            if cell.plot in ends:
                counts[true_verdict(cell, 1, ends[cell.plot])] += 1
    total = sum(counts.values())
    assert counts[Verdict.PASSED] > total / 4
    assert counts[Verdict.FAILED] > total / 10
    assert counts[Verdict.ERROR] < total / 4


# Shrinking and coverage.


def a_run(is_broken: Callable[[set[int], set[int]], bool]) -> Callable[[int, Plan], ShownHistory]:
    """Histories of six cells and twelve faults of three kinds."""

    def run(seed: int, plan: Plan) -> ShownHistory:
        cells = {i: f"cell {i}" for i in range(6) if plan.cells is None or i in plan.cells}
        faults = {i: ("outage" if i % 3 else "stale", f"fault {i}") for i in range(12)}
        faults = {
            i: (kind, text)
            for i, (kind, text) in faults.items()
            if (plan.faults is None or i in plan.faults) and (plan.kinds is None or kind in plan.kinds)
        }
        broken = [Violation("b", "a job lives on")] if is_broken({*cells}, {*faults}) else []
        timeline = [(1.0, "cluster", "starts"), (1.0, "driver", "submits"), (2.5, "cluster", "answers")]
        return ShownHistory(seed, plan, cells, faults, [Violation("e", "late"), *broken], timeline)

    return run


def test_shrinking_keeps_the_violation() -> None:
    run = a_run(lambda cells, faults: 4 in cells and {5, 10} <= faults)
    small = shrink(run, 3, rule="b")
    assert [each.rule for each in small.violations] == ["e", "b"]
    assert list(small.cells) == [4]
    assert list(small.faults) == [5, 10]
    assert run(small.seed, small.plan) == small


def test_a_history_without_violations_is_not_shrunk() -> None:
    small = shrink(a_run(lambda cells, faults: False), 3, rule="b")
    assert small.plan == Plan()
    assert len(small.cells) == 6


def test_the_timeline_shows_each_time_once() -> None:
    text = render(a_run(lambda cells, faults: True)(3, Plan(cells=(1,), faults=(1,))))
    assert "(b) a job lives on" in text
    assert [line.split() for line in text.splitlines()[-3:]] == [
        ["1.000", "cluster", "starts"],
        ["driver", "submits"],
        ["2.500", "cluster", "answers"],
    ]


def workers() -> Iterator[Coverage]:
    for _ in range(2):
        one = Coverage()
        one.history(["stale"])
        one.transitions["running", "poll"] += 60
        one.verdict(Reason.JOB_COMPLETED, Verdict.PASSED, [Fact("stale", 1.0, 1.0)])
        one.verdict(Reason.UNKNOWN, Verdict.ERROR, [Fact("stale", 1.0, 1.0), Fact("stale", 2.0, 2.0)])
        yield one


def test_coverage_of_several_workers() -> None:
    first, second = workers()
    first.merge(second)
    assert first.histories == 2
    assert first.share(Verdict.ERROR, "stale") == 0.5
    assert first.share(Verdict.ERROR, "outage") is None
    wanted = frozenset({("running", "poll"), ("pending", "poll")})
    bounds = CoverageBounds(100, wanted, frozenset({Reason.LOST}), {"outage": 1.0, "stale": 0.4})
    found = [each.text.partition(":")[0] for each in first.violations(bounds)]
    assert sorted(found[:4]) == ["lost", "outage", "pending x poll", "stale"]
    assert found[4:] == ["stale"]
    assert "50.00%" in first.table()


def test_a_kind_without_a_recorded_bound_is_reported() -> None:
    one, _ = workers()
    (found,) = one.violations(CoverageBounds(0, frozenset(), frozenset(), {}))
    assert found.text == "stale: no bound of its errors is recorded"
