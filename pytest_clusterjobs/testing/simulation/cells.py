"""Draws the cells of a history, with what their commands will do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...model import Cell
from ...model import Classification
from ...model import ClassifyRule
from ...model import Expectation
from ...model import JobSpec
from ...model import LogExpectation
from ...model import MetricExpectation
from ...model import Range
from ...model import Reason
from ...model import ReasonClass
from ...model.records import Registration
from .behaviour import Behaviour
from .behaviour import RankBehaviour
from .rng import Rng
from .situations import Situation

FILE = "m.yaml"

MATRIX_REASON = "nccl_test_failed"
"""The reason that the drawn ``classify`` rules add, with the exit code that they read it from."""
MATRIX_CODE = 42

_SIZES = (((2, 5), 72), ((6, 8), 20), ((1, 1), 6), ((15, 15), 2))
"""Ranges of the number of cells, with weights."""

_BAD_ENDS = (
    ("setup_fails", 3),
    ("recovers", 3),
    ("restarted", 3),
)
"""Plots that concern the infrastructure, with weights; ``faults`` says how often one is drawn."""

_PLOTS = (
    ("completes", 30),
    ("fails", 16),
    ("signalled", 6),
    ("stalls", 12),
    ("overruns", 12),
    ("classified", 8),
    ("flaky", 6),
    ("endless", 5),
)
"""What a cell's command does in the end, with weights.

``recovers``: the first attempt fails in ``setup``, later ones complete. ``restarted``: the first start fails,
and the cluster may start it again. ``flaky``: the first attempt fails, later ones complete. ``endless``: the
test's own timeout or another program has to end it. In a situation also ``uneven``: the main rank completes
long before the others; and ``diagnosed``: its log names a reason of the infrastructure.
"""


@dataclass(slots=True)
class SimulatedCell:
    """A selected cell, and the ground truth of what its command will do."""

    registration: Registration
    behaviours: list[Behaviour]
    """By attempt; the last one repeats."""
    plot: str
    """The name of what its command does, for coverage."""
    is_right: bool
    """Whether the expectation was drawn to be met; the truth may still turn out otherwise."""

    @property
    def key(self) -> str:
        """The key of its registration."""
        return self.registration.key

    @property
    def needs_logs(self) -> bool:
        """Whether its verdict depends on the job's output."""
        cell = self.registration.cell
        return cell.expect.needs_logs or cell.classify.needs_logs

    def behaviour(self, attempt: int) -> Behaviour:
        """What its command does in an attempt, counted from 1."""
        return self.behaviours[min(attempt, len(self.behaviours)) - 1]


@dataclass(slots=True)
class _Limits:
    """The drawn limits of one cell."""

    nodes: int
    heartbeat_timeout: float | None
    max_runtime: float
    queue_timeout: float
    grace_period: float
    max_restarts: int
    infra_retries: int
    reruns: int
    test_timeout: float | None


def draw_cells(
    rng: Rng, *, faults: float, backends: Sequence[str] = ("sim",), situation: Situation | None = None
) -> list[SimulatedCell]:
    """Draw 2 to 8 cells, sometimes 1 or 15. A situation steers most of them.

    ``faults`` (0 to 1) is how often a command behaves as on a bad cluster: its ``setup`` fails, it ignores
    TERM, it needs a restart. Each cell is drawn from a split of its own, so that a dropped cell does not
    change the others.
    """
    low, high = rng.weighted(_SIZES)
    count = low + rng.below(high - low + 1)
    found = []
    for index in range(count):
        own = rng.split(f"cell {index}")
        steered = situation if own.split("steered").chance(0.85) else None
        found.append(_cell(own, index, faults, backends, steered))
    return found


