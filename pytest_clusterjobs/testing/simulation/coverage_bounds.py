"""What many histories must have exercised: rule (h), with the bounds that are recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...engine.attempt import Event
from ...engine.attempt import IGNORED
from ...engine.attempt import State
from ...engine.attempt import TRANSITIONS
from ...model import Reason


@dataclass(frozen=True, slots=True)
class CoverageBounds:
    """What many histories must have exercised, so that dull histories or a timid engine cannot pass."""

    least: int
    """How often each transition and reason occurs at least, and in how many histories each fault."""
    transitions: frozenset[tuple[str, str]]
    reasons: frozenset[str]
    error_shares: Mapping[str, float]
    """By kind of fault: the highest share of ``error`` among the verdicts on the cells that it touched."""


def pair(state: State, event: Event) -> tuple[str, str]:
    """A transition as it is counted."""
    return f"{type(state).__name__}.{state.name}", event.name


ERROR_SHARES: Mapping[str, float] = {}
"""The recorded shares, rounded up, of the commit that docs/simulation.md names."""


def recorded(least: int) -> CoverageBounds:
    """The bounds of this version of the engine and the simulation."""
    transitions = frozenset(pair(*each) for each in (*TRANSITIONS, *IGNORED))
    return CoverageBounds(least, transitions, frozenset(Reason), ERROR_SHARES)
