"""Draws what a history is made of: its kind, its faults, its processes and its users."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field
from math import inf

from ...engine.config import Mode
from ...engine.state import Limits
from .cells import draw_cells
from .cells import SimulatedCell
from .disk import DiskFaults
from .executor import Delays
from .faults import ClusterFaults
from .network import NetworkFaults
from .rng import Rng
from .sessions import SessionPlan
from .shrink import Plan
from .situations import ALONE
from .situations import draw_situation
from .situations import PossibleAction
from .situations import Situation
from .situations import spanned
from .traits import draw_traits
from .traits import steered
from .traits import Traits
from .users import HookFaults

FAULTLESS = 0.12
"""The share of histories without faults, and without actions of users."""


@dataclass(slots=True)
class Action:
    """Something that happens to the processes of a history, or that a user does."""

    number: int
    kind: str
    """``died``, ``host_lost``, ``stopped``, ``interrupted``, ``cancel_cells``, ``kill``, ``kill_cells``,
    ``clock``, ``reaper_died``, ``rival``."""
    at: float = inf
    """World time; infinite if ``step`` says when."""
    step: int = 0
    """After so many steps of the session."""
    seconds: float = 0.0
    """How long it lasts, how far the clock jumps, or when it is repeated."""
    cells: tuple[int, ...] = ()
    """Numbers of cells."""


@dataclass(slots=True)
class Visit:
    """A later session, or a command, on the run."""

    kind: str
    """``resume``, ``check``, ``look`` (a check that does not wait) or ``kill``."""
    delay: float
    """Seconds after the end of what was before."""


@dataclass(slots=True)
class Drawn:
    """All that a seed has drawn."""

    rng: Rng
    faultless: bool
    traits: Traits
    cells: list[SimulatedCell]
    session: SessionPlan
    network: float = 0.0
    cluster: float = 0.0
    calls: Delays = field(default_factory=Delays)
    ledger: Delays = field(default_factory=Delays)
    hooks: Delays = field(default_factory=Delays)
    disk: DiskFaults = field(default_factory=DiskFaults)
    hook_faults: HookFaults | None = None
    actions: list[Action] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    """The numbers of the cells."""
    situation: Situation | None = None


def draw(seed: int, plan: Plan) -> Drawn:
    """What a seed and a plan make of a history."""
    rng = Rng(seed)
    kind = rng.split("kind")
    faultless = kind.chance(FAULTLESS)
    network = 0.0 if faultless or kind.chance(0.3) else kind.uniform(0.1, 0.8)
    cluster = 0.0 if faultless or kind.chance(0.3) else kind.uniform(0.1, 1.0)
    forgets = not faultless and kind.chance(0.2)
    steering = rng.split("situation")
    situation = draw_situation(steering) if plan.situation and not faultless else None
    is_alone = situation is not None and steering.chance(ALONE)
    if is_alone:
        network = cluster = 0.0
    cells = draw_cells(rng.split("cells"), faults=cluster, situation=situation)
    numbers = list(range(len(cells)))
    if plan.cells is not None:
        numbers = [each for each in numbers if each in plan.cells]
    drawn = Drawn(
        rng,
        faultless,
        draw_traits(rng.split("traits"), forgets=forgets, faultless=faultless),
        [cells[each] for each in numbers],
        _session(rng.split("session"), faultless),
        network,
        cluster,
        numbers=numbers,
        situation=situation,
    )
    _delays(rng.split("delays"), drawn)
    if not faultless and not is_alone:
        _troubles(rng, drawn)
    if situation is not None:
        _arrange(steering, drawn, situation)
    if plan.faults is not None:
        drawn.actions = [each for each in drawn.actions if each.number in plan.faults]
    if plan.kinds is not None:
        _drop_kinds(drawn, plan.kinds)
    return drawn


def _troubles(rng: Rng, drawn: Drawn) -> None:
    """Draw the faults of processes, users and the disk."""
    kind = rng.split("troubles")
    modes = rng.split("mode")
    if modes.chance(0.15):
        drawn.session.mode, drawn.session.waits = Mode.LAUNCH, False
    drawn.session.on_crash = "keep" if modes.chance(0.15) else "cancel"
    drawn.session.exit_first = modes.chance(0.06)
    if kind.chance(0.25):
        drawn.calls.hang_chance = kind.uniform(0.0, 0.1)
        drawn.calls.hang_seconds = kind.weighted([(30.0, 4), (600.0, 2), (4000.0, 1)])
    if kind.chance(0.15):
        drawn.ledger.hang_chance = kind.uniform(0.0, 0.2)
        drawn.ledger.hang_seconds = kind.weighted([(5.0, 4), (100.0, 2), (1000.0, 1)])
    if kind.chance(0.25):
        drawn.hook_faults = _hooks(rng.split("hooks"), drawn)
    if kind.chance(0.2):
        _disk(rng.split("disk faults"), drawn.disk)
    count = kind.weighted([(0, 40), (1, 35), (2, 18), (3, 7)])
    for number in range(count):
        own = rng.split(f"action {number}")
        drawn.actions.append(_action(own, number, len(drawn.numbers), own.weighted(_ACTIONS)))
    drawn.visits = _visits(rng.split("visits"), drawn)


def _arrange(rng: Rng, drawn: Drawn, situation: Situation) -> None:
    """Arrange what a situation says of the cluster, of calls, processes and users."""
    drawn.traits = steered(drawn.traits, rng.split("traits"), situation)
    if situation.typical:
        drawn.calls.typical = rng.pick(situation.typical)
    if situation.hang[0]:
        drawn.calls.hang_chance, drawn.calls.hang_seconds = situation.hang
    if situation.ledger_typical:
        drawn.ledger.typical = rng.pick(situation.ledger_typical)
    if situation.ledger_hang[0] and rng.chance(0.5):
        drawn.ledger.hang_chance, drawn.ledger.hang_seconds = situation.ledger_hang
    for number, wanted in enumerate(situation.actions, len(drawn.actions)):
        own = rng.split(f"possible action {number}")
        if own.chance(wanted.chance):
            drawn.actions.append(_possible(own, wanted, number, len(drawn.numbers)))
    if situation.hook_seconds:
        drawn.hook_faults, drawn.hooks.typical = drawn.hook_faults or HookFaults(), situation.hook_seconds
    if situation.launches:
        drawn.session.mode, drawn.session.waits = Mode.LAUNCH, False
    if situation.keeps:
        drawn.session.on_crash = "keep"
    for number, kind in enumerate(situation.visits, 1):
        # Only a later session judges what a launch has left.
        is_needed = situation.launches and number == len(situation.visits)
        if not rng.chance(situation.no_visit) or is_needed:
            delay = rng.uniform(0.0, 5.0 if rng.chance(situation.soon) else 2000.0)
            drawn.visits.append(Visit(kind, delay))


def _possible(rng: Rng, wanted: PossibleAction, number: int, cells: int) -> Action:
    """The action that a situation asks for."""
    found = _action(rng, number, cells, wanted.kind)
    if wanted.at[0]:
        found.at, found.step = spanned(rng, wanted.at), 0
    else:
        found.step = int(spanned(rng, wanted.steps))
    if wanted.seconds[0]:
        found.seconds = spanned(rng, wanted.seconds)
        found.cells = wanted.cells
    return found


def _hooks(rng: Rng, drawn: Drawn) -> HookFaults:
    if rng.chance(0.2):
        # Half of them never return.
        drawn.hooks.hang_chance = 0.1
        drawn.hooks.hang_seconds = 1e9 if rng.split("for ever").chance(0.5) else 5000.0
    return HookFaults(
        vetoes=rng.uniform(0.0, 0.2) if rng.chance(0.3) else 0.0,
        changes=rng.uniform(0.0, 0.5) if rng.chance(0.3) else 0.0,
        mismatches=rng.uniform(0.0, 0.3) if rng.chance(0.5) else 0.0,
        rulings=rng.uniform(0.0, 0.3) if rng.chance(0.5) else 0.0,
        exits=rng.uniform(0.0, 0.2) if rng.chance(0.2) else 0.0,
        reads_logs=rng.uniform(0.0, 1.0) if rng.chance(0.5) else 0.0,
    )


def _disk(rng: Rng, disk: DiskFaults) -> None:
    match rng.weighted([("errors", 5), ("answers", 3), ("full", 2), ("gone", 1), ("reads", 1)]):
        case "errors":
            disk.error = rng.uniform(0.0, 0.3)
        case "answers":
            disk.lost_answer = rng.uniform(0.0, 0.3)
        case "full":
            disk.dead_from = _moment(rng)
        case "gone":
            disk.gone_from = _moment(rng)
        case "reads":
            disk.read_error = rng.uniform(0.0, 0.05)


_ACTIONS = (
    ("died", 30),
    ("host_lost", 5),
    ("stopped", 10),
    ("interrupted", 14),
    ("cancel_cells", 10),
    ("kill", 7),
    ("kill_cells", 7),
    ("clock", 8),
    ("reaper_died", 8),
    ("rival", 3),
)


def _action(rng: Rng, number: int, cells: int, kind: str) -> Action:
    found = Action(number, kind, _moment(rng))
    if kind in ("died", "host_lost") and rng.chance(0.6):
        # More deaths at the beginning, where more happens.
        found.step = 1 + int(2.0 ** rng.uniform(0.0, 9.0))
    steps = rng.split("step")
    if kind in ("cancel_cells", "interrupted", "kill_cells", "stopped") and steps.chance(0.5):
        found.step = 1 + int(2.0 ** steps.uniform(0.0, 9.0))
    some = tuple(each for each in range(cells) if rng.chance(0.4))
    match kind:
        case "stopped":
            found.seconds = 10.0 ** rng.uniform(-1.0, 3.8)
            found.cells = (0,) if rng.chance(0.6) else ()
        case "interrupted":
            found.seconds = rng.uniform(0.01, 2.0) if rng.chance(0.4) else 0.0
        case "cancel_cells" | "kill_cells":
            found.cells = some or (0,)
        case "clock":
            found.seconds = rng.weighted([(-3600.0, 1), (-5.0, 2), (30.0, 2), (86400.0, 1)])
        case "reaper_died":
            found.seconds = 10.0 ** rng.uniform(-2.0, 1.5)
    return found


def _moment(rng: Rng) -> float:
    """A time in a history, more often an early one."""
    return float(10.0 ** rng.uniform(-2.0, 3.3))


def _visits(rng: Rng, drawn: Drawn) -> list[Visit]:
    launched = drawn.session.mode is Mode.LAUNCH
    disturbed = any(each.kind in _ENDS for each in drawn.actions) or drawn.session.exit_first
    found = []
    if launched or disturbed or rng.chance(0.05):
        for _ in range(rng.weighted([(0, 4), (1, 3), (2, 1)])):
            found.append(_visit(rng, rng.weighted([("resume", 3), ("check", 1), ("look", 2), ("kill", 1)])))
        if launched or rng.chance(0.75):
            found.append(_visit(rng, rng.weighted([("resume", 3), ("check", 2)])))
    return found


_ENDS = ("died", "host_lost", "stopped", "interrupted", "kill")


def _visit(rng: Rng, kind: str) -> Visit:
    return Visit(kind, rng.weighted([(0.0, 1), (rng.uniform(0.0, 5.0), 2), (rng.uniform(0.0, 4000.0), 1)]))


def _drop_kinds(drawn: Drawn, kept: tuple[str, ...]) -> None:
    if "slow_answer" not in kept:
        for delays in (drawn.calls, drawn.ledger, drawn.hooks):
            delays.hang_chance = 0.0
    if "commit_failed" not in kept:
        drawn.disk = DiskFaults()
    if not {"hook_refused", "hook_failed"} & set(kept):
        drawn.hook_faults = None


def _session(rng: Rng, faultless: bool) -> SessionPlan:
    limits = Limits()
    if rng.chance(0.25):
        limits = Limits(
            1 + rng.below(4) if rng.chance(0.5) else None, 4 + rng.below(4) if rng.chance(0.5) else None
        )
    return SessionPlan(limits=limits)


def _delays(rng: Rng, drawn: Drawn) -> None:
    typical = rng.weighted([(0.005, 3), (0.1, 3), (1.0, 2), (5.0, 1)])
    drawn.calls = Delays(typical)
    drawn.ledger = Delays(rng.weighted([(0.002, 4), (0.05, 2), (1.0, 1)]))
    drawn.hooks = Delays(rng.weighted([(0.002, 4), (1.0, 1), (20.0, 1)]))


class KeptNetwork(NetworkFaults):
    """A network with the kinds of faults that a plan keeps."""

    __slots__ = ("kept",)

    def __init__(self, rng: Rng, intensity: float, kept: tuple[str, ...] | None) -> None:
        super().__init__(rng, intensity)
        self.kept = kept

    def before(self, call: str, now: float) -> str:
        """The fault that prevents a call."""
        if call == "submit" and self.kept is not None and "closed" not in self.kept:
            self.closed = []
        kind = super().before(call, now)
        return kind if self.kept is None or kind in self.kept else ""

    def after(self, call: str) -> bool:
        """Whether the answer of a call is lost."""
        return super().after(call) and (self.kept is None or "error_after" in self.kept)

    def rejects(self, spec):  # type: ignore[no-untyped-def]
        """Whether the cluster rejects this spec."""
        return super().rejects(spec) and (self.kept is None or "rejected" in self.kept)

    def happens(self, kind: str) -> bool:
        """Whether an answer has a fault of this kind."""
        return super().happens(kind) and (self.kept is None or kind in self.kept)


class KeptClusterFaults(ClusterFaults):
    """The faults of jobs of the kinds that a plan keeps."""

    __slots__ = ("kept",)

    def __init__(self, rng: Rng, intensity: float, kept: tuple[str, ...] | None) -> None:
        super().__init__(rng, intensity)
        self.kept = kept

    def plan(self, rng, spec):  # type: ignore[no-untyped-def]
        """The faults of one job."""
        found = super().plan(rng, spec)
        if self.kept is None or not self.happens:
            return found
        for kind, name in (
            ("preempted", "preempted"),
            ("node_loss", "node_loss"),
            ("suspension", "suspension"),
            ("held", "held"),
            ("cancelled_by_other", "cancelled_by_other"),
            ("oom", "oom"),
            ("sentinel_killed", "killed"),
        ):
            if kind not in self.kept:
                setattr(found, name, None)
        if "cancel_ignored" not in self.kept:
            found.ignores_cancels = False
        if "false_limit" not in self.kept:
            found.false_limit = None
        if "absent" not in self.kept:
            found.absent, found.silent, found.down, found.hides_from_cancel = (), (), (), 0.0
        if found.log not in self.kept:
            found.log = ""
        return found
