"""A backend that replays scripts on a manual clock, and counts its calls."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import field
from typing import Any
from typing import Literal

from ..backends.protocol import BackendError
from ..backends.protocol import BackendType
from ..backends.protocol import Capabilities
from ..backends.protocol import FindAnswer
from ..backends.protocol import Found
from ..backends.protocol import NotSubmitted
from ..backends.protocol import SubmissionRejected
from ..backends.protocol import Throttled
from ..backends.protocol import Unknown
from ..model import Handle
from ..model import JobSpec
from ..model import LogChunk
from ..model import Observation
from ..model import Phase
from ..model.token import run_of
from ..model.token import Token
from .clock import ManualClock
from .scripted_job import ScriptedJob
from .scripts import ACCEPT
from .scripts import Answer
from .scripts import Script

Call = Literal["submit", "poll", "cancel", "logs", "find", "sweep"]


@dataclass(frozen=True, slots=True)
class Poll:
    """One call of ``poll``."""

    at: float
    """``clock.monotonic()``."""
    tokens: tuple[str, ...]


@dataclass(slots=True)
class Calls:
    """The calls to a backend; failed calls count too."""

    submits: Counter[str] = field(default_factory=Counter)
    """By token."""
    names: Counter[str] = field(default_factory=Counter)
    """Submissions by the spec's name, over all attempts."""
    polls: list[Poll] = field(default_factory=list)
    cancels: Counter[str] = field(default_factory=Counter)
    """By token."""
    cancel_calls: int = 0
    finds: Counter[str] = field(default_factory=Counter)
    sweeps: int = 0
    logs: Counter[str] = field(default_factory=Counter)
    submitting: int = 0
    """``submit`` calls that are running now."""
    most_submitting: int = 0
    """The most ``submit`` calls that ran at once."""

    @property
    def ids_polled(self) -> Counter[str]:
        """How often each token was polled."""
        return Counter(token for poll in self.polls for token in poll.tokens)


@dataclass(slots=True)
class _Outage:
    calls: Collection[Call]
    error: BackendError
    start: float
    end: float
    left: int | None = None


