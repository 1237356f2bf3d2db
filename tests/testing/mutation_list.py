"""The rules of the engine, the ledger and the judge that mutations break, as exact changes of the source.

Numbers up to 64 are those of the list that was fixed before the simulation was written. A rule of it that
lives outside these packages has a replacement; docs/simulation_mutations.md says which and why.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

Change = tuple[str, str, str]
"""A file in the package, a text that occurs once in it, and what replaces that text."""

ATTEMPT = "engine/attempt.py"
ADOPTION = "engine/adoption.py"
BREAKER = "engine/breaker.py"
CLUSTER = "engine/cluster.py"
CONCLUSIONS = "engine/conclusions.py"
CORE = "engine/core.py"
DRIVER = "engine/driver.py"
JUDGING = "engine/judging.py"
LIMITS = "engine/limits.py"
OUTBOX = "engine/outbox.py"
SUBMISSIONS = "engine/submissions.py"
TRACKING = "engine/tracking.py"
LEDGER = "ledger/ledger.py"
CLASSIFY = "judge/classify.py"
EXPECT = "judge/expect.py"
FACTS = "judge/facts.py"
JOB_END = "judge/job_end.py"
LOGS = "judge/logs.py"


@dataclass(frozen=True, slots=True)
class Mutation:
    """A broken rule."""

    number: int
    rule: str
    changes: tuple[Change, ...]


def _list() -> Iterable[Mutation]:
    yield from _submission()
    yield from _breaker()
    yield from _life()
    yield from _cancel()
    yield from _retries()
    yield from _verdict()
    yield from _core()
    yield from _budgets()
    yield from _judge()


_UNANSWERED = """            case Unanswered() as answer:
                self.lose_answer(job, job.hide(answer.why))
"""
_CHECKED = """        if self.core.state.service is not Serving.OPEN:
            return False
        try:
"""


def _submission() -> Iterable[Mutation]:
    intend = "self._state.outbox.intend(job.attempt(), lambda: self._committed(cluster, job))"
    yield Mutation(
        1,
        "submit before the intent's commit",
        (
            (
                SUBMISSIONS,
                intend,
                "self._state.outbox.intend(job.attempt())\n        self._committed(cluster, job)",
            ),
        ),
    )
    yield Mutation(
        2,
        "submit although the commit failed",
        (
            (
                CORE,
                "        self.state.outbox.failed(event.error,",
                "        for then in self.state.outbox._then_sent:\n"
                "            then()\n"
                "        self.state.outbox._then_sent = []\n"
                "        self.state.outbox.failed(event.error,",
            ),
        ),
    )
    yield Mutation(
        3,
        "submit after a stop",
        (
            (
                SUBMISSIONS,
                "if self._state.service is not Serving.OPEN or self._state.outbox.error is not None:",
                "if self._state.service is Serving.DETACHED or self._state.outbox.error is not None:",
            ),
            (
                CORE,
                "        self._submissions.drop_waiting()\n        self._tracking.cancel_all(",
                "        self._tracking.cancel_all(",
            ),
            (DRIVER, "if self.halted or not self._may_submit():", "if not self._may_submit():"),
            (DRIVER, _CHECKED, "        try:\n"),
        ),
    )
    yield Mutation(
        4,
        "submit after a detach",
        (
            (
                SUBMISSIONS,
                "if self._state.service is not Serving.OPEN or self._state.outbox.error is not None:",
                "if self._state.service is Serving.STOPPING or self._state.outbox.error is not None:",
            ),
            (
                CORE,
                "        self.state.service = Serving.DETACHED\n        self._submissions.drop_waiting()\n",
                "        self.state.service = Serving.DETACHED\n",
            ),
            (DRIVER, "if self.halted or not self._may_submit():", "if not self._may_submit():"),
            (DRIVER, _CHECKED, "        try:\n"),
        ),
    )
    yield Mutation(
        5,
        "no fencing number checked before a submit",
        (
            (
                DRIVER,
                "            self._ledger.check_session(self._session)\n"
                "        except LedgerSuperseded as error:\n            self.post(",
                "            pass\n        except LedgerSuperseded as error:\n            self.post(",
            ),
        ),
    )
    yield Mutation(
        6,
        "an unanswered submit counts as rejected",
        (
            (
                SUBMISSIONS,
                _UNANSWERED,
                "            case Unanswered() as answer:\n"
                "                job.submissions += 1\n"
                "                cluster.breaker(job).release_probe(job)\n"
                "                self.reject(job, answer.why, by_this_run=False)\n",
            ),
        ),
    )
    yield Mutation(
        7,
        "an unanswered submit is repeated without `find`",
        (
            (
                SUBMISSIONS,
                _UNANSWERED,
                "            case Unanswered() as answer:\n"
                "                job.submissions += 1\n"
                "                self._not_sent(cluster, job)\n",
            ),
        ),
    )
    yield Mutation(
        8,
        "`find` before `find_settle`",
        (
            (
                SUBMISSIONS,
                "cluster.finds.set(job.token, now.monotonic + cluster.can.find_settle)",
                "cluster.finds.set(job.token, now.monotonic)",
            ),
        ),
    )
    yield Mutation(
        9,
        "`Unknown` from `find` taken for `NotSubmitted`",
        ((SUBMISSIONS, "elif isinstance(event.answer, NotSubmitted):", "elif True:"),),
    )
    yield Mutation(
        10,
        "the token of an attempt is reused",
        (
            (
                CONCLUSIONS,
                "again = new_attempt(self._state, job.registration.key, job.number + 1)",
                "again = new_attempt(self._state, job.registration.key, job.number)",
            ),
        ),
    )
    yield Mutation(
        11,
        "the fourth submission of one attempt",
        ((SUBMISSIONS, "job.submissions < MAX_SUBMISSIONS", "job.submissions <= MAX_SUBMISSIONS"),),
    )
    yield Mutation(
        12,
        "a rejection retried",
        (
            (
                SUBMISSIONS,
                "                job.submissions += 1\n"
                "                cluster.breaker(job).release_probe(job)\n"
                "                self.reject(job, job.hide(answer.why), by_this_run=answer.by_this_run)\n",
                "                self._defer(cluster, job, job.hide(answer.why))\n",
            ),
        ),
    )
    yield Mutation(
        13,
        "throttling counts as a submission",
        (
            (
                SUBMISSIONS,
                "        now, breaker = self._state.now, cluster.breaker(job)\n"
                "        # A job whose submission was not answered may exist.\n",
                "        job.submissions += 1\n"
                "        if job.submissions >= MAX_SUBMISSIONS:\n"
                "            cluster.breaker(job).release_probe(job)\n"
                "            self.reject(job, last_error, by_this_run=False)\n"
                "            return\n"
                "        now, breaker = self._state.now, cluster.breaker(job)\n",
            ),
        ),
    )
    yield Mutation(
        14,
        "the window counts jobs of the queue only",
        (
            (
                SUBMISSIONS,
                "        cluster.breaker(job).accepted()\n",
                "        cluster.breaker(job).accepted()\n        self._state.leave(job)\n",
            ),
        ),
    )
    yield Mutation(
        15,
        "nodes in flight without those of unanswered submissions",
        (
            (
                SUBMISSIONS,
                "        cluster.finds.set(job.token, now.monotonic + cluster.can.find_settle)\n",
                "        cluster.finds.set(job.token, now.monotonic + cluster.can.find_settle)\n"
                "        self._state.leave(job)\n",
            ),
        ),
    )


def _breaker() -> Iterable[Mutation]:
    yield Mutation(
        16,
        "all deferred jobs tried after a refusal",
        (
            (
                BREAKER,
                "            self.start_probe(self.deferred[0], now)\n            yield self.deferred.popleft()\n",
                "            self.retry_at = now\n            while self.deferred:\n"
                "                yield self.deferred.popleft()\n",
            ),
            (BREAKER, "if self.last_error and self._probe is not job:", "if False:"),
        ),
    )
    yield Mutation(
        17,
        "the probe never released after an unanswered probe",
        (
            (
                SUBMISSIONS,
                "        job.submitted_at = job.answered_at = now.monotonic\n"
                "        cluster.breaker(job).release_probe(job)\n",
                "        job.submitted_at = job.answered_at = now.monotonic\n",
            ),
            (BREAKER, "PROBE_TIMEOUT_SECONDS = 120.0", "PROBE_TIMEOUT_SECONDS = inf"),
        ),
    )
    yield Mutation(
        18,
        "`queue_timeout` counts while own jobs hold the cluster",
        ((SUBMISSIONS, "holds_jobs=has_jobs", "holds_jobs=False"),),
    )
    yield Mutation(
        19,
        "`queue_timeout` of a cluster that accepts nothing never counts",
        ((SUBMISSIONS, "holds_jobs=has_jobs", "holds_jobs=True"),),
    )
    yield Mutation(
        20,
        "a deferred job lost when its breaker closes",
        (
            (
                BREAKER,
                "            while self.deferred:\n                yield self.deferred.popleft()\n",
                "            if self.deferred:\n                yield self.deferred.popleft()\n"
                "            self.deferred.clear()\n",
            ),
        ),
    )


def _life() -> Iterable[Mutation]:
    yield Mutation(
        21,
        "one absence is an end",
        ((LIMITS, "if now < lost_at(job):", "if now < job.absent_at:"),),
    )
    yield Mutation(
        22,
        "absences with a gap of an hour added up",
        (
            (
                ATTEMPT,
                "newly = self.absent_at is None or silent > MAX_ABSENCE_GAP_SECONDS",
                "newly = self.absent_at is None",
            ),
        ),
    )
    yield Mutation(
        23,
        "absence counted while the API fails",
        (
            (
                TRACKING,
                "lost = limits.silence(job, now, at, state.cluster(job).error)",
                "lost = limits.silence(job, now, at, state.cluster(job).error) or (\n"
                "                limits.due_action(job, now, at) if job.life is Life.ABSENT else None\n"
                "            )",
            ),
        ),
    )
    yield Mutation(
        24,
        "an end overwritten by a later `running`",
        (
            (
                ATTEMPT,
                "    (_L.ENDED, _E.JUDGE): _L.JUDGED,\n",
                "    (_L.ENDED, _E.JUDGE): _L.JUDGED,\n    (_L.ENDED, _E.SEE_RUNNING): _L.RUNNING,\n",
            ),
            (
                ATTEMPT,
                "if not self.move(_SEE[seen.phase]) or self.ended_at is not None:",
                "if not self.move(_SEE[seen.phase]):",
            ),
        ),
    )
    yield Mutation(
        25,
        "a second end replaces the first's reason",
        (
            (
                ATTEMPT,
                "known = replace(self.observation, log_complete=complete)",
                "known = replace(seen, log_complete=complete, handle=None)",
            ),
        ),
    )
    yield Mutation(
        26,
        "an API error counts as an end",
        (
            (
                TRACKING,
                "            else:\n                self.check(job)\n            if state.policy.cancels",
                "            elif event.error and state.policy.gives_up:\n"
                "                self.act(job, OwnAction(ActionKind.LOST, event.error, state.now.time))\n"
                "            else:\n                self.check(job)\n            if state.policy.cancels",
            ),
        ),
    )
    yield Mutation(
        27,
        "silence of minutes counts as lost",
        ((LIMITS, "MAX_SILENCE_SECONDS = 3600.0", "MAX_SILENCE_SECONDS = 180.0"),),
    )
    yield Mutation(
        28,
        "`lost` without a look at the records",
        (
            (
                TRACKING,
                "if action.kind is not ActionKind.LOST:",
                "if action.kind is not ActionKind.LOST or state.policy.gives_up:",
            ),
            (TRACKING, "if job.life is Life.ABSENT and job.absent_at is not None:", "if False:"),
        ),
    )
    yield Mutation(
        29,
        "suspended time counts as run time",
        (
            (
                ATTEMPT,
                "is_running = seen.phase is Phase.RUNNING and not seen.suspended",
                "is_running = seen.phase is Phase.RUNNING",
            ),
            (
                LIMITS,
                "if job.observation.phase is Phase.PENDING or job.observation.suspended:",
                "if job.observation.phase is Phase.PENDING:",
            ),
        ),
    )
    yield Mutation(
        30,
        "queued time between two starts counts",
        ((ATTEMPT, "self.waited += now - self.waiting_at", "self.waited += 0.0"),),
    )
    yield Mutation(
        31,
        "`stuck` by one observation",
        ((LIMITS, "STUCK_AFTER_SECONDS = 60.0", "STUCK_AFTER_SECONDS = 0.0"),),
    )
    yield Mutation(
        32,
        "a restart does not give a new `max_runtime`",
        ((LIMITS, "job.spec.max_runtime * starts +", "job.spec.max_runtime +"),),
    )
    yield Mutation(
        33,
        "log read before it has settled",
        ((CONCLUSIONS, "elif not needs or begun_at >= self._settled_at(job):", "elif True:"),),
    )
    yield Mutation(
        34,
        "an incomplete log judged as whole",
        (
            (LOGS, "if chunk.complete:", "if True:"),
            (EXPECT, "if not gaps and not outcome.log_complete:", "if False:"),
        ),
    )


_ACCEPTED = """        if job.cancellation is Cancellation.DUE and job.handle is not None:
            self._state.cluster(job).cancels[job.token] = None
        elif self._state.service is Serving.STOPPING:
"""


def _cancel() -> Iterable[Mutation]:
    yield Mutation(
        35,
        "no second cancel pass for submissions in flight",
        ((TRACKING, _ACCEPTED, "        if False:\n"),),
    )
    yield Mutation(
        36,
        "a cancel waits for a commit",
        (
            (
                TRACKING,
                "if now >= job.requested_at + CANCEL_COMMIT_WAIT_SECONDS:",
                "if False:",
            ),
        ),
    )
    yield Mutation(
        37,
        "an unconfirmed cancel counts as an end",
        (
            (
                TRACKING,
                "                job.cancelled_at = now\n",
                "                job.cancelled_at = now\n                self._is_gone(job)\n",
            ),
        ),
    )
    yield Mutation(
        38,
        "a cancel is requested once only",
        (
            (
                TRACKING,
                "elif job.cancellation is Cancellation.ACKNOWLEDGED and self._is_repeat_due(job, now):",
                "elif False:",
            ),
        ),
    )
    yield Mutation(
        39,
        "the action recorded after the cancel",
        (
            (
                TRACKING,
                "state.outbox.action(job.token, action, lambda: self._may_cancel(job))",
                "self._may_cancel(job)",
            ),
            (
                TRACKING,
                "                job.cancelled_at = now\n",
                "                job.cancelled_at = now\n                if job.action is not None:\n"
                "                    state.outbox.action(token, job.action)\n",
            ),
        ),
    )
    yield Mutation(
        40,
        "a kill cancels a later session's jobs",
        (
            (
                DRIVER,
                "            # Checked after the attempts were read, so that they include none of a later session.\n"
                "            self._ledger.check_session(self._session)\n",
                "",
            ),
            (
                CORE,
                "        self.is_superseded = True\n        self.state.commands.clear()\n"
                "        self.state.attempts.clear()\n",
                "",
            ),
        ),
    )
    yield Mutation(
        41,
        "a kill takes a silent cluster for an end",
        (
            (
                ADOPTION,
                "            if cluster.is_unavailable:\n                continue\n            if cluster.error",
                "            if cluster.is_unavailable or cluster.error:\n                continue\n"
                "            if cluster.error",
            ),
            (
                ADOPTION,
                "            and not self._state.cluster(job).is_unavailable\n",
                "            and not self._state.cluster(job).is_unavailable\n"
                "            and not self._state.cluster(job).error\n",
            ),
        ),
    )
    yield Mutation(
        42,
        "a full ledger keeps a job alive",
        ((CORE, "        self._stop(Stop())\n        self._conclusions.publish_unrecorded(error)\n",
          "        self._conclusions.publish_unrecorded(error)\n"),),
    )  # fmt: skip
    yield Mutation(
        43,
        "a resume cancels the jobs that were kept",
        (
            (
                CORE,
                "        if job.action is not None and job.life is not Life.ENDED:\n"
                "            self._tracking.act(job, job.action)\n",
                "        if job.life is not Life.ENDED:\n"
                "            own = OwnAction(ActionKind.CANCEL, SESSION_ENDED, state.now.time)\n"
                "            self._tracking.act(job, job.action or own)\n",
            ),
        ),
    )
    yield Mutation(
        44,
        "a launch cancels",
        (
            (
                CORE,
                "        self.state.service = Serving.DETACHED\n        self._submissions.drop_waiting()\n",
                "        self._stop(Stop())\n",
            ),
        ),
    )
    yield Mutation(
        45,
        "the other ranks left running after one failed",
        ((TRACKING, "if action is None and not state.cluster(job).can.stops_rest:", "if False:"),),
    )


def _retries() -> Iterable[Mutation]:
    confirmed = "confirmed = job.observation is not None and job.observation.phase is Phase.ENDED"
    retried = "RETRIED = frozenset({Reason.START_FAILED,"
    yield Mutation(
        46,
        "a retry before the end is confirmed",
        (
            (CONCLUSIONS, confirmed, "confirmed = True"),
            (
                TRACKING,
                "if action.kind is ActionKind.LOST:\n            self._conclusions.give_up(job)",
                "if action.kind in (ActionKind.LOST, ActionKind.QUEUE_TIMEOUT):\n"
                "            self._conclusions.give_up(job)",
            ),
        ),
    )
    yield Mutation(
        47,
        "a retry after a limit",
        (
            (
                CONCLUSIONS,
                retried,
                "RETRIED = frozenset({Reason.MAX_RUNTIME_REACHED, Reason.HEARTBEAT_TIMEOUT, Reason.START_FAILED,",
            ),
        ),
    )
    yield Mutation(
        48,
        "a retry after a cancel of the user",
        ((CONCLUSIONS, retried, "RETRIED = frozenset({Reason.CANCELLED, Reason.START_FAILED,"),),
    )
    yield Mutation(
        49,
        "an attempt that a dead session cancelled counts",
        (
            (
                CONCLUSIONS,
                "job.retries = sum(outcome.reason in RETRIED for outcome in outcomes)",
                "job.retries = sum(outcome.reason in {*RETRIED, Reason.CANCELLED} for outcome in outcomes)",
            ),
            (
                CONCLUSIONS,
                "again.retries = job.retries + (retry and not continues)",
                "again.retries = job.retries + (retry or continues)",
            ),
        ),
    )
    yield Mutation(
        50,
        "the end of an attempt that is retried is not recorded",
        (
            (
                CONCLUSIONS,
                "token = job.token if has_attempt else None",
                "token = job.token if has_attempt and again is None else None",
            ),
        ),
    )


def _verdict() -> Iterable[Mutation]:
    yield Mutation(
        51,
        "a rank without a report is 0",
        (
            (
                JOB_END,
                "        node is not None\n        and node.report is not None\n        and node.report.exit_code == 0\n"
                "        and _word(node) is SentinelWord.EXITED\n",
                "        node is None\n        or node.report is None\n"
                "        or (node.report.exit_code == 0 and _word(node) is SentinelWord.EXITED)\n",
            ),
        ),
    )
    yield Mutation(
        52,
        "a rank without a begun mark is `job_failed`",
        (
            (JOB_END, "JobEnd(Reason.START_FAILED, Source.SENTINEL,", "JobEnd(Reason.JOB_FAILED, Source.SENTINEL,"),
            (JOB_END, "JobEnd(Reason.START_FAILED, Source.EXIT_CODE,", "JobEnd(Reason.JOB_FAILED, Source.EXIT_CODE,"),
        ),
    )  # fmt: skip
    yield Mutation(
        53,
        "an infrastructure reason meets an expectation that does not name it",
        (
            (
                EXPECT,
                "        return outcome.reason_class is ReasonClass.PRODUCT\n    return outcome.reason in",
                "        return True\n    return outcome.reason in",
            ),
        ),
    )
    yield Mutation(
        54,
        "an unexpected infrastructure reason is `failed`, not `error`",
        (
            (
                EXPECT,
                "return Judgement(Verdict.ERROR, (_reason_miss(expect, outcome),))",
                "return Judgement(Verdict.FAILED, (_reason_miss(expect, outcome),))",
            ),
        ),
    )
    yield Mutation(
        55,
        "what was read of a log before it was complete counts",
        ((DRIVER, "if logs is None or not command.excerpts:", "if logs is None:"),),
    )
    yield Mutation(
        56,
        "a limit believed without the sentinel's timer",
        (
            (
                FACTS,
                "    if report.seconds is None or report.seconds >=",
                '    if True:\n        return ""\n    if report.seconds is None or report.seconds >=',
            ),
        ),
    )
    yield Mutation(
        57,
        "exit code 124 alone is a limit",
        (
            (
                JOB_END,
                "    return Reason.KILLED_BY_SIGNAL if 129 <=",
                "    if code == 124:\n        return Reason.MAX_RUNTIME_REACHED\n"
                "    return Reason.KILLED_BY_SIGNAL if 129 <=",
            ),
        ),
    )
    yield Mutation(
        58,
        "the highest rank decides instead of the first to fail",
        (
            (
                JOB_END,
                "            f.node.ended if timed and f.node.ended is not None else 0.0,\n"
                "            f.may_be_consequence,\n            _seconds(f.node),\n            f.node.rank,\n",
                "            -f.node.rank,\n            timed,\n",
            ),
        ),
    )
    yield Mutation(
        59,
        "a hook's failure is dropped",
        (
            (
                JUDGING,
                "judgement = replace(judgement, verdict=Verdict.FAILED, misses=(*judgement.misses, miss))",
                "judgement = replace(judgement, misses=(*judgement.misses, miss))",
            ),
        ),
    )
    yield Mutation(
        60,
        "a result published before its commit",
        (
            (CONCLUSIONS, "if again is None:\n            self.publish(result)", "if again is None:\n            pass"),
            (
                CONCLUSIONS,
                "        job.move(Event.RECORD)\n        has_attempt =",
                "        job.move(Event.RECORD)\n        if again is None:\n            self.publish(result)\n"
                "        has_attempt =",
            ),
        ),
    )  # fmt: skip
    yield Mutation(
        61,
        "a cell that resume finds without attempts gets no verdict",
        ((CORE, "            elif policy.submits:\n", "            elif policy.submits and attempts:\n"),),
    )
    yield Mutation(
        62,
        "a check judges a running job",
        (
            (
                TRACKING,
                "        if recorded is not None and (job.action is None",
                "        checks = not (state.policy.submits or state.policy.cancels)\n"
                "        if checks and seen.phase is Phase.RUNNING:\n            seen = limits.gone(seen)\n"
                "        if recorded is not None and (job.action is None",
            ),
        ),
    )
    yield Mutation(
        63,
        "the ledger's last state replayed without its actions",
        ((LEDGER, "action=load(OwnAction, action) if action else None", "action=None"),),
    )
    yield Mutation(
        64,
        "a wake-up lost that arrives while the poll is under way",
        ((CORE, "                cluster.woken[token] = None\n", "                pass\n"),),
    )


def _core() -> Iterable[Mutation]:
    """Rules of the core that are not in the list."""
    yield Mutation(
        65,
        "what rests on a commit that failed for good is carried out",
        (
            (
                OUTBOX,
                "        if for_good or self._failures >= len(COMMIT_RETRY_SECONDS):\n            self.error = error\n",
                "        if for_good or self._failures >= len(COMMIT_RETRY_SECONDS):\n            self.error = error\n"
                "            self.then = self._then_sent + self.then\n"
                "            self._sent, self._then_sent, self.batch = None, [], Batch()\n",
            ),
        ),
    )
    yield Mutation(
        66,
        "a superseded session goes on submitting",
        (
            (DRIVER, "        except LedgerSuperseded as error:\n            return m.SessionSuperseded(error)\n"
             "        except LedgerError as error:\n            return m.CommitFailed",
             "        except LedgerSuperseded:\n            return m.Committed()\n"
             "        except LedgerError as error:\n            return m.CommitFailed"),
            (DRIVER, "            self.post(m.SessionSuperseded(error))\n            return False\n", "            pass\n"),
        ),
    )  # fmt: skip
    yield Mutation(
        67,
        "the answer to a submission is dropped if the job is to be cancelled",
        (
            (
                SUBMISSIONS,
                "        job = self._state.attempts.get(event.token)\n        if job is None:\n            return\n"
                "        cluster = self._state.cluster(job)\n        match event.answer:",
                "        job = self._state.attempts.get(event.token)\n"
                "        if job is None or job.action is not None:\n            return\n"
                "        cluster = self._state.cluster(job)\n        match event.answer:",
            ),
        ),
    )
    yield Mutation(
        68,
        "no timer for the time in which logs settle",
        ((TRACKING, "            times += [settled_at, settled_at + 2 * limits.LOG_RETRY_SECONDS]\n", ""),),
    )
    yield Mutation(
        69,
        "a commit is repeated with the next batch, and the failed one is lost",
        (
            (
                OUTBOX,
                "            if not self._is_under_way:\n                return self._commit(self._sent, now)\n",
                "            if not self._is_under_way:\n                self._sent, self.batch = self.batch, Batch()\n"
                "                self._then_sent, self.then = self._then_sent + self.then, []\n"
                "                return self._commit(self._sent, now)\n",
            ),
        ),
    )
    yield Mutation(
        70,
        "a cancel that failed is not repeated",
        (
            (
                TRACKING,
                "                job.move(Event.FAIL)\n                cluster.cancels[token] = None\n",
                "                job.move(Event.FAIL)\n",
            ),
        ),
    )
    yield Mutation(
        71,
        "the list proves an absence before `find_settle`",
        (
            (
                TRACKING,
                "if job.token in event.handles or now - job.submitted_at < cluster.can.find_settle:",
                "if job.token in event.handles:",
            ),
        ),
    )
    yield Mutation(
        72,
        "a lost ledger gives no error results",
        ((CORE, "        self._conclusions.publish_unrecorded(error)\n", "        pass\n"),),
    )
    yield Mutation(
        73,
        "a stray job is not adopted",
        (
            (
                ADOPTION,
                "            if token not in state.attempts and self._is_wanted(token):\n",
                "            if False:\n",
            ),
        ),
    )
    yield Mutation(
        74,
        "a hook has no deadline",
        ((CONCLUSIONS, "HOOK_TIMEOUT_SECONDS = 3600.0", 'HOOK_TIMEOUT_SECONDS = float("inf")'),),
    )
    yield Mutation(
        75,
        "the action that `clusterjobs kill` has recorded is ignored",
        ((TRACKING, "        if recorded is not None and (job.action is None", "        if False and (job.action is None"),),
    )  # fmt: skip
    yield Mutation(
        76,
        "limits judged by the time of the answer, not of the poll",
        ((TRACKING, "asked = state.cluster(job).polling_since", "asked = state.now.monotonic"),),
    )
    yield Mutation(
        77,
        "`find` before `find_settle` for an attempt of a dead session",
        (
            (
                ADOPTION,
                "cluster.finds.set(job.token, job.submitted_at + settle)",
                "cluster.finds.set(job.token, now)",
            ),
        ),
    )
    yield Mutation(
        78,
        "a resumed session submits the token of a dead one",
        (
            (
                SUBMISSIONS,
                "again = new_attempt(self._state, job.key, job.number + 1)",
                "again = new_attempt(self._state, job.key, job.number)",
            ),
        ),
    )
    yield Mutation(
        79,
        "an absence from polls alone confirms a cancel",
        (
            (
                TRACKING,
                "if was_asked and limits.has_left(job):",
                "if was_asked and now - job.absent_at >= limits.ABSENT_AFTER_SECONDS:",
            ),
        ),
    )
    yield Mutation(
        80,
        "a cancel that nothing confirms is never given up",
        ((TRACKING, "if now >= since + limits.CANCEL_GIVE_UP_SECONDS and", "if False and"),),
    )
    yield Mutation(
        81,
        "an end that was seen is not recorded",
        (
            (
                TRACKING,
                "if job.see(seen, now) and job.observation is not None and not job.is_stray:",
                "if job.see(seen, now) and job.observation is not None and job.life is not Life.ENDED:",
            ),
        ),
    )
    yield Mutation(
        82,
        "the handle of an accepted job is not recorded",
        (
            (
                SUBMISSIONS,
                "        self._state.outbox.submitted(job.attempt())\n        # Delay the first poll",
                "        # Delay the first poll",
            ),
        ),
    )
    yield Mutation(
        83,
        "a resume runs again what has a verdict",
        (
            (
                CORE,
                "result.judgement.verdict is Verdict.NOT_RUN)",
                "result.judgement.verdict is not Verdict.PASSED)",
            ),
        ),
    )
    yield Mutation(
        84,
        "the cancel of a cell spares one that waits",
        ((CORE, "            else:\n                self._submissions.withdraw(job, action)\n", ""),),
    )
    yield Mutation(
        85,
        "the result of an attempt that is retried is recorded",
        ((CONCLUSIONS, "None if again else result, lambda", "result, lambda"),),
    )
    yield Mutation(
        86,
        "one retry more than the cell allows",
        ((CONCLUSIONS, "job.retries < entry.cell.infra_retries", "job.retries <= entry.cell.infra_retries"),),
    )
    yield Mutation(
        87,
        "a retry that is due is not made",
        ((CONCLUSIONS, "job.retries < entry.cell.infra_retries", "job.retries + 1 < entry.cell.infra_retries"),),
    )  # fmt: skip

    yield Mutation(
        97,
        "a session leaves its jobs without waiting for the ends of those that it cancels",
        ((CORE, "any(job.wants_end for job in self.state.attempts.values())", "False"),),
    )
    yield Mutation(
        98,
        "an attempt follows after a cancel of the cell",
        (
            (CONCLUSIONS, "        may = may and job.key not in self._state.cancelled\n", ""),
            (CONCLUSIONS, " and result.key not in self._state.cancelled:", ":"),
        ),
    )
    yield Mutation(
        99,
        "a limit of a resumed session is judged by the time of day",
        (
            (
                JUDGING,
                '    if action is None:\n        return ""\n    waited',
                '    if True:\n        return ""\n    waited',
            ),
        ),
    )
    yield Mutation(
        100,
        "the records of an earlier start are an end",
        ((CONCLUSIONS, "elif self._may_be_shown_again(job, reports):", "elif False:"),),
    )
    yield Mutation(
        101,
        "old answers put off the stop of the other ranks",
        (
            (
                ATTEMPT,
                "if waits_again or seen.restarts > self.failed_restarts:",
                "if not (seen.phase is Phase.RUNNING and failed_ranks(seen)):",
            ),
        ),
    )
    yield Mutation(
        102,
        "a stop of the process itself counts as silence of the cluster",
        (
            (
                CORE,
                "if now.monotonic - max(self.wake_at, state.now.monotonic) >= MIN_STOP_SECONDS:",
                "if False:",
            ),
        ),
    )
    yield Mutation(
        103,
        "a superseded session that ends releases the run",
        ((LEDGER, "if self.session() <= session:", "if True:"),),
    )
    yield Mutation(
        104,
        "the token of a replaced attempt is used again",
        ((CORE, "event.replaced.get(entry.key, 0),", "0,"),),
    )
    yield Mutation(
        105,
        "a cancel overtakes its record when a poll fails",
        ((TRACKING, "if now >= job.requested_at + CANCEL_COMMIT_WAIT_SECONDS:", "if True:"),),
    )
    yield Mutation(
        106,
        "one list that lacks a job proves its absence",
        (
            (
                TRACKING,
                "if was_asked and limits.has_left(job):",
                "if was_asked and limits.absence_lasts_at(job) <= now:",
            ),
        ),
    )
    yield Mutation(
        107,
        "what polls have shown of the ranks counts as the records of an absent job",
        ((CONCLUSIONS, "self._read(job, replace(known, nodes=nodes))", "self._read(job, known)"),),
    )
    yield Mutation(
        108,
        "what only the log of a job without a report says meets an expectation",
        ((EXPECT, "if outcome.source is Source.NONE and", "if False and"),),
    )
    yield Mutation(
        109,
        "a withdrawn attempt leaves its action behind",
        (
            (
                OUTBOX,
                "self.batch.actions = [each for each in self.batch.actions if each[0] != token]",
                "pass",
            ),
        ),
    )
    yield Mutation(
        110,
        "of several ranks that failed, the lowest one decides",
        ((JOB_END, "            _seconds(f.node),\n", ""),),
    )
    yield Mutation(
        111,
        "a cancel of this run may be one by another program",
        ((JUDGING, "return seen.reason_hint is not Reason.CANCELLED", "return True"),),
    )
    yield Mutation(
        112,
        "time in which a job was not seen counts as run time",
        (
            (
                ATTEMPT,
                "elif self.running_at is not None and unseen > MAX_ABSENCE_GAP_SECONDS:",
                "elif False:",
            ),
        ),
    )


def _budgets() -> Iterable[Mutation]:
    yield Mutation(
        88,
        "no rate limit of submissions",
        ((BREAKER, "        if self.next_at > now:\n            return False\n", ""),),
    )
    yield Mutation(
        89,
        "no spacing of poll rounds",
        (
            (
                CLUSTER,
                "max(due_at, self.round_at + MIN_ROUND_SPACING_SECONDS) > now:",
                "due_at > now:",
            ),
        ),
    )
    yield Mutation(
        90,
        "no pause after an API error",
        (
            (
                CLUSTER,
                "self.until = now + min(MAX_POLL_INTERVAL_SECONDS, base * 2.0 ** min(self.failures, 10))",
                "self.until = now",
            ),
        ),
    )
    yield Mutation(
        91,
        "a job is polled at every interval, whatever its age",
        ((LIMITS, "POLL_INTERVAL_AGE_FRACTION = 0.05", "POLL_INTERVAL_AGE_FRACTION = 0.0"),),
    )


def _judge() -> Iterable[Mutation]:
    yield Mutation(
        92,
        "a classify rule makes a pass of a failure",
        (
            (
                CLASSIFY,
                "    if own.reason != Reason.JOB_COMPLETED:\n        return replace(own,",
                "    if own.reason != Reason.JOB_COMPLETED:\n"
                "        return JobEnd(Reason.JOB_COMPLETED, Source.CLASSIFY_RULE, texts, 0)\n"
                "        return replace(own,",
            ),
        ),
    )
    yield Mutation(
        93,
        "an expected heartbeat timeout without a heartbeat passes",
        (
            (
                EXPECT,
                "elif timed_out and Reason.HEARTBEAT_TIMEOUT in (expect.reasons or ()) and not outcome.heartbeats:",
                "elif False:",
            ),
        ),
    )
    yield Mutation(
        94,
        "this run's stop of the other ranks counts as a cancel from outside",
        (
            (
                CLASSIFY,
                "    if hint is Reason.CANCELLED and action is not None:\n        return None\n",
                "",
            ),
        ),
    )
    yield Mutation(
        95,
        "ranks that the cluster stopped after a clean main node fail the job",
        ((JOB_END, "main_is_clean = _ended_with_zero(by_rank.get(0))", "main_is_clean = False"),),
    )
    yield Mutation(
        96,
        "a sentinel that was stopped from outside ended by itself",
        (
            (
                JOB_END,
                "    if report is not None and report.word is not SentinelWord.EXITED:\n        return None\n",
                "    if report is not None and report.word is SentinelWord.STOPPED:\n"
                "        return _Failure(node, 143, Source.SENTINEL, f\"rank {node.rank}: stopped\")\n",
            ),
        ),
    )  # fmt: skip
    yield Mutation(
        113,
        "a cancellation that may lack its record counts as another program's",
        ((CORE, "incomplete and job.action is None and", "False and job.action is None and"),),
    )


MUTATIONS: tuple[Mutation, ...] = tuple(_list())
