"""The oracle: knows the ground truth of a history, and reports which rules the product broke in it.

| rule | what it says |
|---|---|
| a | an attempt starts at most once; an extra job is cancelled and reported, and no verdict rests on it |
| b | no job lives on that should not, and none beyond its own limits |
| c | each selected cell has exactly one verdict, and the truth or a cause in the history allows it |
| c2 | faults that the product absorbs do not change a verdict, and retries happen as the cell asks |
| d | the results in the ledger are true at every commit, and do not change |
| e | the history ends in time |
| e2 | an end that the cluster tells is polled at once, if nothing disturbs it |
| f | the ledger, read back, has the verdicts that were published, and knows every job |
| g | the calls of the clusters' APIs stay within their budgets |
"""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from ...model import ActionKind
from ...model import Outcome
from ...model import Reason
from ...model import Verdict
from ...model.records import Attempt
from ...model.records import Result
from ...model.token import Token
from .budgets import Budgets
from .cells import SimulatedCell
from .expected import allowed as allowed
from .expected import least_seconds
from .expected import LOST_AFTER_SECONDS
from .expected import may_follow
from .expected import meets as meets
from .expected import retry_is_due
from .facts import ABSORBED
from .facts import Attempted
from .facts import Fact
from .facts import JobFacts
from .facts import KINDS
from .facts import OF_TRUTH
from .facts import STOPS
from .facts import touching
from .facts import UNANSWERED
from .facts import Violation
from .lifetimes import Lifetimes

_ANSWERS = (Verdict.PASSED, Verdict.FAILED)
_WITHOUT_VERDICTS = frozenset(
    {
        "commit_failed",
        "hook_slow",
        "host_lost",
        "killed",
        "lost_submission",
        "session_died",
        "session_stopped",
    }
)
"""After one of these a cell may have no verdict. A launch does not wait for slow hooks."""
_MISLEADING = frozenset(
    {"absent", "clock_jump", "contradiction", "flapping", "session_resumed", "stale", "superseded"}
)
"""After one of these an answer, or its absence, may have shown a job as pending that had started."""


@dataclass(slots=True)
class Bounds:
    """What a history is held against. Durations are seconds of virtual time."""

    ends_by: float
    """When the last session must have ended."""
    patience: float = 120.0
    """How long a job may live on after it should end and the cluster answers again."""
    lost_after: float = LOST_AFTER_SECONDS
    min_poll_interval: float = 1.0
    ids_per_poll: int = 1000
    unique_tokens: bool = True
    """Whether the cluster returns the first job for a second submission of a token."""
    reports_in_polls: bool = True
    """Whether polls have the ranks' reports; otherwise only the logs have them."""
    submissions_per_second: float | None = None
    logs_outlive: bool = False
    """Whether the logs of a job that is not listed any more can be read."""
    stops_rest: bool = True
    """Whether the cluster stops the other ranks when one has failed."""
    max_jobs: int | None = None
    max_nodes: int | None = None


