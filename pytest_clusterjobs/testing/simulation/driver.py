"""The real driver in virtual time: its answers arrive later, and only while its process lives."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ...backends.pool import BackendPool
from ...engine import messages as m
from ...engine.core import Core
from ...engine.driver import Driver
from ...engine.extensions import Extensions
from ...ledger.ledger import Ledger
from ...model import JobSpec
from .clock import WorldClock
from .executor import SimulatedExecutor
from .executor import Work
from .process import Process
from .world import Timer

SPIN_SECONDS = 0.001
"""How much time a turn takes that sets the next one for the present."""
MAX_SPINS = 200
"""So many such turns in a row are a busy loop."""


class Held(BaseException):
    """A submission that is checked, and sent later."""


class SimulatedDriver(Driver):
    """Takes turns in virtual time. ``turned`` is called after each series of turns."""

    def __init__(
        self,
        process: Process,
        core: Core,
        ledger: Ledger,
        backends: BackendPool,
        executor: SimulatedExecutor,
        clock: WorldClock,
        extensions: Extensions,
        session: int | None,
        published: Callable[[m.Publish], None],
    ) -> None:
        super().__init__(core, ledger, backends, executor, clock, extensions, session)
        self.turned: Callable[[], None] = lambda: None
        self.submissions: Callable[[int], None] = lambda count: None
        """Called with the number of jobs of each command to submit."""
        self.sends: Callable[[str], None] = lambda token: None
        """Called with the token of each submission that the checks have just let pass."""
        self.spinning = False
        """Whether it has asked for turns without a pause."""
        self.process = process
        self._lanes = executor
        self._world_clock = clock
        self._published = published
        self._wire: list[m.AnyEvent] | None = None
        self._timer: Timer | None = None
        self._timer_for = float("inf")
        self._spins = 0
        self._is_checked = False
        executor.capture = self._capture
        executor.deliver = self._deliver
        self.poll_given_at = 0.0
        """When, in world time, the poll under way was given to its lane."""
        self.holding = False
        """Whether a submission is checked, and must not be sent."""

    @property
    def is_of_a_session(self) -> bool:
        """Whether it acts for one session of the run only."""
        return self._session is not None

    def monotonic(self) -> float:
        """The present time by the clock of the process."""
        return self._world_clock.monotonic()

    # Answers.

    def post(self, event: m.AnyEvent, *, in_turn: bool = True) -> None:
        """Handle an event now, or keep it on the wire if it is the answer to a call under way."""
        if self._wire is not None:
            self._wire.append(event)
        else:
            super().post(event)

    def _capture(self, work: Work) -> list[object]:
        before, self._wire = self._wire, []
        try:
            work()
            return list(self._wire)
        finally:
            self._wire = before

    def _deliver(self, posts: list[object]) -> None:
        for event in posts:
            self.post(event)  # type: ignore[arg-type]

    # Turns.

    def _take_turns(self) -> None:
        if self._is_in_turn or self._is_closed:
            return
        super()._take_turns()
        self._set_timer()
        self.turned()

    def _set_timer(self) -> None:
        wake_at = self.wake_at
        if self._is_closed or wake_at == self._timer_for:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_for = wake_at
        if wake_at == float("inf"):
            return
        world = self.process.world
        at = self._world_clock.world_time(wake_at)
        if at <= world.now:
            self._spins += 1
            at = world.now + SPIN_SECONDS
            if self._spins >= MAX_SPINS:
                self.spinning = True
                at = world.now + 10.0
        else:
            self._spins = 0
        self._timer = world.at(at, lambda: self.process.do(self._wake))

    def _wake(self) -> None:
        self._timer, self._timer_for = None, float("-inf")
        if self.wake_at <= self._clock.monotonic() or self._spins:
            self.tick()
        else:
            self._set_timer()

    def _call(self, command: Any, work: Callable[[Any], m.AnyEvent]) -> None:
        if type(command) is m.PollJobs:
            self.poll_given_at = self.process.world.now
        super()._call(command, work)

    # Submissions: checked, then sent, then answered.

    def _submit(self, command: m.Submit) -> None:
        threads = self._backends.opened[command.backend].capabilities.submit_threads
        begun = self._clock.monotonic()
        self.submissions(len(command.jobs))
        self._lanes.steps(
            f"submit {command.backend}", threads, lambda done: self._submit_next(command, 0, begun, done)
        )

    def _submit_next(self, command: m.Submit, index: int, begun: float, done: Work) -> None:
        if index == len(command.jobs):
            done()
            seconds = self._clock.monotonic() - begun
            self.post(m.ThreadFree(command.backend, seconds, len(command.jobs)))
            return
        spec, token = command.jobs[index]
        lane = f"submit {command.backend}"
        work = partial(self._send, command.backend, spec, token)
        self.holding = True
        try:
            answer = self._submit_one(command.backend, spec, token)
            work = partial(self.post, m.Submitted(token, answer))
        except Held:
            self.sends(token)
        finally:
            self.holding = False
        self._lanes.call(lane, work, lambda: self._submit_next(command, index + 1, begun, done))

    def _send(self, backend: str, spec: JobSpec, token: str) -> None:
        halted, self.halted, self._is_checked = self.halted, False, True
        try:
            answer = self._submit_one(backend, spec, token)
        except BaseException as error:
            self.fail(error)
            return
        finally:
            self.halted, self._is_checked = halted or self.halted, False
        self.post(m.Submitted(token, answer))

    def _may_submit(self) -> bool:
        return self._is_checked or super()._may_submit()

    # Results.

    def _publish(self, command: m.Publish) -> None:
        super()._publish(command)
        self._published(command)


def describe(message: Any) -> str:
    """An event or command in one line."""
    parts = [type(message).__name__]
    for name in (
        "backend",
        "token",
        "answer",
        "error",
        "jobs",
        "handles",
        "seen",
        "tokens",
        "result",
        "batch",
    ):
        value = getattr(message, name, None)
        if value is None or value == "" or value == ():
            continue
        parts.append(f"{name}={_short(value)}")
    return " ".join(parts)


def _short(value: Any) -> str:
    if hasattr(value, "judgement"):
        return f"{value.key} a{value.attempt} {value.judgement.verdict} {value.outcome.reason}"
    if hasattr(value, "intended"):
        ended = ", ".join(f"{token} {outcome.reason}" for token, outcome in value.ended)
        parts = {
            "intended": ", ".join(value.intended),
            "submitted": ", ".join(each.token for each in value.submitted),
            "deleted": ", ".join(value.deleted),
            "actions": ", ".join(f"{token} {action.kind}" for token, action in value.actions),
            "changed": ", ".join(f"{token} {seen.phase}" for token, seen, _ in value.changed),
            "ended": ended,
            "results": ", ".join(_short(each) for each in value.results),
            "meta": ", ".join(value.meta),
        }
        return "{" + "; ".join(f"{name}: {text}" for name, text in parts.items() if text) + "}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_phase(each)}" for key, each in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(each[1] if isinstance(each, tuple) else str(each) for each in value) + "]"
    return str(value)[:200]


def _phase(value: Any) -> str:
    phase = getattr(value, "phase", None)
    if phase is None:
        return str(getattr(value, "job_id", value))
    return f"{phase} {value.native_state}" + (f" {value.exit_code}" if value.exit_code is not None else "")
