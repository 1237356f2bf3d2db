"""Rule (b): no job lives on that should not, and none beyond its own limits."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from math import inf

from ...model import JobSpec
from .facts import Fact
from .facts import JobFacts
from .facts import UNANSWERED
from .facts import Violation

LIMIT_MARGIN_SECONDS = 30.0
"""How much longer than ``max_runtime`` and ``grace_period`` one start may take on a slow cluster."""

REST_SECONDS = 90.0
"""How long it may take until a poll shows that a rank has failed, and the cluster restarts no more."""


@dataclass(slots=True)
class Lifetimes:
    """Collects from when on jobs may not live. ``patience`` is in seconds."""

    patience: float
    excused: set[int] = field(default_factory=set)
    """Numbers of jobs that a session has submitted after another one had taken its run over."""
    events: list[float] = field(default_factory=list)
    """When something happened to a process of the run."""
    _rests: list[tuple[JobFacts, float, float, float]] = field(default_factory=list)
    _stops: list[tuple[float, str | None, bool, bool]] = field(default_factory=list)
    _resumes: list[float] = field(default_factory=list)
    _broken: list[Violation] = field(default_factory=list)

    def stop(
        self, at: float, key: str | None, *, earlier_only: bool = False, by_session: bool = False
    ) -> None:
        """From now on no job of this cell (``None``: of the run) should live.

        ``earlier_only``: this concerns only the jobs that were submitted before. ``by_session``: a session
        that is at work was asked to cancel the cell, which does not depend on the ledger.
        """
        self._stops.append((at, key, earlier_only, by_session))

    def resume(self, at: float) -> None:
        """A resumed session may continue jobs, and submit new ones."""
        self._resumes.append(at)

    def is_resumed(self, after: float, before: float) -> bool:
        """Whether a session has begun between these times."""
        return any(after <= at <= before for at in self._resumes)

    def start(self, job: JobFacts, spec: JobSpec, seconds: float) -> None:
        """One start of a job ran this long, suspensions not counted."""
        most = spec.max_runtime + spec.grace_period + LIMIT_MARGIN_SECONDS
        if seconds > most:
            text = f"{job.token}: job {job.number} ran {seconds:.1f} s in one start, its limits allow {most:.1f} s"
            self._broken.append(Violation("b", text))

    def rest(self, job: JobFacts, at: float, until: float, grace: float) -> None:
        """A rank failed at ``at``, and the cluster does not stop the others, which ran on until ``until``."""
        self._rests.append((job, at, until, grace))

    def violations(
        self,
        jobs: Mapping[str, Sequence[JobFacts]],
        owner: Callable[[str], tuple[str, float]],
        facts: Sequence[Fact],
        given_up: Collection[str] = (),
    ) -> Iterator[Violation]:
        """The jobs that lived too long. ``owner`` gives the key and the grace period of a token's cell.

        ``given_up``: the cells whose results say that a job may still run.

        The harness lets the cluster run on for the patience after the last session has ended, so a job that
        is still alive then will never be ended.
        """
        yield from self._broken
        outages = sorted((fact.at, fact.until) for fact in facts if self._is_outage(fact))
        of_cluster = sorted((fact.at, fact.until) for fact in facts if fact.kind in UNANSWERED)
        unseen = [(fact.at, fact.until) for fact in facts if fact.kind == "absent"]
        yield from self._other_ranks(sorted([*outages, *unseen]))
        for token, same in jobs.items():
            key, grace = owner(token)
            for job in same:
                if job.number in self.excused or key in given_up:
                    continue
                for at, only, earlier_only, by_session in self._stops:
                    if (only is not None and only != key) or (earlier_only and job.submitted_at > at):
                        continue
                    own = by_session and not any(at < each <= at + 2 * self.patience for each in self.events)
                    text = self._leak(job, at, grace, of_cluster if own else outages)
                    # If neither polls nor lists show it, it counts as gone.
                    if text and not job.is_unlisted(max(at, job.submitted_at)):
                        yield Violation("b", text)
                        break

    def _is_outage(self, fact: Fact) -> bool:
        """Whether no cancel has an effect while this lasts: a ledger that cannot be read names no jobs."""
        hangs = fact.kind == "slow_commit" and fact.seconds >= self.patience
        return hangs or fact.kind in UNANSWERED

    def _other_ranks(self, unseen: Sequence[tuple[float, float]]) -> Iterator[Violation]:
        """The jobs that ran on after a rank had failed, although the first session was at work.

        ``unseen``: when polls or cancels had no answer, or did not show a job.
        """
        first_event = min(self.events, default=inf)
        for job, at, until, grace in self._rests:
            deadline = at + REST_SECONDS + self.patience + grace
            for start, over in unseen:
                if start <= deadline and over > at:
                    deadline = max(deadline, over + REST_SECONDS + self.patience + grace)
            if until > deadline and first_event > deadline:
                text = (
                    f"{job.token}: job {job.number} ran until {until:.1f} s, a rank had failed at {at:.1f} s"
                )
                yield Violation("b", text)

    def _leak(self, job: JobFacts, at: float, grace: float, outages: Sequence[tuple[float, float]]) -> str:
        """How the job lived on after it should have ended at ``at``; empty if it did not."""
        since = max(at, job.submitted_at)
        end = job.end()
        ended = None if end is None else end.at
        if ended is not None and ended <= since:
            return ""
        deadline = since + self.patience + grace
        for start, until in outages:
            if start <= deadline and until > since:
                deadline = max(deadline, until + self.patience + grace)
        if any(at <= resumed <= deadline for resumed in self._resumes):
            return ""
        if ended is not None and ended <= deadline:
            return ""
        lived = "lives on" if ended is None else f"lived until {ended:.1f} s"
        return f"{job.token}: job {job.number} {lived}, it should have ended by {deadline:.1f} s ({at:.1f} s: stop)"
