"""What a cell expects of its job's end."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from typing import Any
from typing import get_args
from typing import Literal
from typing import TYPE_CHECKING

from .reasons import COMMAND_ENDED
from .reasons import Reason
from .reasons import REASON_CLASSES
from .text import quoted

ANY = "any"
"""In place of reasons: accepts every reason of the product class."""

_REASON = re.compile(r"[a-z][a-z0-9_]*")
_SIGNAL_CODES = range(129, 193)
Codes = tuple[int, ...] | Literal["nonzero"] | None
Place = tuple[str, ...]
"""A key of ``expect`` as a matrix has it: ``("exit_code",)``, ``("metrics", "sps")``."""


class BadExpectation(ValueError):
    """An expectation that no job can meet.

    ``problems`` are pairs of a key of ``expect``, as in a matrix, and a message.
    """

    def __init__(self, problems: Sequence[tuple[Place, str]]) -> None:
        super().__init__(problems)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "; ".join(f"expect.{'.'.join(place)}: {problem}" for place, problem in self.problems)


@dataclass(frozen=True, slots=True)
class Range:
    """An interval that includes its bounds; ``None`` leaves a side unbounded.

    The unit is that of the bounded value: seconds for ``run_time``, else a count. Raises ValueError.
    """

    low: float | None = None
    high: float | None = None
    low_open: bool = False
    """Whether ``low`` itself is excluded."""
    high_open: bool = False
    """Whether ``high`` itself is excluded."""
    text: str = ""
    """The range as written in the matrix, for messages."""

    def __post_init__(self) -> None:
        low = -math.inf if self.low is None else self.low
        high = math.inf if self.high is None else self.high
        if not low <= high or (low == high and (self.low_open or self.high_open)):
            raise ValueError(f"a range from {low:g} to {high:g} contains no number")

    def __contains__(self, value: float) -> bool:
        """Whether ``value`` is in the range; NaN never is."""
        if value != value:
            return False
        if self.low is not None and (value <= self.low if self.low_open else value < self.low):
            return False
        return not (self.high is not None and (value >= self.high if self.high_open else value > self.high))

    def __str__(self) -> str:
        if self.text:
            return self.text
        low = "" if self.low is None else f"{'>' if self.low_open else '>='}{self.low:g}"
        high = "" if self.high is None else f"{'<' if self.high_open else '<='}{self.high:g}"
        return f"{self.low:g}" if self.low is not None and self.low == self.high else f"{low} {high}".strip()


@dataclass(frozen=True, slots=True)
class LogExpectation:
    """Text that must or must not be in the complete logs of the last start.

    Each field takes a text or several. Raises ValueError.
    """

    contains: tuple[str, ...] = ()
    """Texts that must each be in the log of a rank."""
    excludes: tuple[str, ...] = ()
    """Texts that must not be in the log of any rank."""
    matches: tuple[str, ...] = ()
    """Regular expressions that must each match a line."""

    def __post_init__(self) -> None:
        for name in ("contains", "excludes", "matches"):
            texts = _several(f"log.{name}", getattr(self, name), str, "a text")
            for text in texts:
                if not text.strip():
                    raise ValueError(
                        f"log.{name}: a blank text is in every log: write the text to search for"
                    )
            object.__setattr__(self, name, texts)

    if TYPE_CHECKING:

        def __init__(
            self,
            contains: str | Collection[str] = ...,
            excludes: str | Collection[str] = ...,
            matches: str | Collection[str] = ...,
        ) -> None: ...


Pick = Literal["last", "first", "min", "max", "mean", "median"]


@dataclass(frozen=True, slots=True)
class MetricExpectation:
    """A number that the job prints, and its bounds."""

    pattern: str
    """A regular expression, applied to each line. ``{number}`` or else its first group is the number."""
    pick: Pick = "last"
    """Which of several numbers is compared with the bounds."""
    node: int | None = None
    """The rank whose log is read; ``None`` reads all."""
    min: float | None = None
    max: float | None = None
    reference: float | None = None
    tolerance_below: float | None = None
    """A fraction of ``reference``; ``None`` leaves that side unbounded."""
    tolerance_above: float | None = None


@dataclass(frozen=True, slots=True)
class Expectation:
    """The outcome that a cell must have. Omitted fields have the defaults of ``expect`` in a matrix.

    Without any field: ``job_completed`` with exit code 0. With an exit code only: ``job_completed`` for 0,
    otherwise ``job_failed`` (or ``killed_by_signal``, for codes of signals). With ``job_failed`` only: any
    code. An expected ``heartbeat_timeout`` requires a heartbeat, unless ``heartbeats`` is set. Raises
    TypeError, and BadExpectation (a ValueError) if no job can meet it.
    """

    reasons: tuple[str, ...] | None = None
    """One or several accepted reasons; ``any`` accepts every reason of the product class. Never ``None``
    after the construction."""
    exit_codes: Codes = None
    """One or several accepted exit codes, or ``nonzero``. ``None`` after the construction: any code."""
    restarts: Range | None = None
    """How often the cluster started the job again: a Range or a number."""
    run_time: Range | None = None
    """Seconds from the first start to the end: a Range."""
    heartbeats: Range | None = None
    """How many heartbeats rank 0 sent: a Range or a number."""
    log: LogExpectation = field(default_factory=LogExpectation)
    metrics: Mapping[str, MetricExpectation] = field(default_factory=dict)
    """Numbers that the job prints, by name."""

    if TYPE_CHECKING:

        def __init__(
            self,
            reasons: str | Collection[str] | None = ...,
            exit_codes: int | str | Collection[int | str] | None = ...,
            restarts: Range | int | None = ...,
            run_time: Range | None = ...,
            heartbeats: Range | int | None = ...,
            log: LogExpectation = ...,
            metrics: Mapping[str, MetricExpectation] = ...,
        ) -> None: ...

    def __post_init__(self) -> None:
        reasons, codes = _end(_reasons(self.reasons), self.exit_codes)
        for name, value in (("reasons", reasons), ("exit_codes", codes)):
            object.__setattr__(self, name, value)
        for name in ("restarts", "run_time", "heartbeats"):
            object.__setattr__(self, name, _range(name, getattr(self, name)))
        if not isinstance(self.log, LogExpectation):
            raise TypeError(f"log: expected a LogExpectation, not {self.log!r:.80}")
        for name, metric in self.metrics.items():
            if not isinstance(metric, MetricExpectation):
                raise TypeError(f"metrics.{name}: expected a MetricExpectation, not {metric!r:.80}")
        if problems := list(_problems(self)):
            raise BadExpectation(problems)

    @property
    def accepts_any(self) -> bool:
        """Whether every reason of the product class is accepted."""
        return self.reasons == (ANY,)

    @property
    def needs_logs(self) -> bool:
        """Whether the verdict depends on the job's output."""
        return self.log != LogExpectation() or bool(self.metrics)


