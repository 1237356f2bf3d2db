"""Situations: what a part of the histories is steered to, because chance alone seldom arranges it.

A rule of the engine often matters only if several things come together: a job is preempted, its session dies,
and the cluster has forgotten the end. A situation names such things. What it does not name is drawn as in any
other history, and in most of these histories nothing else goes wrong, so that nothing else is an excuse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from typing import Any

from .rng import Rng

SHARE = 0.3
"""The share of the histories with faults that have a situation."""
ALONE = 0.65
"""The share of these in which the drawn faults of the cluster and the network do not happen as well."""

Span = tuple[float, float]
"""A value is drawn from the first to the second one, on a logarithmic scale."""
Calls = tuple[float, float, float]
"""How often a call fails before its effect, is throttled, and fails after its effect."""


@dataclass(frozen=True, slots=True)
class PossibleAction:
    """An action to draw."""

    kind: str
    chance: float = 1.0
    at: Span = (0.0, 0.0)
    """World time; with 0, ``steps`` decides."""
    steps: Span = (1.0, 200.0)
    seconds: Span = (0.0, 0.0)
    cells: tuple[int, ...] = ()
    """The numbers of cells; empty: drawn."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What is steered. Tuples are drawn from; empty ones leave the draw as it is."""

    name: str
    plots: tuple[str, ...] = ()
    nodes: tuple[int, ...] = ()
    restarts: tuple[int, ...] = ()
    retries: tuple[int, ...] = ()
    queues: tuple[float, ...] = ()
    """``queue_timeout``, in seconds."""
    expects: tuple[str, ...] = ()
    """``infra``, ``cancelled`` or empty: what the expectation of a cell that completes allows as well."""
    traits: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    spans: Mapping[str, Span] = field(default_factory=dict)
    """Traits that are drawn from a span."""
    job_faults: tuple[str, ...] = ()
    jobs: float = 0.0
    """How often a job has one of these faults."""
    log_faults: tuple[str, ...] = ()
    logs: float = 0.0
    absent: float = 0.0
    """How often a live job is absent from polls."""
    answers: Mapping[str, float] = field(default_factory=dict)
    """How often an answer has a kind of fault, at most."""
    calls: Mapping[str, Calls] = field(default_factory=dict)
    outages: tuple[Span, ...] = ()
    """Lengths of outages in seconds."""
    typical: tuple[float, ...] = ()
    """The longest ordinary delay of a call, in seconds."""
    hang: tuple[float, float] = (0.0, 0.0)
    """How often a call hangs, and for how many seconds at most."""
    ledger_hang: tuple[float, float] = (0.0, 0.0)
    ledger_typical: tuple[float, ...] = ()
    actions: tuple[PossibleAction, ...] = ()
    visits: tuple[str, ...] = ()
    """Later sessions, one after the other."""
    no_visit: float = 0.3
    """How often each of the visits does not happen."""
    soon: float = 0.5
    """How often a visit follows at once."""
    hook_seconds: float = 0.0
    """The longest ordinary delay of a hook; 0: there are none, or those that were drawn."""
    launches: bool = False
    """Whether the first session leaves its jobs, and later ones judge them."""
    keeps: bool = False
    """Whether jobs live on when their session dies."""


_RESUMED = ("resume", "resume", "resume")
_LONG = ("completes", "overruns", "endless", "stalls")
_RESTARTING: Mapping[str, tuple[Any, ...]] = {"restarts": (True,), "requeues": (True,)}
_WITHOUT_RANKS: Mapping[str, tuple[Any, ...]] = {
    "stops_rest": (True,),
    "reports_in_polls": (False,),
    "ranks_in_polls": (False,),
    "follow_grace": (None,),
}
"""Of a cluster that shows nothing of a job's ranks."""