def _cell(
    rng: Rng, index: int, faults: float, backends: Sequence[str], situation: Situation | None
) -> SimulatedCell:
    plot = rng.weighted(_BAD_ENDS if rng.chance(faults / 2) else _PLOTS)
    steering = rng.split("situation")
    if situation is not None and situation.plots:
        plot = steering.pick(situation.plots)
    limits = _limits(rng, plot)
    if situation is not None:
        _steer(limits, steering, situation)
    behaviours = _behaviours(rng, plot, limits, faults)
    classify = Classification()
    if plot in ("classified", "diagnosed"):
        kinds = (ReasonClass.INFRA, ReasonClass.PRODUCT)
        classify = _classification(rng, kinds if plot == "classified" else kinds[:1])
    lines = _lines(rng, plot)
    for behaviour in behaviours:
        behaviour.lines = lines
    is_right = rng.chance(0.6)
    expect = _expectation(rng, plot, limits, behaviours, is_right)
    if situation is not None and situation.expects and plot in _MAY_EXPECT_OTHERS:
        allowed = _ALLOWED[steering.pick(situation.expects)]
        expect = Expectation((Reason.JOB_COMPLETED, *allowed)) if allowed else expect
    name = f"r{index}-{limits.nodes}n-c{index}"
    cell = Cell(
        id=name,
        line=index + 1,
        axes={"recipe": f"r{index}", "nodes": str(limits.nodes), "condition": f"c{index}"},
        backend=rng.pick(backends),
        spec=_spec(name, index, limits, plot),
        expect=expect,
        classify=classify,
        infra_retries=limits.infra_retries,
    )
    entry = Registration(
        f"{FILE}::{name}", FILE, cell, test_timeout=limits.test_timeout, reruns=limits.reruns, xfails=()
    )
    return SimulatedCell(entry, behaviours, plot, is_right)


def _spec(name: str, index: int, limits: _Limits, plot: str) -> JobSpec:
    return JobSpec(
        run="true",
        name=name,
        recipe=f"r{index}",
        condition=f"c{index}",
        nodes=limits.nodes,
        setup="true" if plot in {"setup_fails", "recovers"} else None,
        heartbeat_timeout=limits.heartbeat_timeout,
        max_runtime=limits.max_runtime,
        queue_timeout=limits.queue_timeout,
        grace_period=limits.grace_period,
        max_restarts=limits.max_restarts,
    )


def _limits(rng: Rng, plot: str) -> _Limits:
    beats = plot == "stalls" or rng.chance(0.2)
    restarts = 1 + rng.below(2) if plot == "restarted" else rng.weighted(((0, 6), (1, 2), (2, 1)))
    retries = 1 + rng.below(2) if plot == "recovers" else rng.weighted(((0, 5), (1, 3), (2, 2)))
    has_timeout = plot == "endless" or rng.chance(0.06)
    return _Limits(
        nodes=rng.weighted(((1, 5), (2, 3), (3, 1), (4, 1))),
        heartbeat_timeout=rng.uniform(8.0, 60.0) if beats else None,
        max_runtime=_between(rng, 60.0, 1800.0),
        queue_timeout=rng.weighted(((300.0, 2), (1200.0, 3), (7200.0, 3))),
        grace_period=rng.weighted(((0.0, 1), (10.0, 4), (30.0, 1))),
        max_restarts=restarts,
        infra_retries=retries,
        reruns=1 if plot == "flaky" or rng.chance(0.1) else 0,
        test_timeout=rng.uniform(30.0, 200.0) if has_timeout else None,
    )


def _steer(limits: _Limits, rng: Rng, situation: Situation) -> None:
    for name, values in (
        ("nodes", situation.nodes),
        ("max_restarts", situation.restarts),
        ("infra_retries", situation.retries),
        ("queue_timeout", situation.queues),
    ):
        if values:
            setattr(limits, name, rng.pick(values))


def _between(rng: Rng, low: float, high: float) -> float:
    """A duration, more often a short one: what happens in a long time costs many polls."""
    part = rng.uniform(0.0, 1.0)
    return low + (high - low) * part * part * part


# What the commands do.


