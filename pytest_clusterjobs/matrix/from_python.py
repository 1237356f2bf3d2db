"""``expect`` from Python code: a mapping as in a matrix, or an Expectation that no matrix has checked."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

import yaml

from ..judge.naming import metric_capture
from ..judge.patterns import BadPattern
from ..judge.patterns import line_pattern
from ..model import ANY
from ..model import BadExpectation
from ..model import Classification
from ..model import Expectation
from ..model import JobSpec
from ..model import REASON_CLASSES
from .errors import MatrixErrors
from .errors import Reporter
from .expectations import contradictions
from .expectations import expectation
from .load import read_text
from .model import Fragment
from .nodes import Map
from .synonyms import unknown_reason
from .validate import validate


def expectation_of(given: Mapping[str, Any]) -> Expectation:
    """The expectation that a matrix would read from ``given``.

    Raises ValueError with the messages of a matrix, TypeError for values that YAML cannot express.
    """
    reporter = Reporter()
    try:
        text = yaml.safe_dump({"expect": _yaml_value(given)}, allow_unicode=True)
    except yaml.YAMLError as error:
        raise TypeError(f"expect: a matrix has no form for {error.args[-1]!r:.80}") from None
    raw = read_text(text, "expect", reporter)
    model = validate(Fragment, raw, reporter).model if isinstance(raw, Map) else None
    try:
        reporter.raise_errors()
    except MatrixErrors as errors:
        raise ValueError("; ".join(problem.message for problem in errors.problems)) from None
    assert model is not None
    expect, semantic_errors = expectation(_without_nulls(model.explicit_fields()["expect"]))
    if semantic_errors:
        raise ValueError("; ".join(error.message for error in semantic_errors))
    return expect


def check_expectation(expect: Expectation, spec: JobSpec) -> None:
    """Raise ValueError for an expectation that no job with this spec can meet."""
    problems = [*_problems(expect)]
    limits = (spec.heartbeat_timeout, spec.max_runtime, spec.max_restarts)
    semantic_errors = (
        each for each in contradictions(expect, Classification(), *limits) if not each.is_warning
    )
    if messages := [
        *(str(BadExpectation([each])) for each in problems),
        *(error.message for error in semantic_errors),
    ]:
        raise ValueError("; ".join(messages))


def _problems(expect: Expectation) -> Iterator[tuple[tuple[str, ...], str]]:
    for reason in expect.reasons or ():
        if reason != ANY and reason not in REASON_CLASSES:
            yield ("reason",), unknown_reason(reason, [*map(str, REASON_CLASSES)])
    for pattern in expect.log.matches:
        try:
            line_pattern(pattern)
        except BadPattern as error:
            yield ("log", "matches"), str(error)
    for name, metric in expect.metrics.items():
        try:
            if not metric_capture(metric.pattern).group:
                yield (
                    ("metrics", name),
                    "the pattern does not mark the number: write {number} in its place, as in 'loss={number}'",
                )
        except BadPattern as error:
            yield ("metrics", name), str(error)


def _yaml_value(value: Any) -> Any:
    """A value in the types of YAML."""
    if isinstance(value, Mapping):
        return {_yaml_value(key): _yaml_value(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_yaml_value(each) for each in value]
    if isinstance(value, (set, frozenset)):
        return sorted(map(_yaml_value, value), key=str)
    return str(value) if isinstance(value, str) else value


def _without_nulls(value: Any) -> Any:
    """The value without its null entries."""
    if isinstance(value, Mapping):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    return value
