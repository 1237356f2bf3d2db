"""From ``expect`` to a typed expectation, with its defaults; and expectations that no job can meet."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..model import BadExpectation
from ..model import Classification
from ..model import Expectation
from ..model import LogExpectation
from ..model import MetricExpectation
from ..model import Range
from ..model import Reason


@dataclass(frozen=True, slots=True)
class SemanticError:
    """A mistake in a merged fragment."""

    path: tuple[str, ...]
    """The key at which the mistake is."""
    message: str
    is_missing: bool = False
    """Whether a required value is missing, which another mistake may explain."""
    is_warning: bool = False
    """Whether it is only reported as a warning."""


def expectation(content: Mapping[str, Any]) -> tuple[Expectation, list[SemanticError]]:
    """The expectation of a merged ``expect``, without parts that no job can meet; and errors for those."""
    given: dict[str, Any] = {
        "reasons": content.get("reason"),
        "exit_codes": content.get("exit_code"),
        "restarts": content.get("restarts"),
        "run_time": content.get("run_time"),
        "heartbeats": content.get("heartbeats"),
        "log": LogExpectation(**content.get("log", {})),
        "metrics": {name: _metric(metric) for name, metric in content.get("metrics", {}).items()},
    }
    try:
        return Expectation(**given), []
    except BadExpectation as error:
        errors = [_semantic_error(place, problem) for place, problem in error.problems]
        wrong = {_FIELDS.get(place[0], place[0]) for place, _ in error.problems}
        return Expectation(**{name: value for name, value in given.items() if name not in wrong}), errors


_FIELDS = {"exit_code": "exit_codes"}


def _semantic_error(place: tuple[str, ...], problem: str) -> SemanticError:
    return SemanticError(
        ("expect", *place), f"expect.{'.'.join(place)}: {problem}", is_missing=place[0] == "metrics"
    )


def _metric(content: Mapping[str, Any]) -> MetricExpectation:
    below, above = content.get("tolerance", (None, None))
    fields = {key: value for key, value in content.items() if key != "tolerance"}
    return MetricExpectation(**{"pattern": "", **fields}, tolerance_below=below, tolerance_above=above)


def contradictions(
    expect: Expectation,
    classify: Classification,
    heartbeat_timeout: float | None,
    max_runtime: float,
    max_restarts: int,
) -> Iterator[SemanticError]:
    """Expectations that no job can meet."""
    if not classify.may_count_restarts and not _reachable(expect.restarts, max_restarts):
        message = f"expect.restarts: {expect.restarts} can never be met: max_restarts is {max_restarts}"
        yield SemanticError(("expect", "restarts"), message, is_missing=True)
    hidden = heartbeat_timeout is not None and heartbeat_timeout >= max_runtime
    never = (heartbeat_timeout is None or hidden) and not classify.may_give(Reason.HEARTBEAT_TIMEOUT)
    if never and expect.reasons == (Reason.HEARTBEAT_TIMEOUT,):
        why = "max_runtime ends the job first" if hidden else "heartbeat_timeout is not set"
        message = f"expect.reason: heartbeat_timeout can never be the reason: {why}"
        yield SemanticError(("expect", "reason"), message, is_missing=True)
    elif hidden and Reason.MAX_RUNTIME_REACHED not in (expect.reasons or ()):
        message = "heartbeat_timeout is not below max_runtime, so it never ends a job"
        yield SemanticError(("heartbeat_timeout",), message, is_missing=True, is_warning=True)


def _reachable(wanted: Range | None, most: int) -> bool:
    """Whether a range contains a count from 0 to ``most``."""
    return wanted is None or any(number in wanted for number in range(most + 1))
