"""Reports to the oracle what happens in a history: faults, jobs, and calls of the cluster's API."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence

from ...model import JobSpec
from ...model import Observation
from ...model import Phase
from ...model.records import Result
from ...model.token import Token
from .behaviour import Behaviour
from .cells import SimulatedCell
from .cluster import SimulatedCluster
from .facts import Fact
from .facts import LOG_KINDS
from .facts import OF_TRUTH
from .faults import ClusterFaults
from .jobs import TrueJob
from .oracle import Oracle
from .rng import Rng
from .traits import Traits
from .world import World

LONG_SECONDS = 150.0
"""A series of failed lookups of this length may make a submission count as lost.

The last one may have been up to half of the five minutes ago.
"""
SILENCE_SECONDS = 100.0
"""Single errors of the API that last for so long are an outage, for the job that is asked for."""
REFUSED_SECONDS = 100.0
"""Submissions that are refused for so long may be given up: the next try may be two minutes away."""
MAX_SUBMISSIONS = 3
"""After so many failed calls of ``submit`` an attempt is given up."""

_HARMLESS = frozenset({*OF_TRUTH, *LOG_KINDS, "flapping", "half_list", "stale"}) - {"unread_log"}
"""Faults that make no later poll late."""


class Recorder:
    """Turns the simulation's events into the oracle's facts.

    Single faults count once for each cell; what lasts is reported with its duration.
    """

    __slots__ = (
        "_answered",
        "_asked",
        "_facts",
        "_failed",
        "_key_of",
        "_refused",
        "_refusing_since",
        "_unstopped",
        "disturbed_at",
        "oracle",
        "world",
    )

    def __init__(self, world: World, oracle: Oracle, run_id: str, cells: Iterable[SimulatedCell]) -> None:
        self.world = world
        self.oracle = oracle
        self._key_of = {str(Token.of(run_id, cell.key, 0))[:-1]: cell.key for cell in cells}
        self._facts: dict[tuple[str, str | None], Fact] = {}
        self._answered: dict[str, float] = {}
        self._asked: dict[str, float] = {}
        self._failed: dict[str, int] = {}
        self._refused: dict[str, float] = {}
        self._refusing_since: float | None = None
        self._unstopped: dict[str, float] = {}
        self.disturbed_at = -1e9
        """When a call failed for the last time, or a job's end was not plain."""

    def key_of(self, token: str) -> str | None:
        """The key of a token's cell."""
        prefix, _, _ = token.rpartition("-a")
        return self._key_of.get(f"{prefix}-a")

    def fact(
        self, kind: str, key: str | None = None, *, at: float | None = None, until: float | None = None
    ) -> None:
        """A fault happened; one of the same kind and cell is extended."""
        now = self.world.now
        at = now if at is None else at
        until = max(at, now if until is None else until)
        known = self._facts.get((kind, key))
        if known is None or (until > at and at > known.until + 1.0):
            known = self._facts[kind, key] = Fact(kind, at, until, key)
            self.oracle.on_fact(known)
        elif until > at:
            known.at, known.until = min(known.at, at), max(known.until, until)

    def fault(self, kind: str, text: str) -> None:
        """The cluster or its network has a fault; ``text`` ends with the token that it concerns, if any."""
        if kind not in _HARMLESS:
            self.disturbed_at = self.world.now
        token = text.rpartition(" ")[2]
        self.fact(kind, self.key_of(token) if token else None)

    # Calls.

    def submitted(self, token: str, outcome: str, *, has_jobs: bool) -> None:
        """A submission was answered: ``accepted``, ``throttled``, ``rejected`` or ``failed``.

        ``has_jobs``: the cluster has jobs of the run.
        """
        now = self.world.now
        if outcome == "accepted":
            self.oracle.accepted.add(token)
            self._answered[token] = now
            self._refusing_since = None
        elif outcome == "throttled":
            first = self._refused.setdefault(token, now)
            if now - first >= REFUSED_SECONDS:
                self.fact("not_taken", self.key_of(token), at=first)
            self._none_taken(has_jobs=has_jobs)
        elif outcome == "failed":
            self._answered[token] = now
            self._asked[token] = now
            self._failed[token] = self._failed.get(token, 0) + 1
            if self._failed[token] >= MAX_SUBMISSIONS:
                self.fact("lost_submission", self.key_of(token))

    def _none_taken(self, *, has_jobs: bool) -> None:
        """A submission was refused: one job is tried on behalf of the others, which wait as long."""
        now = self.world.now
        since = now if self._refusing_since is None else self._refusing_since
        self._refusing_since = None if has_jobs else since
        if not has_jobs and now - since >= REFUSED_SECONDS:
            for key in self._key_of.values():
                # It concerns those whose last attempt was never submitted.
                self.fact("not_taken", key, at=since)

    def found(self, token: str, *, known: bool) -> None:
        """A lookup was answered, or (not ``known``) got no usable answer."""
        now = self.world.now
        if known:
            self._asked.pop(token, None)
            self._answered[token] = now
        elif now - self._asked.setdefault(token, now) >= LONG_SECONDS:
            self.fact("lost_submission", self.key_of(token), at=self._asked[token])

    def polled(self, tokens: Iterable[str], seen: Mapping[str, Observation]) -> None:
        """A poll was answered with what it saw; empty if it failed. An absence is no answer about a job."""
        now = self.world.now
        for token in tokens:
            last = self._answered.setdefault(token, now)
            if now - last >= SILENCE_SECONDS:
                self.fact("unseen", self.key_of(token), at=last)
            if token in seen and seen[token].phase is not Phase.ABSENT:
                self._answered[token] = now

    def cancelled(self, tokens: Iterable[str], ignored: Sequence[str], *, failed: bool) -> None:
        """Jobs were to be cancelled; the cluster did nothing about the ``ignored`` ones, or failed."""
        now = self.world.now
        for token in tokens:
            if failed or token in ignored:
                first = self._unstopped.setdefault(token, now)
                # Until the next request, which may be as far away as the longest pause.
                self.fact(
                    "outage" if failed else "cancel_ignored", self.key_of(token), at=first, until=now + 45.0
                )
            else:
                self._unstopped.pop(token, None)

    # The end.

    def close(self, jobs: Sequence[TrueJob]) -> None:
        """Report what can only be known at the end: how long each start ran."""
        now = self.world.now
        for job in jobs:
            for at, ranks in zip(job.started_at, job.runs, strict=True):
                over = all(rank.ended is not None for rank in ranks)
                until = max(rank.ended or 0.0 for rank in ranks) if over else now
                paused = max(rank.started + rank.paused for rank in ranks) - at
                frozen = max(rank.stopped_for() for rank in ranks)
                self.oracle.on_start(job, at, until, paused + frozen)
                failed = [
                    rank.ended for rank in ranks if rank.ended is not None and rank.failed and rank.exit_code
                ]
                if failed and not paused + frozen:
                    self.oracle.on_rank_failed(job, min(failed), until)

    def published(self, result: Result, session: int) -> None:
        """A session has given a result to its clients."""
        self.oracle.on_publish(result, self.world.now, session=session)