SITUATIONS: tuple[Situation, ...] = (
    Situation(
        "an end is shown for a short time, and its answers contradict each other",
        traits={
            "logs_outlive": (True, True, False),
            "log_settle": (5.0, 30.0),
            "find_settle": (0.0, 10.0),
            "reports_in_polls": (True, True, False),
        },
        spans={"memory": (3.0, 300.0)},
        log_faults=("late_log", "half_log", "stuck_log", "lost_log"),
        logs=0.7,
        answers={"contradiction": 0.7, "half_list": 0.2},
        actions=(
            PossibleAction("died", 0.5, steps=(10.0, 300.0)),
            PossibleAction("stopped", 0.2, seconds=(20.0, 900.0)),
        ),
        visits=_RESUMED,
    ),
    Situation(
        "the process itself is stopped for long",
        plots=_LONG,
        spans={"find_settle": (1.0, 30.0)},
        jobs=0.3,
        job_faults=("suspension", "preempted", "held"),
        actions=(
            PossibleAction("stopped", 1.0, seconds=(60.0, 7200.0), cells=()),
            PossibleAction("stopped", 0.5, seconds=(300.0, 7200.0), cells=()),
            PossibleAction("cancel_cells", 0.4),
        ),
    ),
    Situation(
        "sessions take the run over from each other",
        plots=_LONG,
        retries=(0, 1, 2),
        typical=(0.1, 1.0, 10.0),
        ledger_hang=(0.1, 100.0),
        actions=(
            PossibleAction("stopped", 1.0, steps=(1.0, 100.0), seconds=(70.0, 2000.0), cells=(0,)),
            PossibleAction("kill", 0.4, at=(1.0, 300.0)),
            PossibleAction("rival", 0.7, at=(70.0, 3000.0)),
            PossibleAction("interrupted", 0.5, at=(1.0, 300.0)),
            PossibleAction("rival", 0.5, at=(70.0, 3000.0)),
        ),
        visits=_RESUMED,
        soon=0.8,
    ),
    Situation(
        "attempts follow each other while sessions die",
        plots=("completes", "recovers", "flaky"),
        restarts=(0,),
        retries=(1, 2, 2),
        job_faults=("preempted", "node_loss"),
        jobs=0.7,
        traits={"requeues": (False, True)},
        actions=(
            PossibleAction("died", 0.7, steps=(1.0, 400.0)),
            PossibleAction("stopped", 0.3, seconds=(70.0, 900.0), cells=(0,)),
            PossibleAction("interrupted", 0.5, steps=(1.0, 400.0)),
            PossibleAction("cancel_cells", 0.5),
            PossibleAction("died", 0.5, steps=(50.0, 600.0)),
        ),
        visits=_RESUMED,
        soon=0.8,
    ),
    Situation(
        "several ranks end by themselves",
        plots=("fails", "fails", "signalled", "setup_fails", "completes"),
        nodes=(2, 3, 4),
        traits={
            "stops_rest": (True, False),
            "reports_in_polls": (True, False),
            "ranks_in_polls": (True, True, False),
            "stop_delay": (0.0, 20.0),
            "follow_grace": (None, 1.0, 10.0),
        },
        log_faults=("late_log", "lost_log", "cut_log"),
        logs=0.15,
        answers={"stale": 0.4, "half_list": 0.2},
    ),
    Situation(
        "a job is started several times",
        plots=("completes", "overruns", "restarted", "fails", "stalls"),
        restarts=(1, 2),
        traits={**_RESTARTING, "reports_in_polls": (True, False)},
        spans={"restart_delay": (1.0, 900.0)},
        job_faults=("preempted", "node_loss", "suspension", "oom"),
        jobs=0.8,
        absent=0.4,
        answers={"stale": 0.5, "flapping": 0.2, "half_list": 0.3},
        actions=(PossibleAction("cancel_cells", 0.3), PossibleAction("died", 0.2)),
        visits=("resume",),
    ),
    Situation(
        "cancels meet errors",
        plots=("endless", "overruns", "completes"),
        traits={"find_settle": (0.0, 5.0, 20.0)},
        calls={
            "cancel": (0.3, 0.1, 0.2),
            "poll": (0.4, 0.2, 0.0),
            "find": (0.3, 0.0, 0.0),
            "sweep": (0.3, 0.1, 0.2),
        },
        answers={"cancel_ignored": 0.2, "half_list": 0.2},
        absent=1.0,
        ledger_typical=(0.01, 5.0),
        ledger_hang=(0.2, 60.0),
        actions=(
            PossibleAction("cancel_cells", 0.8, at=(1.0, 120.0)),
            PossibleAction("interrupted", 0.5, at=(1.0, 300.0)),
            PossibleAction("kill_cells", 0.4, at=(1.0, 300.0)),
        ),
        visits=("resume",),
    ),
    Situation(
        "jobs are cancelled before the cluster lists them",
        plots=_LONG,
        traits={"hidden_at_first": (True,), "late_ids": (0.0, 0.0, 30.0)},
        spans={"find_settle": (20.0, 90.0), "min_poll_interval": (1.0, 5.0)},
        actions=(
            PossibleAction("cancel_cells", 1.0, at=(0.3, 20.0)),
            PossibleAction("interrupted", 0.5, at=(0.5, 60.0)),
            PossibleAction("kill_cells", 0.3, at=(0.3, 60.0)),
        ),
        visits=("resume",),
    ),
    Situation(
        "jobs are cancelled by others and by the run",
        plots=("completes", "fails", "fails"),
        nodes=(2, 3),
        expects=("cancelled", "cancelled", ""),
        restarts=(0, 0, 1),
        traits={"stops_rest": (False, True), "reports_in_polls": (True, False), "requeues": (True, False)},
        job_faults=("cancelled_by_other", "preempted"),
        jobs=0.6,
        answers={"stale": 0.5, "contradiction": 0.1},
        actions=(PossibleAction("cancel_cells", 0.6, at=(1.0, 200.0)), PossibleAction("died", 0.3)),
        visits=("resume",),
    ),
    Situation(
        "a cluster that reports little",
        plots=("diagnosed", "diagnosed", "classified", "uneven", "uneven"),
        nodes=(1, 2, 3),
        expects=("infra", ""),
        traits={
            **_WITHOUT_RANKS,
            "stop_delay": (0.0,),
            "main_code_only": (True, False),
        },
        job_faults=("sentinel_killed", "sentinel_killed", "node_loss", "oom"),
        jobs=0.8,
        log_faults=("lost_log", "cut_log", "stuck_log", "half_log"),
        logs=0.2,
    ),
    Situation(
        "the answer to a submission is lost",
        traits={"unique_tokens": (False, False, True), "hidden_at_first": (True, False)},
        spans={"find_settle": (1.0, 30.0)},
        calls={"submit": (0.1, 0.1, 0.5), "find": (0.2, 0.0, 0.0)},
        hang=(0.2, 60.0),
        actions=(
            PossibleAction("died", 0.6, steps=(1.0, 60.0)),
            PossibleAction("stopped", 0.4, steps=(1.0, 60.0), seconds=(70.0, 600.0), cells=(0,)),
            PossibleAction("interrupted", 0.3, steps=(1.0, 60.0)),
            PossibleAction("cancel_cells", 0.4, steps=(1.0, 60.0)),
        ),
        visits=_RESUMED,
        soon=0.8,
    ),
    Situation(
        "the end is forgotten before a resume",
        keeps=True,
        plots=("completes", "fails", "flaky"),
        traits={"logs_outlive": (False, True), "unique_tokens": (True, False)},
        spans={"memory": (10.0, 200.0)},
        actions=(PossibleAction("died", 1.0, steps=(3.0, 200.0)),),
        visits=("resume", "resume"),
        no_visit=0.1,
        soon=0.3,
    ),
    Situation(
        "a session dies between an end and its verdict",
        keeps=True,
        plots=("completes", "fails", "signalled"),
        traits={
            "logs_outlive": (False,),
            "reports_in_polls": (True,),
            "find_settle": (0.0,),
            "min_poll_interval": (1.0,),
        },
        spans={"memory": (4.0, 20.0)},
        ledger_typical=(0.002,),
        hook_seconds=50.0,
        actions=(PossibleAction("died", 1.0, at=(2.0, 150.0)),),
        visits=("resume", "resume"),
        no_visit=0.0,
        soon=1.0,
    ),
    Situation(
        "a session dies before the record of a cancellation is written",
        keeps=True,
        plots=("fails",),
        nodes=(2, 3),
        expects=("cancelled",),
        restarts=(0,),
        traits={"stops_rest": (False,), "find_settle": (0.0,)},
        ledger_typical=(8.0,),
        ledger_hang=(0.6, 300.0),
        actions=(PossibleAction("died", 1.0, at=(5.0, 300.0)),),
        visits=("resume", "resume"),
        no_visit=0.0,
    ),
    Situation(
        "cancelled jobs are missing in the list of a cluster that is seldom polled",
        plots=_LONG,
        traits={"find_settle": (0.0,), "hidden_at_first": (False,), "unique_tokens": (True,)},
        spans={"min_poll_interval": (14.0, 25.0)},
        absent=1.0,
        actions=(
            PossibleAction("cancel_cells", 1.0, at=(2.0, 100.0)),
            PossibleAction("cancel_cells", 1.0, at=(2.0, 300.0)),
        ),
    ),
    Situation(
        "notices meet polls",
        plots=("completes", "fails"),
        traits={"notifies": (True,), "ids_per_poll": (1000, 2)},
        spans={"min_poll_interval": (1.0, 20.0)},
        typical=(0.1, 2.0, 5.0),
    ),
    Situation(
        "the cluster takes no jobs for a while",
        restarts=(0,),
        retries=(0, 1),
        traits={"max_submitted": (1, 2, None)},
        calls={"submit": (0.2, 0.6, 0.1)},
        typical=(0.1, 2.0, 5.0),
        ledger_typical=(0.01, 2.0),
        actions=(
            PossibleAction("cancel_cells", 0.8, at=(0.5, 30.0)),
            PossibleAction("interrupted", 0.4, at=(1.0, 60.0)),
            PossibleAction("died", 0.5, at=(1.0, 60.0)),
            PossibleAction("died", 0.5, at=(20.0, 600.0)),
            PossibleAction("stopped", 0.3, at=(1.0, 60.0), seconds=(70.0, 600.0), cells=(0,)),
        ),
        visits=_RESUMED,
        soon=0.8,
    ),
    Situation(
        "the wall clock jumps between sessions",
        plots=("overruns", "stalls", "completes", "endless", "endless"),
        expects=("cancelled", "cancelled", ""),
        job_faults=("held", "suspension"),
        jobs=0.3,
        actions=(
            PossibleAction("died", 0.8, at=(5.0, 1000.0)),
            PossibleAction("clock", 0.7, at=(1.0, 900.0)),
            PossibleAction("clock", 0.5, at=(1.0, 900.0)),
        ),
        visits=_RESUMED,
        soon=0.7,
    ),
    Situation(
        "answers take longer than what they tell of",
        plots=("overruns", "completes", "stalls", "endless"),
        typical=(1.0, 10.0, 30.0),
        hang=(0.5, 150.0),
        job_faults=("suspension", "held", "held"),
        jobs=0.9,
        restarts=(0, 1),
        queues=(300.0,),
    ),
    Situation(
        "ends come while nothing can be asked",
        plots=("completes", "fails", "overruns"),
        traits={"find_settle": (0.0, 15.0), "logs_outlive": (True, False)},
        spans={"memory": (200.0, 2000.0)},
        absent=0.4,
        calls={"poll": (0.3, 0.1, 0.0), "logs": (0.3, 0.1, 0.0), "find": (0.3, 0.0, 0.0)},
        answers={"find_unknown": 0.4, "half_list": 0.3},
        outages=((20.0, 400.0), (20.0, 400.0)),
    ),
    Situation(
        "a session begins while another process cancels jobs",
        plots=_LONG,
        retries=(0, 1),
        typical=(0.01, 0.1, 1.0),
        answers={"cancel_ignored": 0.9},
        ledger_typical=(0.01, 3.0, 8.0),
        actions=(
            PossibleAction("kill", 0.5, at=(1.0, 200.0)),
            PossibleAction("died", 0.8, at=(1.0, 200.0)),
            PossibleAction("kill", 0.5, at=(1.0, 400.0)),
        ),
        visits=("resume", "resume", "kill", "resume"),
        no_visit=0.15,
        soon=1.0,
    ),
    Situation(
        "a stopped session has a submission on its way",
        plots=_LONG,
        retries=(0, 1),
        traits={"unique_tokens": (False,), "submissions_per_second": (None, 0.5)},
        spans={"find_settle": (0.1, 10.0)},
        typical=(2.0, 10.0),
        actions=(
            PossibleAction("stopped", 1.0, steps=(2.0, 20.0), seconds=(155.0, 1500.0), cells=(0,)),
            PossibleAction("died", 0.5, at=(155.0, 260.0)),
            PossibleAction("cancel_cells", 0.4, at=(152.0, 200.0)),
            PossibleAction("died", 0.3, at=(155.0, 600.0)),
        ),
        visits=_RESUMED,
        no_visit=0.1,
        soon=0.9,
    ),
    Situation(
        "several starts are judged by their logs",
        keeps=True,
        plots=("completes", "fails", "signalled"),
        nodes=(2, 3),
        restarts=(1, 2),
        traits={
            **_RESTARTING,
            "logs_outlive": (True,),
            "reports_in_polls": (False, True),
        },
        spans={"memory": (3.0, 100.0), "restart_delay": (1.0, 60.0)},
        job_faults=("preempted", "node_loss"),
        jobs=1.0,
        log_faults=("late_log", "half_log", "lost_log"),
        logs=0.7,
        answers={"half_list": 0.6},
        outages=((20.0, 300.0), (20.0, 300.0)),
        actions=(PossibleAction("died", 0.8, at=(1.0, 100.0)),),
        visits=("resume", "resume"),
        no_visit=0.1,
        soon=0.1,
    ),
    Situation(
        "a start that follows a failed rank is not seen",
        plots=("restarted",),
        nodes=(2, 3),
        restarts=(1, 2),
        traits={
            **_RESTARTING,
            "logs_outlive": (True,),
            "reports_in_polls": (True,),
            "stops_rest": (True,),
            "stop_delay": (2.0, 20.0),
        },
        spans={"memory": (2.0, 40.0), "restart_delay": (0.5, 10.0), "min_poll_interval": (1.0, 5.0)},
        answers={"half_list": 0.7},
        outages=((20.0, 200.0), (20.0, 200.0), (20.0, 200.0)),
    ),
    Situation(
        "ranks fail on a cluster that names none",
        plots=("fails",),
        nodes=(2, 3, 4),
        traits={
            **_WITHOUT_RANKS,
            "stop_delay": (0.5, 3.0),
        },
    ),
    Situation(
        "cells are cancelled while their submissions are refused",
        plots=_LONG,
        restarts=(0,),
        traits={"submissions_per_second": (None,)},
        calls={"submit": (0.0, 0.9, 0.0)},
        typical=(1.0, 5.0),
        ledger_typical=(1.0, 3.0),
        hook_seconds=20.0,
        job_faults=("cancelled_by_other",),
        jobs=1.0,
        actions=(
            PossibleAction("cancel_cells", 1.0, at=(1.0, 20.0)),
            PossibleAction("cancel_cells", 1.0, at=(1.0, 20.0)),
            PossibleAction("cancel_cells", 1.0, at=(1.0, 20.0)),
            PossibleAction("died", 1.0, at=(12.0, 60.0)),
        ),
        visits=_RESUMED,
        no_visit=0.1,
        soon=0.9,
    ),
    Situation(
        "sessions that leave their jobs are asked to cancel some",
        plots=_LONG,
        launches=True,
        traits={"unique_tokens": (True, False)},
        spans={"find_settle": (5.0, 60.0)},
        calls={"submit": (0.0, 0.0, 0.8)},
        typical=(0.1, 2.0, 10.0),
        actions=(
            PossibleAction("cancel_cells", 0.9, at=(0.5, 60.0)),
            PossibleAction("cancel_cells", 0.9, at=(1.0, 300.0)),
            PossibleAction("died", 0.2, at=(1.0, 60.0)),
        ),
        visits=("look", "look", "resume"),
        soon=0.8,
    ),
    Situation(
        "a suspension lies within an outage",
        plots=("overruns", "endless", "completes"),
        restarts=(0,),
        traits={"start_delay": (0.0,), "late_ids": (0.0,)},
        job_faults=("suspension",),
        jobs=1.0,
        outages=((300.0, 2000.0), (300.0, 2000.0)),
    ),
    Situation(
        "a suspension or a wait is not seen",
        plots=("completes", "overruns", "stalls"),
        restarts=(0, 1, 2),
        traits=_RESTARTING,
        spans={"restart_delay": (10.0, 900.0)},
        job_faults=("suspension", "suspension", "preempted"),
        jobs=1.0,
        outages=((100.0, 1500.0), (100.0, 1500.0)),
    ),
)


def draw_situation(rng: Rng) -> Situation | None:
    """The situation of a history; most have none.

    Another situation in the list takes its share of the histories, and leaves the others as they are.
    """
    if not rng.chance(SHARE):
        return None
    return max(SITUATIONS, key=lambda each: rng.split(each.name).bits(64))


def spanned(rng: Rng, span: Span) -> float:
    """A value of a span, on a logarithmic scale."""
    low, high = span
    return float(low * (high / low) ** rng.uniform(0.0, 1.0)) if low > 0.0 else low