def _behaviours(rng: Rng, plot: str, limits: _Limits, faults: float) -> list[Behaviour]:
    good = _behaviour(rng, _final_plot(plot), limits, faults)
    match plot:
        case "recovers":
            return [_behaviour(rng, "setup_fails", limits, faults), good]
        case "flaky":
            return [_behaviour(rng, "fails", limits, faults), good]
        case "restarted":
            first = _behaviour(rng, "fails", limits, faults)
            good.starts.insert(0, first.starts[0])
        case "classified":
            _end_with_a_code(good, rng.split("code"))
    return [good]


def _end_with_a_code(behaviour: Behaviour, rng: Rng) -> None:
    """Let a third of the commands end with a failure, and a third with the code of a rule."""
    code = rng.pick((0, 3, MATRIX_CODE))
    if code:
        ranks = behaviour.starts[-1]
        ranks[rng.below(len(ranks))].exit_code = code


def _fail_twice(ranks: list[RankBehaviour], first: RankBehaviour, rng: Rng) -> None:
    """Let a second rank fail by itself, sooner or later than the first one, mostly."""
    if len(ranks) < 2 or rng.chance(0.25) or first.run_seconds is None:
        return
    second = rng.pick([rank for rank in ranks if rank is not first])
    apart = float(10.0 ** rng.uniform(-1.0, 1.3))
    sooner = rng.chance(0.5) and apart < first.run_seconds
    second.run_seconds = first.run_seconds - apart if sooner else first.run_seconds + apart
    second.exit_code = rng.pick([code for code in (4, 5, 124) if code != first.exit_code])


def _first_code(ranks: Sequence[RankBehaviour]) -> int:
    """The code of the rank that fails first by itself, or 0."""
    failing = [rank for rank in ranks if rank.exit_code]
    return min(failing, key=lambda rank: rank.run_seconds or 0.0).exit_code if failing else 0


def _final_plot(plot: str) -> str:
    return "completes" if plot in {"recovers", "flaky", "restarted", "classified", "diagnosed"} else plot


def _behaviour(rng: Rng, plot: str, limits: _Limits, faults: float) -> Behaviour:
    """One start with this plot. The rank that decides differs, the others run until they are done."""
    seconds = _between(rng, 1.0, min(400.0, limits.max_runtime * 0.7))
    beats = limits.heartbeat_timeout is not None
    ranks = [
        RankBehaviour(
            setup_seconds=rng.uniform(0.0, 3.0) if plot == "setup_fails" else 0.0,
            setup_fails=False,
            run_seconds=seconds,
            exit_code=0,
            beats_until=seconds if beats else None,
            ignores_term=rng.chance(faults / 4),
        )
        for _ in range(limits.nodes)
    ]
    decider = ranks[rng.below(limits.nodes)]
    match plot:
        case "fails":
            decider.exit_code = rng.pick((1, 2, 3, 42, 124, 255))
            # In a third of the cases after the others have completed.
            decider.run_seconds = seconds * (1.2 if rng.split("late").chance(0.33) else 0.8)
            _fail_twice(ranks, decider, rng.split("two"))
        case "uneven":
            for number, rank in enumerate(ranks):
                rank.run_seconds = seconds * (rng.uniform(0.4, 1.0) if number else rng.uniform(0.05, 0.2))
        case "signalled":
            decider.exit_code = 128 + rng.pick((2, 6, 9, 11, 15))
            decider.run_seconds = seconds * 0.8
        case "setup_fails":
            decider.setup_fails = True
        case "stalls":
            _run_on(ranks, rng.weighted(((0.0, 1), (5.0, 2), (20.0, 2))))
        case "overruns" | "endless":
            _run_on(ranks, None)
            ranks[0].beats_until = limits.max_runtime * 2 if beats else None
    return Behaviour([ranks], [])


def _run_on(ranks: list[RankBehaviour], beats_until: float | None) -> None:
    for rank in ranks:
        rank.run_seconds = None
        rank.beats_until = beats_until or None


# What they print, and how it is read.


