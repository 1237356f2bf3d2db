"""What many histories must have exercised: rule (h), with the bounds that are recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...engine.attempt import Cancellation
from ...engine.attempt import Event
from ...engine.attempt import State
from ...engine.attempt import SubmissionState
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


ERROR_SHARES: Mapping[str, float] = {
    "absent": 0.40,
    "cancel_ignored": 0.50,
    "cancelled_by_other": 1.00,
    "clock_jump": 0.40,
    "closed": 0.70,
    "commit_failed": 0.80,
    "contradiction": 0.45,
    "cut_log": 0.45,
    "error_after": 0.40,
    "error_before": 0.40,
    "false_limit": 0.80,
    "find_unknown": 0.55,
    "flapping": 0.25,
    "forgotten": 0.70,
    "full": 0.40,
    "half_list": 0.35,
    "half_log": 0.55,
    "held": 0.75,
    "held_hinted": 0.90,
    "hook_failed": 0.65,
    "hook_mismatch": 0.10,
    "hook_refused": 0.65,
    "hook_slow": 0.55,
    "host_lost": 0.45,
    "killed": 0.35,
    "late_contradiction": 0.45,
    "late_log": 0.60,
    "lost_log": 0.65,
    "lost_submission": 0.85,
    "node_loss": 0.65,
    "none": 0.10,
    "not_taken": 0.60,
    "notice_lost": 0.35,
    "oom": 0.20,
    "outage": 0.50,
    "paused": 0.40,
    "preempted": 0.65,
    "rejected": 1.05,
    "sentinel_killed": 0.80,
    "session_died": 0.40,
    "session_resumed": 0.40,
    "session_stopped": 0.70,
    "slow_answer": 0.40,
    "slow_commit": 0.40,
    "slow_restart": 0.90,
    "stale": 0.30,
    "stuck_log": 0.70,
    "superseded": 0.40,
    "suspension": 0.40,
    "throttled": 0.45,
    "unread_log": 0.40,
    "unseen": 0.50,
    "write_failed": 0.50,
}
"""The shares in 20,000 histories of 2026-11-30, with 5 to 10 percent points to spare.

Many cells have several faults, and a cancel by another user is an error by itself, so that most shares are
not those of the fault alone. ``none`` has the cells without a fault: they expect what does not happen.
"""

BEYOND_THE_MODEL: frozenset[tuple[State, Event]] = frozenset(
    (state, Event.ACCEPT)
    for state in SubmissionState
    if state not in (SubmissionState.SENT, SubmissionState.UNANSWERED, SubmissionState.ACCEPTED)
)
"""Transitions that need a cluster which shows a job later than its ``find_settle``.

tests/engine/test_core.py has such a cluster.
"""

RARE: frozenset[tuple[State, Event]] = frozenset(
    {(Cancellation.RECORDING, Event.RETRACT), (Cancellation.DUE, Event.RETRACT)}
)
"""A restart between the decision to stop the other ranks and the request, which is moments later.

tests/engine/test_core_evidence.py has both.
"""


def recorded(least: int) -> CoverageBounds:
    """The bounds of this version of the engine and the simulation."""
    transitions = frozenset(pair(*each) for each in TRANSITIONS if each not in BEYOND_THE_MODEL | RARE)
    return CoverageBounds(least, transitions, frozenset(Reason), ERROR_SHARES)
