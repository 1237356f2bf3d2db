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
from .traits import draw_traits
from .traits import Traits

FAULTLESS = 0.12
"""The share of histories in which nothing goes wrong and nobody interferes."""


@dataclass(slots=True)
class Action:
    """Something that happens to the processes of a history, or that a user does."""

    number: int
    kind: str
    """``died``, ``host_lost``, ``stopped``, ``interrupted``, ``cancel_cells``, ``kill``, ``kill_cells``, ``clock``,
    ``reaper_died``, ``rival``."""
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
    actions: list[Action] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    """The numbers of the cells."""


def draw(seed: int, plan: Plan) -> Drawn:
    """What a seed and a plan make of a history."""
    rng = Rng(seed)
    kind = rng.split("kind")
    faultless = kind.chance(FAULTLESS)
    network = 0.0 if faultless or kind.chance(0.3) else kind.uniform(0.1, 0.8)
    cluster = 0.0 if faultless or kind.chance(0.3) else kind.uniform(0.1, 1.0)
    forgets = not faultless and kind.chance(0.2)
    cells = draw_cells(rng.split("cells"), faults=cluster)
    numbers = list(range(len(cells)))
    if plan.cells is not None:
        numbers = [each for each in numbers if each in plan.cells]
    drawn = Drawn(
        rng,
        faultless,
        draw_traits(rng.split("traits"), forgets=forgets),
        [cells[each] for each in numbers],
        _session(rng.split("session"), faultless),
        network,
        cluster,
        numbers=numbers,
    )
    _delays(rng.split("delays"), drawn)
    return drawn


def _session(rng: Rng, faultless: bool) -> SessionPlan:
    limits = Limits()
    if rng.chance(0.25):
        limits = Limits(1 + rng.below(4) if rng.chance(0.5) else None, 4 + rng.below(4) if rng.chance(0.5) else None)
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
        if self.kept is None or (not self._job and not self._log):
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
        if found.log not in self.kept:
            found.log = ""
        return found