class RecordedCluster(SimulatedCluster):
    """A simulated cluster that reports its jobs and faults."""

    def __init__(
        self,
        world: World,
        rng: Rng,
        traits: Traits,
        behaviours: Callable[[str], Behaviour],
        faults: ClusterFaults,
        recorder: Recorder,
    ) -> None:
        super().__init__(world, rng, traits, behaviours, faults)
        self.recorder = recorder

    def submit(self, spec: JobSpec, token: str) -> TrueJob:
        """Accept a job."""
        before = len(self.jobs)
        job = super().submit(spec, token)
        if len(self.jobs) > before:
            self.recorder.oracle.on_submit_effect(job)
        return job

    def fault(self, kind: str, text: str) -> None:
        """Count a fault, and report it."""
        super().fault(kind, text)
        same = self.by_token.get(text.rpartition(" ")[2])
        job_faults = same[-1].faults if same and text in self.by_token else None
        now = self.world.now
        if kind in ("absent", "outage") and same:
            # Until then no poll shows anything of it.
            self.recorder.fault(kind, text)
            self.recorder.fact(kind, self.recorder.key_of(same[-1].token), until=same[-1].unseen_until(now))
        elif kind == "held" and job_faults is not None:
            key = self.recorder.key_of(text)
            until = now + min(job_faults.held or 0.0, 1e9)
            self.recorder.fact(kind, key, until=until)
            if job_faults.hint is not None:
                self.recorder.fact("held_hinted", key, until=until)
        elif kind == "suspension" and job_faults is not None:
            self.recorder.fact(kind, self.recorder.key_of(text), until=now + job_faults.suspended_for)
        else:
            self.recorder.fault(kind, text)
