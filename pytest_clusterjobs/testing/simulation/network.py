"""The network between one process and the cluster: which calls fail, and which answers are wrong."""

from __future__ import annotations

import math

from ...model import JobSpec
from .faults import CALLS
from .rng import Rng
from .situations import Situation
from .situations import spanned

ANSWER_KINDS = (
    "half_list",
    "flapping",
    "contradiction",
    "stale",
    "notice_lost",
    "cancel_ignored",
    "find_unknown",
)


class NetworkFaults:
    """Draws the faults of calls. An intensity of 0 has none; each history has some kinds only."""

    __slots__ = ("_answers", "_calls", "_reject", "_rng", "_specs", "closed", "intensity", "outages")

    def __init__(self, rng: Rng, intensity: float, *, horizon: float = 7200.0) -> None:
        self.intensity = intensity
        self.outages: list[tuple[float, float]] = []
        """Times at which all calls fail."""
        self.closed: list[tuple[float, float]] = []
        """Times at which all submissions are refused."""
        self._rng = rng.split("calls")
        self._specs = rng.split("specs")
        self._calls: dict[str, tuple[float, float, float]] = {}
        self._answers: dict[str, float] = {}
        self._reject = 0.0
        if not intensity:
            return
        for call in CALLS:
            rates = [_rate(rng, intensity) for _ in range(3)]
            self._calls[call] = (rates[0], rates[1], rates[2])
        for kind in ANSWER_KINDS:
            self._answers[kind] = _rate(rng, intensity)
        self._reject = 0.3 * intensity if rng.chance(0.3) else 0.0
        for _ in range(rng.below(3) if rng.chance(intensity) else 0):
            # Most jobs end early, and an outage when none runs has no effect.
            start = _moment(rng, horizon)
            long = rng.chance(0.2)
            self.outages.append((start, start + rng.uniform(10.0, 3600.0 if long else 300.0)))

        closed = rng.split("closed")
        if closed.chance(0.3):
            start = _moment(closed, horizon)
            lasts = math.inf if closed.chance(0.25) else float(10.0 ** closed.uniform(1.8, 3.9))
            self.closed.append((start, start + lasts))

    def steer(self, rng: Rng, situation: Situation, *, horizon: float = 2000.0) -> None:
        """Add what a situation names."""
        if situation.answers:
            self.intensity = max(self.intensity, 1.0)
        self._calls.update(situation.calls)
        for kind, most in situation.answers.items():
            self._answers[kind] = most * rng.uniform(0.2, 1.0)
        for lengths in situation.outages:
            start = _moment(rng, horizon)
            self.outages.append((start, start + spanned(rng, lengths)))

    def before(self, call: str, now: float) -> str:
        """What prevents a call: ``error_before``, ``throttled``, ``closed``, ``outage`` or empty."""
        for start, end in self.outages:
            if start <= now < end:
                return "outage"
        if call == "submit" and any(start <= now < end for start, end in self.closed):
            return "closed"
        rates = self._calls.get(call)
        if rates is None:
            return ""
        if self._rng.chance(rates[0]):
            return "error_before"
        return "throttled" if self._rng.chance(rates[1]) else ""

    def after(self, call: str) -> bool:
        """Whether the answer of a call that had its effect is lost."""
        rates = self._calls.get(call)
        return rates is not None and self._rng.chance(rates[2])

    def rejects(self, spec: JobSpec) -> bool:
        """Whether the cluster rejects all jobs of this spec."""
        return bool(self._reject) and self._specs.split(spec.name).chance(self._reject)

    def happens(self, kind: str) -> bool:
        """Whether an answer has a fault of this kind."""
        rate = self._answers.get(kind)
        return rate is not None and self._rng.chance(rate)

    def pick(self, n: int) -> int:
        """A random choice that belongs to a fault."""
        return self._rng.below(n)


def no_faults() -> NetworkFaults:
    """A network in which nothing fails."""
    return NetworkFaults(Rng("no faults"), 0.0)


def _moment(rng: Rng, horizon: float) -> float:
    """A time before the horizon, more often an early one."""
    return float(10.0 ** rng.uniform(-0.5, math.log10(horizon)))


def _rate(rng: Rng, intensity: float) -> float:
    return intensity * rng.uniform(0.02, 0.4) if rng.chance(0.4) else 0.0
