"""``expect`` to a typed expectation, with its defaults; and what could never be met."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from typing import Literal

from ..jobs import Classification
from ..jobs import COMMAND_ENDED
from ..jobs import Expectation
from ..jobs import LogExpectation
from ..jobs import MetricExpectation
from ..jobs import Range
from ..jobs import Reason
from ..jobs import REASON_CLASSES

ANY = "any"
Codes = tuple[int, ...] | Literal["nonzero"] | None
_SIGNAL_CODES = range(129, 193)


def expectation(said: Mapping[str, Any]) -> Expectation:
    """The expectation of a merged ``expect``; defaults apply where nothing is said."""
    reasons, codes = _end(said.get("reason"), said.get("exit_code"))
    log = said.get("log", {})
    return Expectation(
        reasons=reasons,
        exit_codes=codes,
        restarts=said.get("restarts"),
        run_time=said.get("run_time"),
        heartbeats=said.get("heartbeats"),
        log=LogExpectation(**{key: tuple(texts) for key, texts in log.items()}),
        metrics={name: _metric(metric) for name, metric in said.get("metrics", {}).items()},
    )


def _codes(said: list[int | str]) -> Codes:
    """The exit codes; ``None`` if 0 and all others are fine."""
    if "nonzero" in said:
        return None if 0 in said else "nonzero"
    return tuple(dict.fromkeys(code for code in said if isinstance(code, int)))


def _end(said: list[str] | None, exit_code: list[int | str] | None) -> tuple[tuple[str, ...] | None, Codes]:
    codes = None if exit_code is None else _codes(exit_code)
    if said is None:
        return (Expectation().reasons, (0,)) if exit_code is None else (_implied(codes), codes)
    if ANY in said:
        return None, codes
    reasons = tuple(dict.fromkeys(said))
    if exit_code is None and reasons == (Reason.JOB_COMPLETED,):
        codes = (0,)
    return tuple(_plain(reason) for reason in reasons), codes


def _implied(codes: Codes) -> tuple[str, ...]:
    """The reasons that a lone exit code can go with."""
    if codes is None:
        return (Reason.JOB_COMPLETED, Reason.JOB_FAILED)
    if codes == "nonzero":
        return (Reason.JOB_FAILED,)
    completed = (Reason.JOB_COMPLETED,) if 0 in codes else ()
    failed = (Reason.JOB_FAILED,) if any(codes) else ()
    signalled = (Reason.KILLED_BY_SIGNAL,) if any(code in _SIGNAL_CODES for code in codes) else ()
    return (*completed, *failed, *signalled)


def _plain(reason: str) -> str:
    return Reason(reason) if reason in REASON_CLASSES else reason


def _metric(said: Mapping[str, Any]) -> MetricExpectation:
    below, above = said.get("tolerance", (None, None))
    fields = {key: value for key, value in said.items() if key != "tolerance"}
    return MetricExpectation(**{"pattern": "", **fields}, tolerance_below=below, tolerance_above=above)


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong with a merged fragment."""

    path: tuple[str, ...]
    """The key at fault."""
    message: str
    missing: bool = False
    """Something that should be said is not, or is only misspelt."""
    harmless: bool = False
    """Worth a warning only."""


def contradictions(
    expect: Expectation,
    classify: Classification,
    heartbeat_timeout: float | None,
    max_runtime: float,
    max_restarts: int,
) -> Iterator[Flaw]:
    """What can never be met."""
    if not classify.may_count_restarts and not _reachable(expect.restarts, max_restarts):
        message = f"expect.restarts: {expect.restarts} can never be met: max_restarts is {max_restarts}"
        yield Flaw(("expect", "restarts"), message, missing=True)
    for message in _impossible_codes(expect):
        yield Flaw(("expect", "exit_code"), f"expect.exit_code: {message}")
    hidden = heartbeat_timeout is not None and heartbeat_timeout >= max_runtime
    never = (heartbeat_timeout is None or hidden) and not classify.may_say(Reason.HEARTBEAT_TIMEOUT)
    if never and expect.reasons == (Reason.HEARTBEAT_TIMEOUT,):
        why = "max_runtime strikes before it" if hidden else "heartbeat_timeout is not set"
        message = f"expect.reason: heartbeat_timeout can never be the reason: {why}"
        yield Flaw(("expect", "reason"), message, missing=True)
    elif hidden and Reason.MAX_RUNTIME_REACHED not in (expect.reasons or ()):
        message = "heartbeat_timeout is not below max_runtime, so it never strikes"
        yield Flaw(("heartbeat_timeout",), message, missing=True, harmless=True)
    for name, metric in expect.metrics.items():
        for message in _metric_problems(metric):
            yield Flaw(("expect", "metrics", name), f"expect.metrics.{name}: {message}", missing=True)


def _reachable(wanted: Range | None, most: int) -> bool:
    """Whether a count from 0 to ``most`` is wanted."""
    return wanted is None or any(number in wanted for number in range(most + 1))


def _impossible_codes(expect: Expectation) -> Iterator[str]:
    codes = expect.exit_codes
    if codes is None or expect.reasons is None:
        return
    for reason in expect.reasons:
        if reason in REASON_CLASSES and reason not in COMMAND_ENDED:
            yield f"a job that ends as {reason} has no exit code of its own; drop exit_code"
        elif not _compatible(reason, codes):
            yield f"{reason} never goes with this exit code"


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
    tolerant = metric.tolerance_below is not None or metric.tolerance_above is not None
    if not metric.pattern:
        yield "a metric needs a pattern: 'loss={number}'"
    if metric.reference is not None and not tolerant:
        yield "reference needs a tolerance: 5%, -5% or -5%..+20%"
    if tolerant and not metric.reference:
        yield "tolerance needs a reference other than 0"
    if metric.min is not None and metric.max is not None and metric.min > metric.max:
        yield "min is above max"
