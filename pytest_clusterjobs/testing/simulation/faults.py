"""The faults of a history: which happen, and who must absorb them.

Faults of the cluster (they change the truth):

| kind | what happens | what follows |
|---|---|---|
| preempted | the ranks get TERM; the job is started again, or ends | the verdict is that of the truth |
| node_loss | one rank disappears without a report, the others are stopped; restarted, or ended | the same |
| suspension | the job is frozen for a while; its limits do not count that time | absorbed; the limits hold |
| held | the job is pending for a while or for ever; polls may hint at a cause | the run ends it |
| slow_restart | the job waits for its next start for ``queue_timeout`` or longer | the run ends it |
| cancelled_by_other | a person cancels the job | the verdict is that of the truth |
| oom | a rank is killed for memory, with its sentinel or without | the verdict is that of the truth |
| sentinel_killed | a person kills a sentinel; the cluster sees 137 | an error, or another rank's failure |
| forgotten | an ended job is absent from polls that never showed its end | an error, or the truth |
| late_log | an ended job's log is complete only after ``log_settle`` | an error, or the truth |
| half_log | until then half of the log can be read | an error, or the truth |
| lost_log | the log is never delivered, with a gap | an error, or the truth if polls have the reports |
| stuck_log | the log never becomes complete, without a gap | the same |
| false_limit | a sentinel reports a limit that is not over, or that it does not have | an error |
| cut_log | the log's beginning is missing | an error if the log decides; else the truth |

Faults of the network (the truth stays):

| kind | what happens | who absorbs it |
|---|---|---|
| error_before | a call fails without effect | the engine: repeats it, or ``find`` after a submission |
| error_after | a call has its effect, and its answer is lost | the engine: ``find`` after a submission |
| throttled | a call is refused without effect | the engine: repeats it |
| full | the cluster refuses submissions while it has so many jobs of the run | the engine waits |
| closed | all submissions are refused for a minute, hours or ever | the engine, for ``queue_timeout`` |
| rejected | the cluster rejects all submissions of a spec | the verdict is ``rejected`` |
| outage | all calls fail for 10 s to 1 h | the engine; an hour without an answer is an error |
| half_list | a poll leaves out jobs | the engine: they keep their state |
| flapping | a running job is shown as pending once | the engine |
| contradiction | after its end a job is shown as running, or with another code | an end is final |
| late_contradiction | the same to a process that has been told the end | the engine |
| stale | a poll shows an earlier state again, also instead of the end | the engine |
| notice_lost | a notification is not delivered | the engine: it polls anyway |
| find_unknown | ``find`` cannot tell for now | the engine: it does not submit the token again |
| absent | polls do not list a live job for up to 250 s; the list and ``find`` do, or do not | the engine |
| cancel_ignored | a cancel is answered and has no effect, once or always | the engine: repeats it |

A contradiction never turns a true failure green. A process that sees only the contradicting answer about
an exit code may report an error; it never reports another product reason.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...model import JobSpec
from ...model import Reason
from ...model import SentinelWord
from .rng import Rng
from .situations import Situation

JOB_FAULTS: tuple[tuple[str, int], ...] = (
    ("preempted", 3),
    ("node_loss", 3),
    ("suspension", 3),
    ("held", 2),
    ("cancelled_by_other", 3),
    ("oom", 3),
    ("sentinel_killed", 2),
)
ABSENCE_SECONDS = 250.0
"""The longest absence of a live job. Less than what makes it ``lost``."""
UNLISTED_SECONDS = 14.0
"""The longest time for which a list lacks a live job that was to be cancelled and is absent from polls."""
LOG_FAULTS: tuple[tuple[str, int], ...] = (
    ("late_log", 3),
    ("half_log", 2),
    ("lost_log", 3),
    ("stuck_log", 2),
    ("cut_log", 2),
)
CALLS = ("submit", "poll", "cancel", "logs", "find", "sweep")


@dataclass(slots=True)
class JobFaults:
    """The faults planned for one job. Times are seconds; ``None``: it does not happen."""

    held: float | None = None
    """How long it is held; infinite: for ever."""
    hint: Reason | None = None
    """What polls of the held job claim."""
    preempted: float | None = None
    """After the start, as the following times."""
    node_loss: float | None = None
    suspension: float | None = None
    suspended_for: float = 0.0
    oom: float | None = None
    oom_takes_sentinel: bool = False
    killed: float | None = None
    rank: int = 0
    """The rank of these faults."""
    in_start: int = 0
    """The start, counted from 0, in which the faults with a time after the start happen."""
    cancelled_by_other: float | None = None
    """After the submission."""
    false_limit: float | None = None
    """After the start: the sentinel reports a limit too early."""
    false_word: SentinelWord = SentinelWord.MAX_RUNTIME_REACHED
    absent: tuple[tuple[float, float], ...] = ()
    """After the submission: from when until when polls do not list it."""
    silent: tuple[tuple[float, float], ...] = ()
    """The same: from when until when polls leave it out."""
    down: tuple[tuple[float, float], ...] = ()
    """The same: from when until when polls that ask for it fail."""
    unlisted: bool = False
    """Whether an absent job is missing in the list and for ``find``, too."""
    hides_from_cancel: float = 0.0
    """How long the first cancel has no effect, while the job is absent from polls and still listed."""
    unlisted_for: float = 0.0
    """How long after that first cancel the list lacks it, too; less than what proves its absence."""
    ignores_cancels: bool = False
    """Whether no cancel by this run ever has an effect."""
    log: str = ""
    """A kind of log fault."""
    log_rank: int | None = None
    """The only rank with this fault; ``None``: all."""
    log_delay: float = 0.0
    """How much later than ``log_settle`` a late log is complete."""


NO_FAULTS = JobFaults()


class ClusterFaults:
    """Draws the faults of the jobs of a history. An intensity of 0 has none, of 1 many."""

    __slots__ = (
        "_absent",
        "_deaf",
        "_false_limit",
        "_has_gaps",
        "_job",
        "_kinds",
        "_log",
        "_log_kinds",
        "intensity",
    )

    def __init__(self, rng: Rng, intensity: float) -> None:
        self.intensity = intensity
        # Each history has some kinds only, so that a kind is also seen without the others.
        self._kinds = [item for item in JOB_FAULTS if rng.chance(0.6)] if intensity else []
        self._log_kinds = [item for item in LOG_FAULTS if rng.chance(0.6)] if intensity else []
        self._job = intensity * rng.uniform(0.1, 1.0) if self._kinds else 0.0
        self._log = intensity * rng.uniform(0.0, 0.7) if self._log_kinds else 0.0
        absent, false = rng.split("absent"), rng.split("false limit")
        self._absent = intensity * absent.uniform(0.3, 1.2) if absent.chance(0.5) else 0.0
        self._false_limit = intensity * false.uniform(0.2, 0.9) if false.chance(0.25) else 0.0
        deaf = rng.split("deaf")
        self._deaf = 0.3 if intensity and deaf.chance(0.05) else 0.0
        self._has_gaps = False

    def steer(self, rng: Rng, situation: Situation) -> None:
        """Let the faults that a situation names happen as often as it says."""
        if situation.job_faults:
            self._kinds = [(kind, 1) for kind in situation.job_faults]
            self._job = situation.jobs * rng.uniform(0.3, 1.0)
        if situation.log_faults:
            self._log_kinds = [(kind, 1) for kind in situation.log_faults]
            self._log = situation.logs * rng.uniform(0.3, 1.0)
        self._absent = max(self._absent, situation.absent * rng.uniform(0.3, 1.0))
        self._has_gaps = bool(situation.absent)

    @property
    def happens(self) -> bool:
        """Whether jobs have faults at all."""
        return bool(self._job or self._log or self._absent or self._false_limit or self._deaf)

    def plan(self, rng: Rng, spec: JobSpec) -> JobFaults:
        """The faults of one job; one kind, seldom two."""
        if not self.happens:
            return NO_FAULTS
        found = JobFaults(rank=rng.below(spec.nodes))
        found.in_start = rng.below(spec.max_restarts + 1) if rng.chance(0.3) else 0
        for p in (self._job, self._job * 0.3):
            if rng.chance(p):
                _add(found, rng.weighted(self._kinds), rng, spec)
        if rng.chance(self._log):
            found.log = rng.weighted(self._log_kinds)
            found.log_delay = rng.uniform(0.0, 120.0)
            ranks = rng.split("log rank")
            found.log_rank = ranks.below(spec.nodes) if ranks.chance(0.6) else None
        absent, false = rng.split("absent"), rng.split("false limit")
        if absent.chance(self._absent):
            _hide(found, absent, has_gaps=self._has_gaps)
        deaf = rng.split("deaf")
        if deaf.chance(self._deaf):
            # Otherwise nothing at all would tell the run that the job lives on.
            found.ignores_cancels, found.unlisted = True, False
            found.held = math.inf if deaf.chance(0.5) else found.held
        if false.chance(self._false_limit):
            found.false_limit = _when(false, spec)
            words = (SentinelWord.MAX_RUNTIME_REACHED, SentinelWord.HEARTBEAT_TIMEOUT)
            found.false_word = false.pick(words)
        return found


def _add(found: JobFaults, kind: str, rng: Rng, spec: JobSpec) -> None:
    at = _when(rng, spec)
    if kind == "held":
        found.held = math.inf if rng.chance(0.5) else rng.uniform(1.0, 600.0)
        found.hint = rng.weighted([(None, 2), (Reason.REJECTED, 1), (Reason.DEPENDENCY_FAILED, 1)])
    elif kind == "preempted":
        found.preempted = at
    elif kind == "node_loss":
        found.node_loss = at
    elif kind == "suspension":
        found.suspension, found.suspended_for = at, rng.uniform(1.0, 1800.0)
    elif kind == "oom":
        found.oom, found.oom_takes_sentinel = at, rng.chance(0.5)
    elif kind == "sentinel_killed":
        found.killed = at
    elif kind == "cancelled_by_other":
        found.cancelled_by_other = rng.uniform(0.0, 60.0) if rng.chance(0.5) else at


def _hide(found: JobFaults, rng: Rng, *, has_gaps: bool) -> None:
    """Let a live job be absent from polls: once, twice, before an outage of its own, or when cancelled."""
    at = float(10.0 ** rng.uniform(0.0, 2.7))
    found.unlisted = rng.chance(0.5)
    match rng.weighted([("once", 3), ("twice", 2), ("outage", 2), ("cancel", 3)]):
        case "once":
            found.absent = ((at, at + float(10.0 ** rng.uniform(0.0, math.log10(ABSENCE_SECONDS)))),)
        case "twice":
            # No answer between them: the absence may have been interrupted.
            first = at + rng.uniform(20.0, 100.0)
            second = first + rng.uniform(130.0, 240.0)
            found.absent = ((at, first), (second, second + rng.uniform(150.0, ABSENCE_SECONDS)))
            found.silent = ((first, second),)
        case "outage":
            end = at + rng.uniform(150.0, ABSENCE_SECONDS)
            found.absent, found.down = ((at, end),), ((end, end + rng.uniform(100.0, 240.0)),)
        case "cancel":
            found.unlisted = False
            found.hides_from_cancel = rng.uniform(20.0, 90.0)
            gap = rng.split("gap")
            found.unlisted_for = gap.uniform(1.0, UNLISTED_SECONDS) if has_gaps and gap.chance(0.6) else 0.0


def _when(rng: Rng, spec: JobSpec) -> float:
    """A moment of a start, more often an early one."""
    part = rng.uniform(0.0, 1.0)
    return spec.max_runtime * part * part * part
