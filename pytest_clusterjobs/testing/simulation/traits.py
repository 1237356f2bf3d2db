"""What kind of cluster a history has: its capabilities, its delays and what it reports."""

from __future__ import annotations

import math
from dataclasses import dataclass
from dataclasses import replace

from ...backends.protocol import Capabilities
from .rng import Rng
from .situations import Situation
from .situations import spanned


@dataclass(slots=True)
class Traits:
    """The constant properties of a simulated cluster. Durations are seconds."""

    ids_per_poll: int = 1000
    submissions_per_second: float | None = None
    submit_threads: int = 4
    min_poll_interval: float = 1.0
    find_settle: float = 0.0
    log_settle: float = 0.0
    restarts: bool = True
    stops_rest: bool = True
    unique_tokens: bool = True
    """Whether a second submission of a token returns the first job."""
    reports_in_polls: bool = True
    """Whether polls have the ranks' reports; otherwise only the logs have them."""
    ranks_in_polls: bool = True
    """Whether polls name the ranks, with the codes and times of their ends."""
    notifies: bool = False
    memory: float = math.inf
    """How long the cluster lists an ended job."""
    logs_outlive: bool = True
    """Whether the logs of a job that is no longer listed can be read."""
    hidden_at_first: bool = False
    """Whether a poll before a job is visible reports it as absent."""
    slots: int = 64
    """How many ranks run at once; further jobs wait in their order."""
    knows_width: bool = True
    """Whether ``max_nodes`` is stated in the capabilities."""
    late_ids: float = 0.0
    """How long after the submission the cluster assigns the id of a job; 0: at once."""
    max_submitted: int | None = None
    """How many jobs that have not ended the cluster takes; it refuses others for now."""
    start_delay: float = 0.0
    """The longest time that a job waits although slots are free."""
    restart_delay: float = 0.0
    cancel_delay: float = 0.0
    """The longest time from a cancel to the TERM."""
    stop_delay: float = 0.0
    """How long after a rank's failure the others get TERM, if ``stops_rest``. Needs ``ranks_in_polls``."""
    main_code_only: bool = False
    """Whether a job's code is that of rank 0 alone, unless polls name the ranks."""
    follow_grace: float | None = None
    """How long after a clean end of rank 0 the cluster stops the other ranks; ``None``: never."""
    requeues: bool = True
    """Whether a preempted job that may be restarted is started again."""
    clock_skew: float = 0.0
    """How much the cluster's clock is ahead."""

    def capabilities(self) -> Capabilities:
        """What a backend of this cluster states."""
        return Capabilities(
            ids_per_poll=self.ids_per_poll,
            submissions_per_second=self.submissions_per_second,
            submit_threads=self.submit_threads,
            min_poll_interval=self.min_poll_interval,
            find_settle=self.find_settle,
            log_settle=self.log_settle,
            restarts=self.restarts,
            stops_rest=self.stops_rest,
            knows_secrets=True,
            max_nodes=self.slots if self.knows_width else None,
        )


def _restart_delay(rng: Rng) -> float:
    usual = rng.uniform(0.0, 150.0) if rng.chance(0.5) else 0.0
    long = rng.split("restart delay")
    return float(10.0 ** long.uniform(1.0, 3.55)) if long.chance(0.25) else usual


def draw_traits(rng: Rng, *, forgets: bool = False, faultless: bool = False) -> Traits:
    """The traits of one history. ``forgets``: the cluster may forget an end before a poll has seen it."""
    stops_rest = rng.chance(0.7)
    follow = rng.uniform(0.0, 30.0) if rng.chance(0.3) else None
    reports = rng.chance(0.5)
    # Ranks that are stopped after a clean main node, or failed ranks of a running job, must be named.
    named = reports or follow is not None or not stops_rest or rng.chance(0.5)
    if rng.split("bare").chance(0.12):
        # A cluster that shows one code of a job, and nothing of its ranks.
        stops_rest, follow, reports, named = True, None, False, False
    late = rng.chance(0.3)
    settle = rng.uniform(1.0, 30.0) if late else 0.0
    memory = math.inf
    if rng.chance(0.4):
        memory = rng.uniform(0.0, 120.0) if forgets and rng.chance(0.5) else rng.uniform(900.0, 7200.0)
    short = rng.split("memory")
    is_short = forgets and short.chance(0.2)
    if is_short:
        # The end may be seen by a session that dies, and forgotten before the next one.
        memory = short.uniform(30.0, 300.0)
    full = rng.split("full")
    most = full.weighted([(1, 5), (2, 3), (3, 1), (4, 1)])
    return Traits(
        ids_per_poll=rng.weighted([(1000, 5), (1, 1), (2, 1), (5, 1)]),
        submissions_per_second=rng.weighted([(None, 2), (0.5, 1), (5.0, 1)]),
        submit_threads=1 + rng.below(4),
        min_poll_interval=rng.weighted([(1.0, 2), (4.0, 3), (15.0, 2)]) * rng.uniform(0.5, 1.5),
        find_settle=settle,
        log_settle=rng.uniform(0.5, 20.0) if rng.chance(0.5) else 0.0,
        restarts=rng.chance(0.9),
        stops_rest=stops_rest,
        unique_tokens=rng.chance(0.5),
        reports_in_polls=reports,
        ranks_in_polls=named,
        notifies=rng.chance(0.3),
        memory=memory,
        logs_outlive=rng.chance(0.7) and not is_short,
        hidden_at_first=rng.chance(0.5),
        slots=rng.weighted([(64, 12), (8, 4), (4, 4), (2, 1)]),
        knows_width=rng.chance(0.5),
        late_ids=rng.uniform(0.0, 60.0) if rng.chance(0.2) else 0.0,
        max_submitted=most if not faultless and full.chance(0.3) else None,
        start_delay=rng.uniform(0.0, 120.0) if rng.chance(0.5) else 0.0,
        restart_delay=_restart_delay(rng),
        cancel_delay=rng.uniform(0.0, 5.0) if rng.chance(0.5) else 0.0,
        stop_delay=rng.uniform(0.0, 3.0) if named and rng.chance(0.5) else 0.0,
        follow_grace=follow,
        requeues=rng.chance(0.7),
        main_code_only=not named and rng.split("code").chance(0.7),
        clock_skew=rng.uniform(-30.0, 30.0) if rng.chance(0.3) else 0.0,
    )


def steered(traits: Traits, rng: Rng, situation: Situation) -> Traits:
    """The traits with those that a situation names; what contradicts them is changed."""
    wanted = {name: rng.pick(values) for name, values in situation.traits.items()}
    wanted |= {name: spanned(rng, span) for name, span in situation.spans.items()}
    found = replace(traits, **wanted)
    if found.reports_in_polls or found.follow_grace is not None or not found.stops_rest:
        found.ranks_in_polls = True
    if found.ranks_in_polls:
        found.main_code_only = False
    else:
        # Polls do not show that a rank has failed.
        found.stop_delay = min(found.stop_delay, 3.0)
    return found
