"""What happened in a history besides jobs: faults, events of processes, and the violations found."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ...model import Verdict
from .truth import TrueEnd

ABSORBED: tuple[str, ...] = (
    "absent",
    "cancel_ignored",
    "clock_jump",
    "closed",
    "error_after",
    "error_before",
    "find_unknown",
    "flapping",
    "full",
    "half_list",
    "hook_slow",
    "late_contradiction",
    "notice_lost",
    "outage",
    "session_resumed",
    "slow_answer",
    "slow_commit",
    "stale",
    "superseded",
    "throttled",
    "unseen",
    "write_failed",
)
"""Kinds of faults that never change a verdict, as long as each is shorter than ``lost_after``."""

ALWAYS_ABSORBED: tuple[str, ...] = ("paused",)
"""Kinds of faults that never change a verdict, however long they last: the process itself is stopped."""

OF_TRUTH: tuple[str, ...] = (
    "cancelled_by_other",
    "false_limit",
    "held",
    "held_hinted",
    "node_loss",
    "oom",
    "preempted",
    "sentinel_killed",
    "slow_restart",
    "suspension",
)
"""Kinds of faults that change how the job ends, so that the verdict follows the truth."""

LOG_KINDS: tuple[str, ...] = ("cut_log", "half_log", "late_log", "lost_log", "stuck_log", "unread_log")
"""Kinds of faults that may give an error if the verdict depends on the log."""

CAUSES: Mapping[str, frozenset[Verdict]] = {
    **dict.fromkeys(LOG_KINDS, frozenset({Verdict.ERROR})),
    "commit_failed": frozenset({Verdict.ERROR, Verdict.NOT_RUN}),  # for good: the disk is full or gone
    "contradiction": frozenset({Verdict.ERROR}),  # the cluster reports two codes
    "forgotten": frozenset({Verdict.ERROR}),  # absent before a poll has shown the end
    "hook_failed": frozenset({Verdict.ERROR, Verdict.FAILED}),  # the user's code did not return
    "hook_mismatch": frozenset({Verdict.ERROR, Verdict.FAILED}),  # the user's code found a mismatch
    "hook_refused": frozenset({Verdict.ERROR, Verdict.NOT_RUN}),
    "host_lost": frozenset({Verdict.ERROR, Verdict.NOT_RUN}),
    "killed": frozenset({Verdict.NOT_RUN}),  # `clusterjobs kill`, or a cancel request for a cell
    "lost_submission": frozenset({Verdict.ERROR}),  # the cluster cannot tell whether it has the job
    "not_taken": frozenset({Verdict.ERROR}),  # no submission accepted within queue_timeout
    "rejected": frozenset({Verdict.ERROR}),  # or passed, if it is expected
    "session_died": frozenset({Verdict.NOT_RUN}),  # and it was not resumed
    "session_stopped": frozenset({Verdict.NOT_RUN}),
}
"""Kinds of faults that may change a verdict, with the verdicts that they may give."""

UNANSWERED = frozenset(
    {"cancel_ignored", "error_before", "outage", "paused", "slow_answer", "throttled", "unseen"}
)
"""While one of these lasts, the cluster carries out no cancel."""

STOPS = frozenset({"killed", "session_died", "session_stopped"})
"""After one of these no job of the run (or of the cell) may live on."""

KINDS = frozenset({*ABSORBED, *ALWAYS_ABSORBED, *OF_TRUTH, *CAUSES})
"""All kinds."""


@dataclass(slots=True)
class Fact:
    """A fault, or an action of a user or process, that happened in a history."""

    kind: str
    """One of ``KINDS``."""
    at: float
    until: float
    """Equal to ``at`` for one that does not last."""
    key: str | None = None
    """The cell that it touched; ``None`` for all cells."""

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.until - self.at

    def touches(self, key: str) -> bool:
        """Whether it concerns this cell."""
        return self.key is None or self.key == key

    def verdicts(self, lost_after: float) -> frozenset[Verdict]:
        """The verdicts that it may give in place of the true one."""
        if self.kind in CAUSES:
            return CAUSES[self.kind]
        is_long = self.kind in ABSORBED and self.seconds >= lost_after
        return frozenset({Verdict.ERROR}) if is_long else frozenset()


@dataclass(slots=True)
class Attempted:
    """The ground truth of one attempt, in seconds of virtual time."""

    end: TrueEnd | None
    """``None``: never submitted, or still alive."""
    submitted: float | None = None
    started: float | None = None
    """The first start; ``None`` if it never started."""
    without_cancel: TrueEnd | None = None
    """How it ended if a cancel does not count: only the other ranks were stopped."""
    partial: tuple[tuple[str, int | None], ...] = ()
    """Other reasons that may be concluded if a log cannot be read, with their exit codes."""
    recorded: str | None = None
    """The kind of the run's action that the ledger has for its end; without one, the reason."""
    concluded: str | None = None
    """The reason that the ledger has for its end."""
    was_dismissed: bool = False
    """Whether the cluster stopped ranks after a clean main rank, which their records do not tell."""
    active: float = 0.0
    """For how many seconds its starts ran, suspensions not counted."""

    @property
    def waited(self) -> float:
        """Seconds until the first start, or until the end of a job that never started."""
        until = self.started if self.started is not None else self.end.at if self.end is not None else None
        return 0.0 if self.submitted is None or until is None else until - self.submitted

    @property
    def ran(self) -> float:
        """Seconds from the first start to the end."""
        return 0.0 if self.started is None or self.end is None else self.end.at - self.started


class JobFacts(Protocol):
    """A job of the simulated cluster. The oracle keeps it, and reads it again at the end."""

    number: int
    """Its text is the cluster's id of the job."""
    token: str
    submitted_at: float
    started_at: list[float]
    """Every start."""

    def end(self) -> TrueEnd | None:
        """How it ended; ``None`` if it has not."""

    def is_unlisted(self, now: float) -> bool:
        """Whether neither polls nor the list of jobs showed it at this time."""

    def command_end(self) -> TrueEnd | None:
        """How its ranks ended, if a cancel does not count."""

    def has_dismissed(self) -> bool:
        """Whether the cluster has stopped ranks after a clean main rank."""

    def partial_ends(self) -> tuple[tuple[str, int | None], ...]:
        """What else may be concluded if the log of a rank cannot be read."""


@dataclass(slots=True)
class Violation:
    """A rule that a history broke."""

    rule: str
    """``a`` to ``g``, ``c2`` or ``e2``."""
    text: str

    def __str__(self) -> str:
        return f"({self.rule}) {self.text}"


def touching(facts: Sequence[Fact], key: str) -> list[Fact]:
    """The facts that concern a cell."""
    return [fact for fact in facts if fact.touches(key)]