def _several(name: str, given: Any, kind: type | tuple[type, ...], one: str) -> tuple[Any, ...]:
    """One value or several as a tuple without duplicates. Raises TypeError."""
    is_several = isinstance(given, (tuple, list, set, frozenset))
    several = tuple(dict.fromkeys(given)) if is_several else (given,)
    for each in several:
        if not isinstance(each, kind) or isinstance(each, bool):
            raise TypeError(f"{name}: {one}, or several, not {each!r:.80}")
    # The order of a set of texts differs between processes.
    return tuple(sorted(several, key=str)) if isinstance(given, (set, frozenset)) else several


def _reasons(given: Any) -> tuple[str, ...] | None:
    if given is None:
        return None
    names = _several("reasons", given, str, "a reason")
    for name in names:
        if not _REASON.fullmatch(name):
            raise ValueError(
                f"reasons: {quoted(name)} is not a valid reason: use lower-case words such as job_failed"
            )
    if not names or (ANY in names and len(names) > 1):
        raise ValueError(
            "reasons: `any` cannot be combined with other reasons"
            if names
            else "reasons: at least one entry is required"
        )
    return tuple(Reason(name) if name in REASON_CLASSES else name for name in names)


def _codes(given: Any) -> Codes:
    """The exit codes; ``None`` if 0 and all others are fine."""
    several = _several("exit_codes", given, (int, str), "a code from 0 to 255 or nonzero")
    codes = tuple(each for each in several if each != "nonzero")
    for code in codes:
        if isinstance(code, str) or not 0 <= code <= 255:
            raise ValueError(f"exit_codes: a code from 0 to 255 or nonzero, not {code!r:.80}")
    if not several:
        raise ValueError("exit_codes: at least one entry is required")
    if len(codes) < len(several):
        return None if 0 in codes else "nonzero"
    return codes