class ScriptedBackend:
    """A backend whose jobs follow their scripts, on a manual clock.

    ``scripts`` is keyed by the spec's name or by token. In a list of scripts, each attempt takes the next one
    (the last for all further attempts). Jobs without a key run ``default``.
    """

    def __init__(
        self,
        clock: ManualClock,
        scripts: Mapping[str, Script | Sequence[Script]] | None = None,
        *,
        default: Script | None = None,
        capabilities: Capabilities | None = None,
    ) -> None:
        self.clock = clock
        self.scripts = dict(scripts or {})
        self.default = default or Script()
        self.calls = Calls()
        self.jobs: dict[str, ScriptedJob] = {}
        """Every job that the cluster accepted, by token."""
        self.closed = False
        self._capabilities = capabilities or Capabilities(min_poll_interval=1.0)
        self._answered: Counter[str] = Counter()
        self._outages: list[_Outage] = []
        self._lock = threading.RLock()

    @property
    def capabilities(self) -> Capabilities:
        """As given; one poll a second by default."""
        return self._capabilities

    def outage(
        self,
        start: float,
        seconds: float,
        *,
        calls: Sequence[Call] = ("poll",),
        error: BackendError | None = None,
    ) -> None:
        """Make these calls fail for ``seconds``, from ``start`` seconds after the clock's beginning."""
        error = error or BackendError("503 Service Unavailable")
        self._outages.append(_Outage(calls, error, start, start + seconds))

    def fail_next(self, call: Call, times: int = 1, error: BackendError | None = None) -> None:
        """Make the next ``times`` calls of this kind fail."""
        error = error or BackendError("503 Service Unavailable")
        self._outages.append(_Outage((call,), error, 0.0, float("inf"), times))

    def type(self, name: str = "scripted") -> BackendType:
        """A backend type that always opens this object."""
        return BackendType(name, lambda context: self)

    def job(self, name: str) -> ScriptedJob:
        """The latest job with this token, or of the spec with this name. Raises KeyError."""
        if name in self.jobs:
            return self.jobs[name]
        named = [job for job in self.jobs.values() if job.spec.name == name]
        if not named:
            raise KeyError(name)
        return named[-1]

    def live(self) -> list[str]:
        """Tokens of jobs that have not ended, in order of submission."""
        now = self.clock.monotonic()
        return [token for token, job in self.jobs.items() if job.live(now)]

    def submit(self, spec: JobSpec, token: str) -> Handle:
        """Answer according to the script; a token that already has a job gets that job's handle."""
        with self._submitting(spec, token):
            script = self._script(spec, token)
            answer = self._answer(script, token)
            if answer.seconds:
                self.clock.sleep(answer.seconds)
            with self._calling("submit"):
                if answer.kind in ("accept", "lose"):
                    self._accept(spec, token, script)
                _raise(answer)
                return self.jobs[token].handle(self.clock.monotonic())

    def poll(self, handles: Mapping[str, Handle]) -> Mapping[str, Observation]:
        """Return each job's present state. Raises BackendError for more ids than one poll allows."""
        with self._calling("poll", polled=handles):
            if len(handles) > self._capabilities.ids_per_poll:
                raise BackendError(f"maximum number of jobs is {self._capabilities.ids_per_poll}")
            now, epoch = self.clock.monotonic(), self.clock.epoch
            seen = {token: self._observe(handle, now, epoch) for token, handle in handles.items()}
            return {token: observation for token, observation in seen.items() if observation is not None}

    def cancel(self, handles: Mapping[str, Handle]) -> None:
        """Record the cancel; the scripts decide its effect."""
        with self._lock:
            self.calls.cancel_calls += 1
            self.calls.cancels.update(handles.keys())
        with self._calling("cancel"):
            for handle in handles.values():
                job = self.jobs.get(handle.data["token"])
                if job is not None and job.cancelled is None:
                    job.cancelled = self.clock.monotonic()

    def logs(
        self,
        handle: Handle,
        *,
        node: int = 0,
        restart: int | None = None,
        cursor: Any = None,
        tail: int | None = None,
    ) -> LogChunk:
        """The readable part of the script's lines; the cursor counts characters."""
        token = handle.data["token"]
        self.calls.logs[token] += 1
        with self._calling("logs"):
            now = self.clock.monotonic()
            job = self.jobs[token]
            text = job.log(now, node)
            start = len(text) - tail if tail is not None else cursor or 0
            return LogChunk(text[max(0, start) :], max(len(text), cursor or 0), job.log_complete(now))

    def find(self, token: str) -> FindAnswer:
        """Found once the job is visible; unknown while it may still appear."""
        self.calls.finds[token] += 1
        with self._calling("find"):
            now = self.clock.monotonic()
            job = self.jobs.get(token)
            if job is not None and now >= job.accepted + job.script.visible_after:
                return Found(job.handle(now))
            if job is not None and now < job.accepted + self._capabilities.find_settle:
                return Unknown("submissions of the last seconds are not listed yet")
            return NotSubmitted()

    def sweep(self, run_id: str) -> Mapping[str, Handle]:
        """The visible live jobs of the run."""
        self.calls.sweeps += 1
        with self._calling("sweep"):
            now = self.clock.monotonic()
            return {
                token: job.handle(now)
                for token, job in self.jobs.items()
                if run_of(token) == run_id
                and job.live(now)
                and now >= job.accepted + job.script.visible_after
            }

    def close(self) -> None:
        """Record the call; jobs keep running."""
        self.closed = True

    def _script(self, spec: JobSpec, token: str) -> Script:
        found = self.scripts.get(token, self.scripts.get(spec.name, self.default))
        if isinstance(found, Script):
            return found
        return found[min(_attempt(token), len(found)) - 1]

    def _answer(self, script: Script, token: str) -> Answer:
        with self._lock:
            call = self._answered[token]
            self._answered[token] += 1
        return script.answers[min(call, len(script.answers) - 1)] if script.answers else ACCEPT

    def _accept(self, spec: JobSpec, token: str, script: Script) -> None:
        if token not in self.jobs:
            number = len(self.jobs) + 1
            self.jobs[token] = ScriptedJob(token, spec, script, number, self.clock.monotonic())

    def _observe(self, handle: Handle, now: float, epoch: float) -> Observation | None:
        job = self.jobs.get(handle.data["token"])
        return Observation(Phase.ABSENT) if job is None else job.observe(now, epoch)

    @contextmanager
    def _submitting(self, spec: JobSpec, token: str) -> Iterator[None]:
        with self._lock:
            self.calls.submits[token] += 1
            self.calls.names[spec.name] += 1
            self.calls.submitting += 1
            self.calls.most_submitting = max(self.calls.most_submitting, self.calls.submitting)
        try:
            yield
        finally:
            with self._lock:
                self.calls.submitting -= 1

    @contextmanager
    def _calling(self, call: Call, *, polled: Collection[str] | None = None) -> Iterator[None]:
        with self.clock.hold(), self._lock:
            now = self.clock.monotonic()
            if polled is not None:
                self.calls.polls.append(Poll(now, tuple(polled)))
            for outage in self._outages:
                if call in outage.calls and outage.start <= now < outage.end and outage.left != 0:
                    outage.left = None if outage.left is None else outage.left - 1
                    raise outage.error
            yield


def _attempt(token: str) -> int:
    try:
        return Token.parse(token).attempt
    except ValueError:
        return 1


def _raise(answer: Answer) -> None:
    errors = {"reject": SubmissionRejected, "throttle": Throttled, "lose": BackendError, "fail": BackendError}
    if answer.kind in errors:
        raise errors[answer.kind](answer.message)