class Oracle:
    """Fed by the harness during a history; ``violations`` judges it at the end.

    All times are seconds of virtual time. ``cells`` are the selected cells.
    """

    __slots__ = (
        "_acted_on",
        "_active",
        "_broken",
        "_budgets",
        "_burned",
        "_committed",
        "_ever_committed",
        "_finished",
        "_foreign",
        "_intended_by",
        "_intents",
        "_is_interrupted",
        "_is_owned",
        "_jobs",
        "_key_of",
        "_late",
        "_ledger",
        "_lifetimes",
        "_outcomes",
        "_publications",
        "_published",
        "_published_by",
        "_reasons",
        "_registered",
        "_reported",
        "_resumed_at",
        "_session",
        "_sessions_at",
        "_swept",
        "_without_retries",
        "accepted",
        "bounds",
        "cells",
        "facts",
        "recorded_actions",
    )

    def __init__(self, run_id: str, cells: Sequence[SimulatedCell], bounds: Bounds) -> None:
        self.cells = {cell.key: cell for cell in cells}
        self.bounds = bounds
        self.facts: list[Fact] = []
        self._key_of = {str(Token.of(run_id, key, 0))[:-1]: key for key in self.cells}
        self._jobs: dict[str, list[JobFacts]] = {}
        self._budgets = Budgets(bounds.min_poll_interval, bounds.ids_per_poll)
        self._lifetimes = Lifetimes(bounds.patience)
        self._committed: dict[str, tuple[Result, float]] = {}
        self._ever_committed: dict[str, set[Verdict]] = {}
        """All that were ever committed, by key."""
        self._published: dict[str, Result] = {}
        self._published_by: dict[str, int] = {}
        """By key, the number of the session that has published the last result."""
        self._foreign: set[str] = set()
        self._sessions_at: list[float] = []
        self._intended_by: dict[str, int] = {}
        """By token, the session that has recorded the intent."""
        self._burned: set[str] = set()
        """The tokens that no session may use again."""
        self._late: list[JobFacts] = []
        self._swept: list[JobFacts] = []
        """The late jobs that were alive when a session has read the list of jobs at its end."""
        self.accepted: set[str] = set()
        """The tokens whose submission was answered with a job."""
        self.recorded_actions: set[str] = set()
        """The tokens of attempts whose end by this run was recorded before it was requested."""
        self._outcomes: dict[str, str] = {}
        self._reasons: dict[str, str] = {}
        self._publications: dict[tuple[int, str], int] = {}
        self._reported: set[str] = set()
        self._intents: set[str] | None = None
        self._acted_on: Collection[str] = ()
        self._ledger: tuple[Sequence[Attempt], Mapping[str, Result]] | None = None
        self._session = 1
        self._resumed_at = -1.0
        self._finished: float | None = None
        self._broken: list[Violation] = []
        self._without_retries: set[str] = set()
        self._is_owned = True
        """Whether the last session has not ended in order yet."""
        self._is_interrupted = False
        """Whether a session has begun after one that has not ended in order."""
        self._active: dict[int, float] = {}
        """By the number of a job, for how many seconds it ran."""
        self._registered: Collection[str] | None = None

    # What the harness reports.

    def on_fact(self, fact: Fact) -> None:
        """A fault happened. Report a lasting one when it is over, or when the history is."""
        assert fact.kind in KINDS, fact.kind
        self.facts.append(fact)

    def on_process(self, kind: str, at: float, *, keeps_jobs: bool = False, key: str | None = None) -> None:
        """An event of a process of the run.

        ``stopped`` (Ctrl-C, -x), ``died``, ``killed`` (by `clusterjobs kill`, or one cell by its ``key``),
        ``cancelled`` (one cell, on request of a user of the session),
        ``host_lost``, ``resumed`` (by a session that submits), ``checked`` (by one that does not),
        ``superseded``, ``detached``, ``finished``, ``reaper_died`` (killed, or it has given up while the
        cluster did not answer).
        ``keeps_jobs``: the run leaves its jobs alive.
        """
        facts = {
            "stopped": "session_stopped",
            "died": "session_died",
            "resumed": "session_resumed",
            "cancelled": "killed",
        }
        self._lifetimes.events.append(at)
        if kind in ("checked", "resumed"):
            self._is_interrupted |= self._is_owned
            self._is_owned = True
        elif kind in ("detached", "finished"):
            self._is_owned = False
        name = facts.get(kind, kind)
        if name in KINDS:
            self.facts.append(Fact(name, at, at, key))
        if kind in ("stopped", "died", "cancelled") and not keeps_jobs:
            self._lifetimes.stop(at, key, by_session=kind == "cancelled")
        if kind == "killed" and not keeps_jobs:
            self._lifetimes.stop(at, key, earlier_only=True)
        if kind == "checked":
            self._session += 1
            # It leaves the jobs running that it finds.
            self._lifetimes.resume(at)
        if kind == "resumed":
            self._session += 1
            self._resumed_at = at
            self._lifetimes.resume(at)
            # A resume submits again what a stop has ended, and keeps the verdicts that it finds.
            self._without_retries |= self._judged_after_a_stop()
            self.facts = [fact for fact in self.facts if fact.kind not in STOPS]
        if kind in ("reaper_died", "host_lost") or (kind in ("died", "stopped") and keeps_jobs):
            # No process is left that ends the jobs of an earlier stop.
            self._lifetimes.resume(at)
        if kind in ("finished", "detached"):
            self._finished = at
        if kind == "finished" and not keeps_jobs:
            self._lifetimes.stop(at, None)

    def _judged_after_a_stop(self) -> set[str]:
        """The cells whose verdicts were committed when no further attempt could follow any more."""
        return {
            key
            for key, (result, at) in self._committed.items()
            if result.judgement.verdict is not Verdict.NOT_RUN
            and any(fact.kind in STOPS and fact.at <= at for fact in touching(self.facts, key))
        }

    def on_violation(self, violation: Violation) -> None:
        """Something was found during the history."""
        self._broken.append(violation)

    @property
    def is_disturbed(self) -> bool:
        """Whether anything has happened to a process of the run."""
        return bool(self._lifetimes.events)

    def on_submit_effect(self, job: JobFacts) -> None:
        """The cluster has a new job. It is read again at the end."""
        if self._intents is not None and job.token not in self._intents:
            self._break(
                "a", f"{job.token}: submitted at {job.submitted_at:.3f} s, before its intent was committed"
            )
        self._jobs.setdefault(job.token, []).append(job)

    def on_window(self, at: float) -> None:
        """The session that owns the run has just got a new job: the limits of the run hold."""
        bounds = self.bounds
        if bounds.max_jobs is None and bounds.max_nodes is None:
            return
        jobs = nodes = 0
        for token, same in self._jobs.items():
            cell = self._cell(token)
            if cell is None or cell.key in self._committed or token in self._outcomes:
                continue
            if any(job.end() is None and job.number not in self._lifetimes.excused for job in same):
                jobs += 1
                nodes += cell.registration.cell.spec.nodes
        for count, most, what in ((jobs, bounds.max_jobs, "jobs"), (nodes, bounds.max_nodes, "nodes")):
            if most is not None and count > most:
                self._break("g", f"{count} {what} in use at {at:.3f} s, the run may use {most}")

    def on_start(self, job: JobFacts, at: float, until: float, suspended: float = 0.0) -> None:
        """One start of a job is over, or the history is."""
        cell = self._cell(job.token)
        if cell is not None:
            seconds = until - at - suspended
            self._active[job.number] = self._active.get(job.number, 0.0) + seconds
            self._lifetimes.start(job, cell.registration.cell.spec, seconds)

    def on_rank_failed(self, job: JobFacts, at: float, until: float) -> None:
        """The first rank of a start failed at ``at``; the last one ended at ``until``, or has not by then."""
        cell = self._cell(job.token)
        if cell is not None and not self.bounds.stops_rest:
            self._lifetimes.rest(job, at, until, cell.registration.cell.spec.grace_period)

    def on_extra_reported(self, job_id: str) -> None:
        """The product reported this job as an extra one of its token."""
        self._reported.add(job_id)

    def on_call(
        self,
        kind: str,
        backend: str,
        at: float,
        tokens: Sequence[str] = (),
        *,
        session: int = 1,
        throttled: bool = False,
    ) -> None:
        """The product called a method of a backend; only ``poll`` and ``submit`` have budgets."""
        if kind == "poll":
            self._budgets.poll(backend, session, at, tokens)
        elif kind == "submit":
            self._budgets.submit(session, tokens[0], throttled=throttled)

    def on_news(self, session: int, at: float) -> None:
        """A cluster has notified a session of changes."""
        self._budgets.notified(session, at)

    def on_submissions(self, session: int, at: float, count: int) -> None:
        """A session has decided to submit so many jobs now."""
        rate = self.bounds.submissions_per_second
        if rate is not None:
            self._budgets.submissions(session, at, count, rate)

    def on_commit(
        self,
        at: float,
        results: Iterable[Result] = (),
        intents: Iterable[str] = (),
        *,
        deleted: Iterable[str] = (),
        actions: Iterable[str] = (),
        ended: Iterable[tuple[str, Outcome]] = (),
        is_foreign: bool = False,
    ) -> None:
        """A transaction of the ledger is durable: results, and by token intents and attempts that ended.

        ``is_foreign``: a canceller has written it, not the run's session.
        """
        for token in deleted:
            # A stopped session may still submit what another one deletes.
            if self._intended_by.pop(token, self._session) != self._session:
                self._burned.add(token)
        for token in intents:
            self._intents = self._intents or set()
            self._intents.add(token)
            self._intended_by[token] = self._session
            if token in self._burned:
                self._break("a", f"{token}: used again at {at:.3f} s, and an earlier session may submit it")
        self.recorded_actions.update(actions)
        for token, outcome in ended:
            if not is_foreign or token not in self._outcomes:
                action = outcome.action
                self._outcomes[token] = outcome.reason if action is None else action.kind.value
                self._reasons[token] = outcome.reason
        for result in results:
            self._check_commit(at, result)
            self._committed[result.key] = (result, at)
            self._ever_committed.setdefault(result.key, set()).add(result.judgement.verdict)
            if is_foreign:
                self._foreign.add(result.key)
            else:
                self._foreign.discard(result.key)
            # A session may have begun that goes on with a cell while its canceller still writes.
            self._lifetimes.stop(at, result.key, earlier_only=is_foreign)

    def on_publish(self, result: Result, at: float, *, session: int | None = None) -> None:
        """A result was given to the clients of the run, by this session (default: the last one)."""
        published = (self._session if session is None else session, result.key)
        self._publications[published] = self._publications.get(published, 0) + 1
        committed = self._committed.get(result.key)
        same = committed is not None and committed[0].judgement.verdict is result.judgement.verdict
        # A session that was stopped may be told only now that its commit was durable.
        was = published[0] != self._session and result.judgement.verdict in self._ever_committed.get(
            result.key, ()
        )
        if not same and not was and not self._is_unwritten(result):
            self._break(
                "d", f"{result.key}: published at {at:.3f} s, and the ledger has another result or none"
            )
        if published[0] >= self._published_by.get(result.key, 0):
            self._published[result.key], self._published_by[result.key] = result, published[0]

    def _is_unwritten(self, result: Result) -> bool:
        """Whether the ledger cannot be written, and the result is an error that says so."""
        lost = any(fact.kind == "commit_failed" for fact in self.facts)
        return lost and result.judgement.verdict is Verdict.ERROR

    def on_no_retry(self, key: str) -> None:
        """A session that does not wait for jobs has judged this cell: no further attempt follows."""
        self._without_retries.add(key)

    def on_session(self, at: float) -> None:
        """A session has begun on the run."""
        self._sessions_at.append(at)

    def on_cancel(self, job: JobFacts, opened_at: float) -> None:
        """A process cancels a job; it has opened the cluster at this time."""
        later = next((at for at in self._sessions_at if at > opened_at), inf)
        if job.submitted_at > later and job.number not in self._lifetimes.excused:
            self._break("a", f"{job.token}: cancelled by a process of an earlier session")

    def on_late_job(self, job: JobFacts) -> None:
        """A session has submitted this job after another one had taken its run over."""
        self._lifetimes.excused.add(job.number)
        self._late.append(job)

    def on_swept(self, began_at: float, listed_at: float) -> None:
        """A resumed session ends. It was to read the cluster's list at ``began_at`` or later.

        ``listed_at``: when the cluster made the last list that it has read.
        """
        for job in self._late:
            hidden = job.is_unlisted(began_at) or job.is_unlisted(listed_at)
            if job.submitted_at <= began_at and job.end() is None and not hidden:
                self._swept.append(job)

    def on_ledger(
        self,
        attempts: Sequence[Attempt],
        results: Mapping[str, Result],
        registered: Collection[str] | None = None,
        acted_on: Collection[str] = (),
    ) -> None:
        """What the ledger has at the end: attempts, results, and the keys of its cells (``None``: all).

        ``acted_on``: the tokens of the actions on jobs that it has.
        """
        self._acted_on = acted_on
        self._ledger = (attempts, results)
        self._registered = registered

    # The judgement.

    def violations(self) -> list[Violation]:
        """All broken rules, in a fixed order.

        Call it once, when the last session has ended and the cluster has run on for the patience.
        """
        found = list(self._broken)
        found += self._extra_jobs()
        found += self._strays()
        found += self._lifetimes.violations(self._jobs, self._owner, self.facts, self._given_up())
        for key, cell in self.cells.items():
            found += self._verdicts(key, cell)
            found += self._superfluous(key, cell)
        if self._finished is None or self._finished > self.bounds.ends_by:
            at = "never" if self._finished is None else f"at {self._finished:.1f} s"
            found.append(Violation("e", f"ended {at}, must end by {self.bounds.ends_by:.1f} s"))
        found += self._too_early()
        found += self._replay()
        found += self._budgets.violations()
        return sorted(found, key=lambda each: each.rule)

    @property
    def has_finished(self) -> bool:
        """Whether the last session has ended normally."""
        return self._finished is not None

    def published(self) -> Mapping[str, Result]:
        """The last result of each cell that was given to the clients."""
        return self._published

    def attempts_of(self, key: str, upto: int) -> list[Attempted]:
        """The truth of a cell's first ``upto`` attempts, without extra jobs."""
        found = [Attempted(None) for _ in range(upto)]
        for token, jobs in self._jobs.items():
            prefix, number = _split(token)
            if self._key_of.get(prefix) == key and number <= upto:
                job = self._own(jobs)
                end = job.end()
                cancelled = end is not None and end.reason == Reason.CANCELLED
                found[number - 1] = Attempted(
                    end,
                    job.submitted_at,
                    job.started_at[0] if job.started_at else None,
                    job.command_end() if cancelled else None,
                    () if end is None else job.partial_ends(),
                    self._outcomes.get(token),
                    self._reasons.get(token),
                    job.has_dismissed(),
                    self._active.get(job.number, 0.0),
                )
        return found

    def _given_up(self) -> list[str]:
        """The cells that were reported as lost while the cluster did not answer, or did not obey."""
        return [
            key
            for key, result in self._published.items()
            if result.outcome.reason == Reason.LOST
            and any(fact.kind in UNANSWERED for fact in touching(self.facts, key))
        ]

    def _is_held_before(self, key: str) -> bool:
        """Whether a job outlived that its cell was given up, when this cell got its verdict."""
        judged_at = self._committed[key][1] if key in self._committed else -1.0
        lost = {
            each for each in self._given_up() if self._committed.get(each, (None, judged_at))[1] < judged_at
        }
        return any(
            (end := job.end()) is None or end.at >= judged_at
            for token, jobs in self._jobs.items()
            if (cell := self._cell(token)) is not None and cell.key in lost
            for job in jobs
        )

    def _break(self, rule: str, text: str) -> None:
        self._broken.append(Violation(rule, text))

    def _cell(self, token: str) -> SimulatedCell | None:
        return self.cells.get(self._key_of.get(_split(token)[0], ""))

    def _owner(self, token: str) -> tuple[str, float]:
        """The key and the grace period of a token's cell."""
        cell = self._cell(token)
        return ("", 0.0) if cell is None else (cell.key, cell.registration.cell.spec.grace_period)

    def _own(self, jobs: Sequence[JobFacts]) -> JobFacts:
        """The job that the product takes for the token's: the one its result names, else the first."""
        ids = [result.job_id for result in self._published.values()]
        return next(
            (job for job in jobs if str(job.number) in ids and str(job.number) not in self._reported), jobs[0]
        )

    def _check_commit(self, at: float, result: Result) -> None:
        key, verdict = result.key, result.judgement.verdict
        if key not in self.cells:
            self._break("d", f"{key}: a result of a cell that was not selected")
            return
        before = self._committed.get(key)
        if before is not None and before[0].judgement.verdict is not verdict:
            resumed = self._resumed_at >= before[1] or (key in self._foreign and self._resumed_at >= 0.0)
            resumed = resumed and before[0].judgement.verdict is Verdict.NOT_RUN
            if not resumed:
                text = (
                    f"{key}: the result changed from {before[0].judgement.verdict} to {verdict} at {at:.3f} s"
                )
                self._break("d", text)
        if verdict in _ANSWERS and not self._has_answer(result, at):
            self._break("d", f"{key}: {verdict} was committed at {at:.3f} s, before the job had ended")

    def _has_answer(self, result: Result, at: float) -> bool:
        """Whether the truth had an end by now, or the cell an answer without one."""
        end = self.attempts_of(result.key, result.attempt)[-1].end if result.attempt else None
        if end is not None and end.at <= at:
            return True
        near = touching(self.facts, result.key)
        return any(fact.kind in ("rejected", "forgotten", "hook_failed") for fact in near)

    def _extra_jobs(self) -> Iterator[Violation]:
        woke = any(fact.kind == "superseded" for fact in self.facts)
        for token, jobs in self._jobs.items():
            if len(jobs) < 2:
                continue
            names = ", ".join(str(job.number) for job in jobs)
            if self.bounds.unique_tokens or not woke:
                yield Violation("a", f"{token}: {len(jobs)} jobs ({names})")
                continue
            own = self._own(jobs)
            for job in jobs:
                if job is own:
                    continue
                end = job.end()
                if end is not None and not self._budgets.was_polling(job.submitted_at, end.at):
                    # No process was there that could have cancelled it.
                    continue
                if end is None or end.by not in ("run", "other"):
                    yield Violation("a", f"{token}: the extra job {job.number} was not cancelled")
                if str(job.number) not in self._reported:
                    yield Violation("a", f"{token}: the extra job {job.number} was not reported")

    def _strays(self) -> Iterator[Violation]:
        """The late jobs that a session has seen in the list, and that are no job of an attempt."""
        attempts = () if self._ledger is None else self._ledger[0]
        known = {attempt.handle.job_id for attempt in attempts if attempt.handle is not None}
        for job in self._swept:
            if str(job.number) not in known | self._reported:
                yield Violation("a", f"{job.token}: the late job {job.number} was not reported")
            elif job.end() is None:
                yield Violation("a", f"{job.token}: the late job {job.number} was not cancelled")

    def _verdicts(self, key: str, cell: SimulatedCell) -> Iterator[Violation]:
        near = touching(self.facts, key)
        kinds = [fact.kind for fact in near]
        result = self._published.get(key)
        if result is None:
            is_unknown = self._registered is not None and key not in self._registered
            if not is_unknown and not _WITHOUT_VERDICTS & set(kinds):
                yield Violation("c", f"{key}: no verdict")
            return
        for (session, each), count in self._publications.items():
            if each == key and count > 1:
                yield Violation("c", f"{key}: {count} verdicts in session {session}")
        verdict = result.judgement.verdict
        attempts = self.attempts_of(key, result.attempt)
        right = allowed(
            cell,
            attempts,
            self.facts,
            lost_after=self.bounds.lost_after,
            reports_in_polls=self.bounds.reports_in_polls,
            logs_outlive=self.bounds.logs_outlive,
            is_held=self._is_held_before(key),
            is_interrupted=self._is_interrupted,
            judged_at=self._committed[key][1] if key in self._committed else None,
        )
        absorbed = all(
            kind in OF_TRUTH or (kind in ABSORBED and fact.seconds < self.bounds.lost_after)
            for kind, fact in zip(kinds, near, strict=True)
        )
        jumped = "clock_jump" in kinds and attempts[-1].end is not None and attempts[-1].end.by == "run"
        absorbed = absorbed and not jumped
        because = f"faults: {', '.join(dict.fromkeys(kinds)) or 'none'}"
        if verdict is Verdict.PASSED and "hook_mismatch" in kinds:
            yield Violation("c", f"{key}: passed, although a hook has found a mismatch")
        if verdict not in right:
            wanted = " or ".join(sorted(right)) or "no verdict without a cause"
            text = f"{key}: {verdict}, the truth ({attempts[-1].end}) gives {wanted}; {because}"
            yield Violation("c", text)
            if absorbed:
                yield Violation("c2", text)
        elif absorbed and key not in self._without_retries and retry_is_due(cell, attempts, self.facts):
            yield Violation(
                "c2", f"{key}: {verdict} after attempt {result.attempt}, a retry was due; {because}"
            )

    def _superfluous(self, key: str, cell: SimulatedCell) -> Iterator[Violation]:
        """The attempts that nothing gave a reason for. A resume replaces what a stop has ended."""
        late = self._lifetimes.excused
        numbers = [
            _split(token)[1]
            for token, jobs in self._jobs.items()
            if self._cell(token) is cell and not any(job.number in late for job in jobs)
        ]
        if not numbers or max(numbers) < 2:
            return
        attempts = [
            each if number in numbers else Attempted(None)
            for number, each in enumerate(self.attempts_of(key, max(numbers)), 1)
        ]
        near = touching(self.facts, key)
        undisturbed = all(
            fact.kind in OF_TRUTH or (fact.kind in ABSORBED and fact.seconds < self.bounds.lost_after)
            for fact in near
        )
        for number, again in enumerate(attempts[1:], 1):
            last = attempts[number - 1]
            if number not in numbers or number + 1 not in numbers:
                continue
            assert last.submitted is not None
            assert again.submitted is not None
            if self._lifetimes.is_resumed(last.submitted, again.submitted):
                continue
            if not may_follow(cell, attempts[:number], undisturbed=undisturbed):
                ended = last.end and last.end.reason
                yield Violation("c2", f"{key}: attempt {number + 1}, although attempt {number} was {ended}")

    def _too_early(self) -> Iterator[Violation]:
        """The jobs that the run ended for a limit that was not over yet."""
        if any(fact.kind == "clock_jump" for fact in self.facts):
            return
        for token, jobs in self._jobs.items():
            cell, kind, job = self._cell(token), self._outcomes.get(token), self._own(jobs)
            end = job.end()
            if cell is None or kind is None or end is None or end.by != "run":
                continue
            least = least_seconds(cell, kind)
            if kind == ActionKind.QUEUE_TIMEOUT and self._had_started(cell, job):
                yield Violation("c2", f"{token}: queue_timeout of a job that had started in time")
            # The run has noticed by itself that the cluster had shown what was not so.
            noticed = self._reasons.get(token) == Reason.UNKNOWN
            if end.at - job.submitted_at < least and not noticed:
                seconds = end.at - job.submitted_at
                yield Violation("c2", f"{token}: {kind} after {seconds:.1f} s, its limit is {least:.1f} s")

    def _had_started(self, cell: SimulatedCell, job: JobFacts) -> bool:
        """Whether a job had started within ``queue_timeout``, and every answer had said so."""
        kinds = {fact.kind for fact in touching(self.facts, cell.key)}
        if not job.started_at or kinds & {*_MISLEADING, *OF_TRUTH} - {"held"}:
            return False
        return job.started_at[0] - job.submitted_at < cell.registration.cell.spec.queue_timeout

    def _replay(self) -> Iterator[Violation]:
        if self._ledger is None:
            return
        attempts, results = self._ledger
        for key, published in self._published.items():
            stored = results.get(key)
            if self._is_unwritten(published):
                continue
            if published.judgement.verdict is Verdict.NOT_RUN and not self._finished_normally():
                # A later session has committed another one, and has not lived to publish it.
                continue
            if stored is None or stored.judgement.verdict is not published.judgement.verdict:
                was = "nothing" if stored is None else stored.judgement.verdict
                yield Violation("f", f"{key}: published {published.judgement.verdict}, the ledger has {was}")
            elif (stored.attempt, stored.outcome.reason) != (published.attempt, published.outcome.reason):
                yield Violation("f", f"{key}: the ledger has another attempt or reason than was published")
        for key in results:
            if key not in self._published and key in self.cells and self._finished_normally():
                yield Violation("f", f"{key}: the ledger has a result that was not published")
        yield from self._without_outcome(attempts)
        yield from self._without_handle(attempts)
        # A late job has an action, and is no attempt.
        tokens = {attempt.token for attempt in attempts} | {job.token for job in self._late}
        for token in sorted(set(self._acted_on) - tokens):
            yield Violation("f", f"{token}: the ledger has an action on an attempt that it does not know")
        known = {attempt.token for attempt in attempts}
        late = self._lifetimes.excused
        for token, jobs in self._jobs.items():
            if token not in known and not all(job.number in late for job in jobs):
                yield Violation("f", f"{token}: the ledger does not know this job")

    def _without_outcome(self, attempts: Sequence[Attempt]) -> Iterator[Violation]:
        """The attempts that were followed by another one of the same session, and have no recorded end."""
        if self._session > 1 or any(fact.kind == "commit_failed" for fact in self.facts):
            return
        last: dict[str, int] = {}
        for attempt in attempts:
            last[attempt.key] = max(last.get(attempt.key, 0), attempt.number)
        for attempt in attempts:
            if attempt.number < last[attempt.key] and attempt.outcome is None:
                yield Violation("f", f"{attempt.token}: a later attempt follows, and its end is not recorded")

    def _without_handle(self, attempts: Sequence[Attempt]) -> Iterator[Violation]:
        """The attempts whose submission was accepted and that ended, without what the cluster calls them."""
        if self._session > 1 or not self._finished_normally():
            return
        for attempt in attempts:
            # A call that takes an hour is given up, whatever its answer.
            has_ended = attempt.outcome is not None and attempt.outcome.reason != Reason.LOST
            if has_ended and attempt.handle is None and attempt.token in self.accepted:
                yield Violation("f", f"{attempt.token}: the handle of the accepted job is not recorded")

    def _finished_normally(self) -> bool:
        return self._finished is not None and not any(f.kind in _WITHOUT_VERDICTS for f in self.facts)


def _split(token: str) -> tuple[str, int]:
    """A token without its attempt, and the attempt."""
    prefix, _, number = token.rpartition("-a")
    return f"{prefix}-a", int(number)