def _end(reasons: tuple[str, ...] | None, given: Any) -> tuple[tuple[str, ...], Codes]:
    """Reasons and codes; each implies a default for the other."""
    codes = None if given is None else _codes(given)
    if reasons is None:
        return ((Reason.JOB_COMPLETED,), (0,)) if given is None else (_implied(codes), codes)
    if codes is None and reasons == (Reason.JOB_COMPLETED,):
        codes = (0,)
    return reasons, codes


def _implied(codes: Codes) -> tuple[str, ...]:
    """The reasons that exit codes without a reason imply."""
    if codes is None:
        return (Reason.JOB_COMPLETED, Reason.JOB_FAILED)
    if codes == "nonzero":
        return (Reason.JOB_FAILED,)
    completed = (Reason.JOB_COMPLETED,) if 0 in codes else ()
    failed = (Reason.JOB_FAILED,) if any(codes) else ()
    signalled = (Reason.KILLED_BY_SIGNAL,) if any(code in _SIGNAL_CODES for code in codes) else ()
    return (*completed, *failed, *signalled)


def _range(name: str, given: Any) -> Range | None:
    if isinstance(given, int) and not isinstance(given, bool) and name != "run_time":
        return Range(given, given)
    if given is not None and not isinstance(given, Range):
        hint = (
            f"; as text it goes into a mapping, expect={{{name!r}: {given!r:.30}}}"
            if isinstance(given, str)
            else ""
        )
        raise TypeError(f"{name}: expected a Range, such as Range(low=1), not {given!r:.80}{hint}")
    return given


def _problems(expect: Expectation) -> Iterator[tuple[Place, str]]:
    """The parts that no job can meet."""
    for problem in _impossible_codes(expect.reasons or (), expect.exit_codes):
        yield ("exit_code",), problem
    for name in ("restarts", "run_time", "heartbeats"):
        wanted: Range | None = getattr(expect, name)
        if wanted is not None and wanted.high is not None and wanted.high < wanted.high_open:
            yield (name,), f"{quoted(wanted)} contains no number"
    for text in expect.log.excludes:
        if any(text in wanted for wanted in expect.log.contains):
            yield ("log", "excludes"), f"{quoted(text)} is part of what the log must contain"
    for name, metric in expect.metrics.items():
        for problem in _metric_problems(metric):
            yield ("metrics", name), problem


def _impossible_codes(reasons: tuple[str, ...], codes: Codes) -> Iterator[str]:
    if codes is None or ANY in reasons:
        return
    for reason in reasons:
        if reason in REASON_CLASSES and reason not in COMMAND_ENDED:
            yield f"a job that ends as {reason} has no exit code of its own: remove exit_code"
        elif not _compatible(reason, codes):
            yield f"{reason} cannot have this exit code"


def _compatible(reason: str, codes: Codes) -> bool:
    if codes is None or codes == "nonzero":
        return reason != Reason.JOB_COMPLETED
    match reason:
        case Reason.JOB_COMPLETED:
            return 0 in codes
        case Reason.JOB_FAILED:
            return any(codes)
        case Reason.KILLED_BY_SIGNAL:
            return any(code in _SIGNAL_CODES for code in codes)
    return True


def _metric_problems(metric: MetricExpectation) -> Iterator[str]:
    tolerances = (metric.tolerance_below, metric.tolerance_above)
    tolerant = tolerances != (None, None)
    if not metric.pattern:
        yield "a metric needs a pattern: 'loss={number}'"
    if metric.pick not in get_args(Pick):
        yield f"pick is one of {', '.join(get_args(Pick))}, not {quoted(metric.pick)}"
    for bound in (metric.min, metric.max, metric.reference, *tolerances):
        if bound is not None and not math.isfinite(bound):
            yield f"expected a finite number, not {bound}"
    if metric.reference is not None and not tolerant:
        yield "reference needs a tolerance: 5%, -5% or -5%..+20%"
    if tolerant and not metric.reference:
        yield "tolerance needs a reference other than 0"
    if metric.min is not None and metric.max is not None and metric.min > metric.max:
        yield "min is above max"
