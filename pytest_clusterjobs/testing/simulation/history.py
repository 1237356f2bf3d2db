"""Runs one history: from a seed to its violations."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import field
from typing import Any

from ...backends.limits import excesses
from ...engine.attempt import ActiveAttempt
from ...engine.attempt import Event
from ...ledger.ledger import LedgerError
from .coverage import Coverage
from .coverage_bounds import pair
from .director import Director
from .disk import Disk
from .disk import DiskFaults
from .disk import SimulatedLedger
from .executor import Delays
from .facts import touching
from .facts import Violation
from .oracle import Bounds
from .oracle import Oracle
from .plans import draw
from .plans import Drawn
from .plans import KeptClusterFaults
from .plans import KeptNetwork
from .recorder import RecordedCluster
from .recorder import Recorder
from .scene import BACKEND
from .scene import RUN_ID
from .scene import Scene
from .scene import Trace
from .shrink import EVERYTHING
from .shrink import Plan
from .shrink import ShownHistory
from .users import SimulatedHooks
from .world import World

PATIENCE_SECONDS = 120.0
MAX_EVENTS = 100_000
"""A history with more turns than this does not end."""


@dataclass(slots=True)
class History(ShownHistory):
    """What a run of one seed and plan leaves behind, with what was counted."""

    events: int = 0
    digest: Callable[[], str] = str
    """Of the events, the commands and the timeline."""
    faultless: bool = False
    coverage: Coverage = field(default_factory=Coverage)
    seconds: float = 0.0
    """Of virtual time."""


def run(seed: int, plan: Plan = EVERYTHING, *, shown: bool = False) -> History:
    """Run the history of a seed. With ``shown`` the timeline has every event and command."""
    drawn = draw(seed, plan)
    world = World()
    scene = _scene(world, drawn, plan, shown=shown)
    hooks = drawn.hook_faults
    if hooks is not None:
        drawn.session.extensions = lambda: SimulatedHooks(
            drawn.rng.split("hook draws"), hooks, scene.recorder
        )
    director = Director(scene, drawn)
    counts: dict[tuple[Any, Event], int] = {}
    with _counted_moves(counts):
        director.begin()
        _run(world, scene, drawn)
    return _judged(seed, plan, scene, drawn, director, counts)


def _scene(world: World, drawn: Drawn, plan: Plan, *, shown: bool) -> Scene:
    rng, traits = drawn.rng, drawn.traits
    bounds = Bounds(
        ends_by=ends_by(drawn),
        patience=PATIENCE_SECONDS,
        min_poll_interval=traits.min_poll_interval,
        ids_per_poll=traits.ids_per_poll,
        unique_tokens=traits.unique_tokens,
        reports_in_polls=traits.reports_in_polls,
        submissions_per_second=traits.submissions_per_second,
        logs_outlive=traits.logs_outlive,
        stops_rest=traits.stops_rest,
        max_jobs=drawn.session.limits.max_jobs,
        max_nodes=drawn.session.limits.max_nodes,
    )
    oracle = Oracle(RUN_ID, drawn.cells, bounds)
    recorder = Recorder(world, oracle, RUN_ID, drawn.cells)
    by_key = {cell.key: cell for cell in drawn.cells}

    def behaviours(token: str):  # type: ignore[no-untyped-def]
        return by_key[recorder.key_of(token) or ""].behaviour(int(token.rpartition("-a")[2]))

    faults = KeptClusterFaults(rng.split("cluster faults"), drawn.cluster, plan.kinds)
    cluster = RecordedCluster(world, rng.split("cluster"), traits, behaviours, faults, recorder)
    network = KeptNetwork(rng.split("network"), drawn.network, plan.kinds)
    if drawn.situation is not None:
        faults.steer(rng.split("steered jobs"), drawn.situation)
        network.steer(rng.split("steered network"), drawn.situation)
    for start, end in network.outages:
        if plan.kinds is None or "outage" in plan.kinds:
            recorder.fact("outage", at=start, until=end)
    can = traits.capabilities()
    for cell in drawn.cells:
        spec = cell.registration.cell.spec
        if any(True for _ in excesses(spec, can, BACKEND)) or spec.nodes > traits.slots:
            recorder.fact("rejected", cell.key)
    disk = Disk(world, rng.split("disk"), drawn.disk)
    disk.committed = lambda batch, results: oracle.on_commit(
        world.now,
        results,
        batch.intended,
        deleted=batch.deleted,
        actions=[token for token, _ in batch.actions],
        ended=batch.ended,
        is_foreign=batch.is_foreign,
    )
    disk.failed = lambda kind: recorder.fact("commit_failed" if kind == "for_good" else "write_failed")

    def delays(lane: str) -> Delays:
        if lane == "ledger":
            return drawn.ledger
        return drawn.hooks if lane == "hooks" else drawn.calls

    return Scene(
        world, rng, drawn.cells, cluster, network, disk, oracle, recorder, Trace(is_shown=shown), delays
    )


def ends_by(drawn: Drawn) -> float:
    """When, in world time, the last session must have ended: all that the limits allow, cell by cell."""
    traits, total = drawn.traits, 3600.0
    for cell in drawn.cells:
        entry = cell.registration
        spec = entry.cell.spec
        starts = 1 + spec.max_restarts
        one = spec.max_runtime + spec.grace_period + traits.restart_delay + 1800.0 + 120.0
        attempts = 1 + entry.cell.infra_retries + entry.reruns
        total += attempts * (spec.queue_timeout + starts * one + 3 * 3600.0)
    return total


def _run(world: World, scene: Scene, drawn: Drawn) -> None:
    bound = scene.oracle.bounds.ends_by
    while scene.working and world.step():
        if world.now > bound or scene.trace.events > MAX_EVENTS:
            scene.fail(
                "e", f"not over at {world.now:.0f} s, after {scene.trace.events} events: {_dump(scene)}"
            )
            scene.working = 0
            return
    if scene.working:
        scene.fail("e", f"at {world.now:.0f} s nothing is due any more: {_dump(scene)}")
    last = max([world.now, *(end for _, end in scene.network.outages if end < world.now + 7200.0)])
    grace = max((cell.registration.cell.spec.grace_period for cell in drawn.cells), default=0.0)
    world.run(last + PATIENCE_SECONDS + grace + 60.0)


def _dump(scene: Scene) -> str:
    """What each unfinished attempt waits for."""
    lines = []
    for name, driver in scene.drivers.items():
        state = driver.core.state
        lines.append(
            f"{name}: {state.service.value}, wakes at {driver.wake_at}, outbox empty: {state.outbox.is_empty}"
        )
        for cluster in state.clusters.values():
            lines.append(
                f"  {cluster.name}: busy {cluster.is_busy}, error {cluster.error!r}, queue {len(cluster.queue)}, "
                f"ready {len(cluster.ready)}, polls {len(cluster.polls)}, cancels {list(cluster.cancels)}"
            )
        for job in state.attempts.values():
            lines.append(
                f"  {job.token}: {job.submission.value}, {job.life.value}, {job.cancellation.value}, "
                f"action {job.action}, reading {job.token in state.cluster(job).reading}"
            )
    return "\n".join(lines)


@contextmanager
def _counted_moves(counts: dict[tuple[Any, Event], int]) -> Iterator[None]:
    """Count the transitions of the block."""
    move = ActiveAttempt.move

    def counted(job: ActiveAttempt, event: Event) -> bool:
        pair = (job._region(event), event)
        counts[pair] = counts.get(pair, 0) + 1
        return move(job, event)

    ActiveAttempt.move = counted  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        ActiveAttempt.move = move  # type: ignore[method-assign]


def _judged(
    seed: int,
    plan: Plan,
    scene: Scene,
    drawn: Drawn,
    director: Director,
    counts: dict[tuple[Any, Event], int],
) -> History:
    oracle, world = scene.oracle, scene.world
    scene.recorder.close(scene.cluster.jobs)
    scene.disk.faults = DiskFaults()
    ledger = SimulatedLedger(scene.disk)
    try:
        registered = [entry.key for _, entry in ledger.registrations()]
        acted_on = ledger.actions(sorted(oracle.recorded_actions))
        oracle.on_ledger(ledger.attempts(), ledger.results(), registered, acted_on)
    except LedgerError as error:
        scene.fail("f", f"the ledger cannot be read: {error}")
    director.end()
    found = scene.broken + [Violation("g", text) for text in scene.cluster.violations] + oracle.violations()
    kinds = sorted({fact.kind for fact in oracle.facts})
    coverage = Coverage()
    coverage.history([*kinds, *(each.kind for each in drawn.actions)])
    coverage.transitions.update({pair(*each): times for each, times in counts.items()})
    for key, result in oracle.published().items():
        coverage.verdict(result.outcome.reason, result.judgement.verdict, touching(oracle.facts, key))
    return History(
        seed,
        plan,
        {n: _line(cell) for n, cell in zip(drawn.numbers, drawn.cells, strict=True)},
        {
            **{each.number: (each.kind, str(each)) for each in drawn.actions},
            **{100 + i: (kind, "") for i, kind in enumerate(kinds)},
        },
        found,
        world.timeline,
        events=scene.trace.events,
        digest=lambda: scene.trace.digest(world),
        faultless=drawn.faultless,
        coverage=coverage,
        seconds=world.now,
    )


def _line(cell: Any) -> str:
    entry = cell.registration
    spec, expect = entry.cell.spec, entry.cell.expect
    return (
        f"{cell.key} {cell.plot}, {spec.nodes} nodes, heartbeat {spec.heartbeat_timeout}, max_runtime {spec.max_runtime:.0f}, "
        f"queue {spec.queue_timeout:.0f}, restarts {spec.max_restarts}, retries {entry.cell.infra_retries}, "
        f"reruns {entry.reruns}, test timeout {entry.test_timeout}, expects {expect.reasons} {expect.exit_codes}"
    )
