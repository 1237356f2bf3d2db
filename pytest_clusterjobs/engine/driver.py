"""The driver: carries out the core's commands on threads, and gives it the answers.

It decides nothing about jobs, but checks before each submission that its session still owns the run.

Executor, clock, ledger and backends are parameters, so that a simulation runs this same driver on virtual
time, on a simulated cluster and on a disk that fails.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from ..backends.pool import BackendPool
from ..backends.protocol import Backend
from ..backends.protocol import BackendError
from ..backends.protocol import BUGS
from ..backends.protocol import Notifying
from ..backends.protocol import SubmissionRejected
from ..backends.protocol import Throttled
from ..backends.registry import SiteError
from ..ledger.ledger import Ledger
from ..ledger.ledger import LedgerError
from ..ledger.ledger import LedgerGone
from ..ledger.ledger import Superseded as LedgerSuperseded
from ..model import JobSpec
from ..model import Observation
from ..model import OwnAction
from ..model import Phase
from . import messages as m
from .answers import answer
from .answers import poll_all
from .clock import Clock
from .core import Core
from .executor import Executor
from .extensions import Extensions
from .extensions import Vetoed
from .judging import consult
from .judging import EXCERPT_BYTES
from .logs import LogReader
from .logs import reader_of
from .secrets import refusal as refusal_of_secrets
from .state import Serving

LEDGER_LANE, HOOKS_LANE, TIMER_LANE = "ledger", "hooks", "timer"


class Driver:
    """Runs a core: ``post`` gives it events; its commands run on the executor's lanes.

    ``changed`` guards the core's state, and is notified when a verdict or the end of the run may be waited
    for. Between two turns a thread that holds it may read the state.
    """

    def __init__(
        self,
        core: Core,
        ledger: Ledger,
        backends: BackendPool,
        executor: Executor,
        clock: Clock,
        extensions: Extensions,
        session: int | None = None,
    ) -> None:
        self.core = core
        lock = threading.RLock()
        self.changed = threading.Condition(lock)
        self.timer = threading.Condition(lock)
        self.fresh: deque[str] = deque()
        """The keys of verdicts that have not been taken yet, in the order in which they were published."""
        self.failure: BaseException | None = None
        """A bug, or what else keeps the driver from working."""
        self.watchers = 0
        """Threads that wait on ``changed`` for anything but verdicts, and are notified after every turn."""
        self.halted = False
        """Whether nothing is submitted any more, even if the core has not handled that request yet."""
        self.wake_at = float("inf")
        """When the core is to get a Tick, in monotonic seconds."""
        self._ledger = ledger
        self._backends = backends
        self._executor = executor
        self._clock = clock
        self._extensions = extensions
        self._session = session
        self._inbox: deque[m.AnyEvent] = deque()
        self._is_in_turn = False
        self._is_closed = False
        self._readers: dict[str, LogReader] = {}
        self._run: dict[type, Callable[[Any], None]] = {
            m.Commit: self._commit,
            m.ReadLedger: lambda command: self._start(LEDGER_LANE, self._read_ledger, command),
            m.Open: lambda command: self._call(command, self._open),
            m.Submit: self._submit,
            m.Find: lambda command: self._call(command, self._find),
            m.PollJobs: lambda command: self._call(command, self._poll),
            m.ListJobs: lambda command: self._call(command, self._list),
            m.ReadLogs: lambda command: self._call(command, self._read_logs),
            m.Cancel: lambda command: self._call(command, self._cancel),
            m.PrepareSpec: lambda command: self._start(HOOKS_LANE, self._prepare, command),
            m.AskHooks: lambda command: self._start(HOOKS_LANE, self._ask_hooks, command),
            m.Publish: self._publish,
            m.Forget: self._forget,
        }

    # Turns.

    def post(self, event: m.AnyEvent, *, in_turn: bool = True) -> None:
        """Give the core an event. With ``in_turn`` this thread may take the turn itself.

        The main thread does not: Ctrl-C must not end a turn halfway.
        """
        with self.changed:
            self._inbox.append(event)
            if in_turn:
                self._take_turns()
            else:
                self.timer.notify_all()

    @property
    def is_idle(self) -> bool:
        """Whether everything that was posted is handled."""
        return not self._inbox and not self._is_in_turn

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Notify ``changed``, which the caller holds, after every turn in this block."""
        self.watchers += 1
        try:
            yield
        finally:
            self.watchers -= 1

    def tick(self) -> None:
        """Handle what was posted, and what is due."""
        with self.changed:
            self._inbox.append(m.Tick())
            self._take_turns()

    def _take_turns(self) -> None:
        if self._is_in_turn or self._is_closed:
            return
        self._is_in_turn = True
        try:
            while self._inbox:
                now = m.Now(self._clock.monotonic(), self._clock.time())
                for command in self.core.handle(self._inbox.popleft(), now):
                    self._run[type(command)](command)
        except BaseException as error:
            self.fail(error)
        finally:
            self._is_in_turn = False
        if self.watchers:
            self.changed.notify_all()
        wake_at = self.core.wake_at
        if wake_at != self.wake_at:
            self.wake_at = wake_at
            self.timer.notify_all()

    def run_timer(self) -> None:
        """Handle what is due, and what the main thread posts, until the driver is closed."""
        while True:
            with self.changed:
                while not self._is_closed and not self._inbox:
                    now = self._clock.monotonic()
                    if self.wake_at <= now:
                        self._inbox.append(m.Tick())
                        break
                    timeout = None if self.wake_at == float("inf") else self.wake_at - now
                    self._clock.wait(self.timer, timeout)
                if self._is_closed:
                    return
                self._take_turns()

    def fail(self, error: BaseException) -> None:
        """Stop everything because of an internal error."""
        with self.changed:
            if self.failure is None:
                self.failure = error
                self.halted = True
                self._inbox.append(m.Stop())
            self.changed.notify_all()
            self.timer.notify_all()

    def close(self) -> None:
        """Begin no more work. What was begun is not answered any more."""
        with self.changed:
            self._is_closed = True
            self.timer.notify_all()
            self.changed.notify_all()
        self._executor.close()

    def _start(
        self, lane: str, work: Callable[[Any], m.AnyEvent], command: m.Command, threads: int = 1
    ) -> None:
        self._executor.start(lane, threads, partial(self._work, work, command))

    def _call(self, command: Any, work: Callable[[Any], m.AnyEvent]) -> None:
        """Work on the thread of a backend, which is called from one thread only, submissions apart."""
        self._start(f"cluster {command.backend}", work, command)

    def _work(self, work: Callable[[Any], m.AnyEvent], command: m.Command) -> None:
        try:
            self.post(work(command))
        except BaseException as error:
            self.fail(error)

    # The ledger.

    def _commit(self, command: m.Commit) -> None:
        self._start(LEDGER_LANE, self._write, command)

    def _write(self, command: m.Commit) -> m.AnyEvent:
        try:
            self._ledger.commit(command.batch, self._clock.time(), self._session)
        except LedgerSuperseded as error:
            return m.SessionSuperseded(error)
        except LedgerError as error:
            return m.CommitFailed(error, for_good=isinstance(error, LedgerGone))
        return m.Committed()

    def _read_ledger(self, command: m.ReadLedger) -> m.AnyEvent:
        try:
            attempts = self._ledger.attempts(live=True)
            cells = self._ledger.registrations(after=command.after)
            # Checked after the attempts were read, so that they include none of a later session.
            self._ledger.check_session(self._session)
        except LedgerSuperseded as error:
            return m.SessionSuperseded(error)
        except LedgerError as error:
            return m.LedgerRead((), (), str(error))
        return m.LedgerRead(cells, attempts)

    # Submissions.

    def _submit(self, command: m.Submit) -> None:
        threads = self._backends.opened[command.backend].capabilities.submit_threads
        self._executor.start(f"submit {command.backend}", threads, partial(self._submit_all, command))

    def _submit_all(self, command: m.Submit) -> None:
        try:
            begun = self._clock.monotonic()
            for spec, token in command.jobs:
                self.post(m.Submitted(token, self._submit_one(command.backend, spec, token)))
            seconds = self._clock.monotonic() - begun
            self.post(m.ThreadFree(command.backend, seconds, len(command.jobs)))
        except BaseException as error:
            self.fail(error)

    def _submit_one(self, name: str, spec: JobSpec, token: str) -> m.SubmitAnswer:
        backend = self._backends.opened[name]
        secrets = self.core.state.secrets
        try:
            secrets.learn([spec])
            refused = refusal_of_secrets(spec, known_elsewhere=backend.capabilities.knows_secrets)
            if refused is not None:
                return m.Rejected(refused, by_this_run=True)
            if self.halted or not self._may_submit():
                return m.NotSent()
            return m.Accepted(backend.submit(spec, token))
        except SubmissionRejected as error:
            return m.Rejected(str(error))
        except Throttled as error:
            return m.NotAccepted(str(error))
        except LedgerError as error:
            self.post(m.CommitFailed(error, for_good=True))
            return m.NotSent()
        except BUGS as error:
            # The job may exist; ``find`` decides. A bug in a backend must not lose a job either.
            return m.Unanswered(str(error) or repr(error))

    def _may_submit(self) -> bool:
        """Whether this process still owns the run, as of now."""
        if self.core.state.service is not Serving.OPEN:
            return False
        try:
            self._ledger.check_session(self._session)
        except LedgerSuperseded as error:
            self.post(m.SessionSuperseded(error))
            return False
        return True

    # Calls to clusters.

    def _open(self, command: m.Open) -> m.AnyEvent:
        try:
            backend = self._backends(command.backend)
        except SiteError as error:
            return m.OpenFailed(command.backend, str(error), for_good=True)
        except BUGS as error:
            return m.OpenFailed(command.backend, _text(error), for_good=False)
        return self.opened(command.backend, backend)

    def opened(self, name: str, backend: Backend) -> m.Opened:
        """The event that a backend is open. From now on its news reach the core."""
        notifies = isinstance(backend, Notifying)
        if isinstance(backend, Notifying):
            backend.subscribe(lambda tokens: self.post(m.News(name, tuple(tokens))))
        return m.Opened(name, backend.capabilities, notifies)

    def _find(self, command: m.Find) -> m.AnyEvent:
        try:
            found = answer(self._backends.opened[command.backend].find, command.token)
        except BackendError as error:
            return m.CallFailed(command.backend, str(error), isinstance(error, Throttled), command.token)
        return m.Looked(command.backend, command.token, found)

    def _poll(self, command: m.PollJobs) -> m.AnyEvent:
        seen: dict[str, Observation] = {}
        error, throttled = "", False
        try:
            poll_all(self._backends.opened[command.backend], command.handles, seen)
        except BackendError as failure:
            error, throttled = str(failure) or repr(failure), isinstance(failure, Throttled)
        return m.Polled(command.backend, seen, self._recorded_actions(seen), error, throttled)

    def _recorded_actions(self, seen: Mapping[str, Observation]) -> Mapping[str, OwnAction]:
        """What ``clusterjobs kill`` has recorded about jobs that are gone; nothing if the ledger fails."""
        gone = [token for token, each in seen.items() if each.phase in (Phase.ENDED, Phase.ABSENT)]
        try:
            return self._ledger.actions(gone) if gone else {}
        except LedgerError:
            return {}

    def _list(self, command: m.ListJobs) -> m.AnyEvent:
        backend = self._backends.opened[command.backend]
        try:
            listed = m.Listed(command.backend, answer(backend.sweep, self.core.state.run_id))
        except BackendError as error:
            return m.CallFailed(command.backend, str(error), isinstance(error, Throttled))
        try:
            # Checked after the list was read: the jobs of a later session look like strays.
            self._ledger.check_session(self._session)
        except LedgerSuperseded as error:
            return m.SessionSuperseded(error)
        except LedgerError:
            pass  # A ledger that cannot be read keeps no job alive.
        return listed

    def _cancel(self, command: m.Cancel) -> m.AnyEvent:
        error, throttled = "", False
        try:
            answer(self._backends.opened[command.backend].cancel, command.handles)
        except BackendError as failure:
            error, throttled = str(failure) or repr(failure), isinstance(failure, Throttled)
        return m.CancelAnswered(command.backend, tuple(command.handles), error, throttled)

    def _read_logs(self, command: m.ReadLogs) -> m.AnyEvent:
        job = self.core.state.attempts.get(command.token)
        if job is None:
            return m.LogsRead(command.backend, command.token, command.seen)
        logs = self._readers.get(command.token)
        if logs is None or not command.excerpts:
            backend = self._backends.opened[command.backend]
            logs = reader_of(backend, job)
            self._readers[command.token] = logs
        seen = logs.with_reports(command.seen) if command.reports else command.seen
        whole = {rank: logs.whole(rank) for rank in range(job.spec.nodes)} if command.whole else {}
        tails = {rank: logs.tail(rank, EXCERPT_BYTES) for rank in command.excerpts}
        shown = {rank: text for rank, text in tails.items() if text}
        return m.LogsRead(command.backend, command.token, seen, whole, logs.missing, logs.error, shown)

    # Hooks.

    def _prepare(self, command: m.PrepareSpec) -> m.AnyEvent:
        try:
            spec = self._extensions.prepare(command.registration.cell, command.number)
        except Vetoed as error:
            return m.SubmissionVetoed(command.token, str(error), error.ruling)
        return m.Prepared(command.token, spec)

    def _ask_hooks(self, command: m.AskHooks) -> m.AnyEvent:
        hide = self.core.state.secrets.of(command.spec).hide
        return m.HooksAnswered(
            command.token, consult(self._extensions, command, partial(self._whole_log, command), hide)
        )

    def _whole_log(self, command: m.AskHooks, rank: int) -> str:
        """A rank's whole log, for a hook; read on the backend's own thread."""
        text: list[str] = []
        self._executor.run(f"cluster {command.backend}", lambda: text.extend(self._whole_logs(command, rank)))
        return "".join(text)

    def _whole_logs(self, command: m.AskHooks, rank: int) -> Iterator[str]:
        job = self.core.state.attempts.get(command.token)
        logs = self._readers.get(command.token)
        if logs is None and job is not None:
            logs = reader_of(self._backends.opened[command.backend], job)
            self._readers[command.token] = logs
        if logs is not None:
            # Otherwise the run has given the cell up meanwhile.
            yield logs.whole(rank).text

    def _forget(self, command: m.Forget) -> None:
        self._readers.pop(command.token, None)

    # Results.

    def _publish(self, command: m.Publish) -> None:
        self.fresh.append(command.result.key)
        self.changed.notify_all()


def _text(error: BaseException) -> str:
    return str(error) if isinstance(error, BackendError) else repr(error)
