"""Checks of the arguments of calls from Python, made at the call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from dataclasses import replace
from typing import Any

from ..backends.limits import objections
from ..backends.registry import Site
from ..matrix.from_python import check_expectation
from ..matrix.from_python import expectation_of
from ..model import Expectation
from ..model import JobSpec
from ..model.notation import parse_duration
from ..model.text import did_you_mean

_FIELDS = [each.name for each in fields(JobSpec)]
_INSTEAD = {"timeout": "; run() and wait() take it, and max_runtime is the job's own limit"}


def spec_of(spec: JobSpec | str, given: Mapping[str, Any], others: tuple[str, ...]) -> JobSpec:
    """The spec with further fields. ``others`` are the caller's other keywords. Raises TypeError, BadSpec."""
    for name in given:
        if name not in _FIELDS:
            hint = _INSTEAD.get(name) or did_you_mean(name, [*_FIELDS[1:], *others])
            raise TypeError(f"unknown keyword {name!r}{hint}")
    if not isinstance(spec, JobSpec):
        return JobSpec(spec, **given)
    return replace(spec, **given) if given else spec


def checked(spec: JobSpec, site: Site, backend: str) -> JobSpec:
    """The spec, with its mappings copied. Raises SiteError, and ValueError for unsupported features."""
    can, kind, settings = site.capabilities(backend), site.type(backend), site.settings(backend)
    for found in objections(spec, can, backend, kind, settings):
        raise ValueError(f"job spec: {found.told()}")
    # The caller may change its mappings later.
    return replace(spec, env=dict(spec.env), options=dict(spec.options))


def expectation(given: Any, spec: JobSpec) -> Expectation | None:
    """The expectation, from an Expectation or a mapping as in a matrix. Raises TypeError, ValueError."""
    if given is None:
        return None
    if isinstance(given, Mapping):
        given = expectation_of(given)
    if not isinstance(given, Expectation):
        raise TypeError(
            f"expect: expected an Expectation or a mapping, such as {{'reason': 'job_failed'}}, not {given!r:.80}"
        )
    check_expectation(given, spec)
    return given


def text(name: str, value: Any) -> str:
    """Check that ``value`` is a text. Raises TypeError."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected a text, not {value!r:.80}")
    return value


def seconds(name: str, value: Any) -> float | None:
    """Seconds to wait; None means no limit. A text with a unit is read as in a matrix.

    Raises TypeError, ValueError.
    """
    if isinstance(value, str):
        return parse_duration(value)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(
            f"{name}: seconds as a number are needed (60.0), or a text with a unit ('60s'), not {value!r:.80}"
        )
    if not value >= 0:
        raise ValueError(f"{name}: seconds must be 0 or more, not {value}")
    return value


def whole(name: str, value: Any, most: int) -> int:
    """Check that ``value`` is an integer from 0 to ``most``. Raises TypeError, ValueError."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}: expected a whole number, not {value!r:.80}")
    if not 0 <= value <= most:
        raise ValueError(f"{name}: a whole number from 0 to {most} is needed, not {value}")
    return value