def _lines(rng: Rng, plot: str) -> list[str]:
    lines = ["training", f"sps={rng.below(200)}"]
    if rng.chance(0.5):
        lines.append("training done")
    if plot == "classified":
        reason = rng.weighted(
            ((Reason.JOB_FAILED, 3), (Reason.JOB_COMPLETED, 3), (MATRIX_REASON, 2), ("", 2))
        )
        lines += [f"RESULT reason={reason}"] if reason else []
    if plot == "diagnosed":
        lines.append(f"RESULT reason={MATRIX_REASON}")
    return lines


def _classification(rng: Rng, kinds: Sequence[ReasonClass]) -> Classification:
    kind = rng.pick(kinds)
    rules = (
        ClassifyRule(log=r"RESULT reason=(?P<reason>\w+)"),
        ClassifyRule(exit_code=MATRIX_CODE, reason=MATRIX_REASON),
    )
    return Classification(rules, reasons={MATRIX_REASON: kind})


# What is expected.

_ALLOWED: dict[str, tuple[Reason, ...]] = {
    "": (),
    "infra": (Reason.NODE_FAILED, Reason.PREEMPTED, Reason.REJECTED),
    "cancelled": (Reason.CANCELLED,),
}
"""What the expectation of a cell that completes may allow as well."""
_MAY_EXPECT_OTHERS = frozenset({"completes", "endless", "fails", "overruns", "uneven"})
"""The plots for which a situation may choose that."""


def _expectation(
    rng: Rng, plot: str, limits: _Limits, behaviours: Sequence[Behaviour], is_right: bool
) -> Expectation:
    last = behaviours[-1]
    code = _first_code(last.starts[-1])
    wanted = plot if is_right else rng.pick(("completes", "fails", "stalls", "overruns", "setup_fails"))
    log, metrics = _printed(rng, last.lines, is_right)
    restarts = Range(0, limits.max_restarts) if rng.chance(0.1) else None
    heartbeats = Range(low=1) if wanted == "stalls" and rng.chance(0.3) else None
    if rng.chance(0.05):
        return Expectation("any", log=log, metrics=metrics)
    match wanted:
        case "fails":
            wrong: int | str = rng.pick((3, 4)) if rng.chance(0.7) else "nonzero"
            codes = code if is_right else wrong
            return Expectation(exit_codes=codes or None, restarts=restarts, log=log, metrics=metrics)
        case "signalled":
            return Expectation(Reason.KILLED_BY_SIGNAL, code, restarts=restarts)
        case "stalls" if limits.heartbeat_timeout is not None:
            return Expectation(Reason.HEARTBEAT_TIMEOUT, heartbeats=heartbeats, log=log)
        case "overruns" | "endless":
            return Expectation(Reason.MAX_RUNTIME_REACHED, restarts=restarts)
        case "setup_fails":
            return Expectation((Reason.START_FAILED, Reason.JOB_FAILED))
        case "diagnosed":
            return Expectation(MATRIX_REASON)
        case "classified":
            return Expectation(rng.pick((Reason.JOB_FAILED, Reason.JOB_COMPLETED, MATRIX_REASON)))
    allowed = _ALLOWED[rng.weighted((("", 20), ("infra", 1), ("cancelled", 1)))]
    if allowed:
        return Expectation((Reason.JOB_COMPLETED, *allowed))
    return Expectation(restarts=restarts, log=log, metrics=metrics)


def _printed(
    rng: Rng, lines: Sequence[str], is_right: bool
) -> tuple[LogExpectation, dict[str, MetricExpectation]]:
    """What is expected of the output: mostly nothing."""
    match rng.weighted((("", 14), ("log", 3), ("metric", 3))):
        case "log":
            contains: tuple[str, ...] = ("training",) if is_right else ("training done",)
            excludes = ("Traceback",) if is_right or rng.chance(0.5) else ("training done",)
            contains = contains if contains != excludes else ()
            return LogExpectation(contains, excludes, (r"^sps=\d+$",)), {}
        case "metric":
            least = 0.0 if is_right else 100.0
            return LogExpectation(), {"sps": MetricExpectation("sps={number}", min=least, max=500.0)}
    return LogExpectation(), {}
