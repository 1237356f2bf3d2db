"""The behaviour of a scripted job: states over time, answers to submissions and cancels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..model import NodeState
from ..model import Phase
from ..model import Reason
from ..model import SentinelReport
from ..model import SentinelWord
from ..model import Times


@dataclass(frozen=True, slots=True)
class State:
    """What polls return for a job from a given moment on. The functions below make the usual ones."""

    phase: Phase | None
    """``None``: the job is missing from the answer, as in a partial one."""
    native_state: str = ""
    native_reason: str = ""
    reason_hint: Reason | None = None
    exit_code: int | None = None
    nodes: tuple[NodeState, ...] | None = None
    """``None``: built from ``exit_code`` and ``word`` for every rank."""
    word: SentinelWord | None = None
    """The report of every rank's sentinel, if ``nodes`` is not given; ``None``: no report."""
    restarts: int | None = None
    """``None``: the number of ``restarted()`` states before."""
    times: Times | None = None
    """``None``: the times at which the script ran."""
    suspended: bool = False
    """Suspended by the cluster."""


def pending(native_reason: str = "", native_state: str = "PENDING") -> State:
    """Waiting for capacity."""
    return State(Phase.PENDING, native_state, native_reason)


def stuck(native_reason: str = "BadConstraints", hint: Reason = Reason.REJECTED) -> State:
    """Pending, and reported by the cluster as never able to start."""
    return State(Phase.PENDING, "PENDING", native_reason, hint)


def running(native_state: str = "RUNNING") -> State:
    """The command runs."""
    return State(Phase.RUNNING, native_state)


def suspended(native_reason: str = "") -> State:
    """The cluster has suspended a started job."""
    return State(Phase.RUNNING, "SUSPENDED", native_reason, suspended=True)


def restarted(native_state: str = "RUNNING") -> State:
    """The cluster restarted the job; counts one restart."""
    return State(Phase.RUNNING, native_state, "restarted")


def absent() -> State:
    """The scheduler does not know the job."""
    return State(Phase.ABSENT)


def missing() -> State:
    """The response of the poll omits the job."""
    return State(None)


def ended(
    exit_code: int | None = 0,
    *,
    hint: Reason | None = None,
    word: SentinelWord | None = SentinelWord.EXITED,
    nodes: Sequence[NodeState] | None = None,
    native_state: str = "ENDED",
    native_reason: str = "",
    restarts: int | None = None,
    times: Times | None = None,
) -> State:
    """The job has ended, by default with ``exit_code`` and a sentinel's report on every rank."""
    ranks = None if nodes is None else tuple(nodes)
    return State(Phase.ENDED, native_state, native_reason, hint, exit_code, ranks, word, restarts, times)


def rank(number: int, exit_code: int | None, word: SentinelWord | None = SentinelWord.EXITED) -> NodeState:
    """One entry for ``ended(nodes=[...])``; without a ``word`` the rank's sentinel reported nothing."""
    own = exit_code if word is SentinelWord.EXITED else None
    report = None if word is None else SentinelReport(word, number, own)
    return NodeState(number, exit_code, report=report, begun=True)


@dataclass(frozen=True, slots=True)
class Answer:
    """The response to one ``submit`` call.

    ``ACCEPT``, ``LOSE``, ``FAIL``, ``THROTTLE`` and ``reject`` make the usual ones.
    """

    kind: Literal["accept", "reject", "lose", "fail", "throttle"] = "accept"
    """``lose``: the job exists and the caller gets an error; ``fail``: an error, and no job."""
    message: str = ""
    seconds: float = 0.0
    """Seconds on the clock until the response."""


ACCEPT = Answer()
LOSE = Answer("lose", "connection reset by peer")
"""The job exists, but the caller gets an error."""
FAIL = Answer("fail", "503 Service Unavailable")
"""An error, and no job."""
THROTTLE = Answer("throttle", "429 Too Many Requests")


def reject(message: str = "invalid partition") -> Answer:
    """The cluster rejects the submission."""
    return Answer("reject", message)


def slowly(seconds: float, answer: Answer = ACCEPT) -> Answer:
    """The same response, ``seconds`` later; the job exists from the end of the call on."""
    return Answer(answer.kind, answer.message, seconds)


CANCELLED = ended(None, hint=Reason.CANCELLED, word=SentinelWord.STOPPED, native_state="CANCELLED")


@dataclass(frozen=True, slots=True)
class Cancelling:
    """A job's reaction to a cancel."""

    after: float | None = 0.0
    """Seconds until it has ended; ``None``: it never ends."""
    then: State = CANCELLED


@dataclass(frozen=True, slots=True)
class PrintedLine:
    """Text that a job prints."""

    after: float
    """Seconds since the job was accepted."""
    text: str
    node: int = 0


@dataclass(frozen=True, slots=True)
class Script:
    """The life of one job; times are seconds since the cluster accepted it.

    A state holds until the next one. States may contradict each other: ``ended`` followed by
    ``running`` is a scheduler that revises its report.
    """

    states: tuple[tuple[float, State], ...] = ((0.0, ended()),)
    answers: tuple[Answer, ...] = (ACCEPT,)
    """One for each ``submit`` call of a token; the last is used for all further calls."""
    id_after: float = 0.0
    """When the cluster gives the job its id; the handle has none before."""
    visible_after: float = 0.0
    """When polls, ``find`` and ``sweep`` begin to see the job; ``absent`` before."""
    cancelling: Cancelling = Cancelling()
    log: tuple[PrintedLine, ...] = ()
    log_after: float | None = 0.0
    """Seconds from the end until the log can be read to its end; ``None``: never."""


def script(*states: tuple[float, State] | State, **rest: object) -> Script:
    """A script of ``(seconds, state)`` pairs; a bare state begins at 0.

    >>> script(pending("Resources"), (5, running()), (60, ended(3)), id_after=30)  # doctest: +SKIP
    """
    timeline = tuple(
        (0.0, state) if isinstance(state, State) else (float(state[0]), state[1]) for state in states
    )
    return Script(timeline, **rest) if timeline else Script(**rest)  # type: ignore[arg-type]
