"""Checks of the arguments of calls from Python, made at the call."""

from __future__ import annotations

import os
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import fields
from dataclasses import replace
from pathlib import Path
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
_HINTS = {"timeout": "; run() and wait() take it, and max_runtime is the job's own limit"}


def keywords(given: Iterable[str], others: Collection[str]) -> None:
    """Check that keywords are fields of a spec, or ``others`` that the call takes. Raises TypeError."""
    for name in given:
        if name not in _FIELDS and name not in others:
            hint = _HINTS.get(name) or did_you_mean(name, [*_FIELDS[1:], *others])
            raise TypeError(f"unknown keyword {name!r}{hint}")


def spec_of(spec: JobSpec | str, given: Mapping[str, Any]) -> JobSpec:
    """The spec with further fields. Raises TypeError, ValueError."""
    if isinstance(spec, JobSpec):
        return replace(spec, **given) if given else spec
    if "run" in given:
        raise TypeError("run: the first argument already is the command: write one of them")
    return JobSpec(spec, **given)


def checked(spec: JobSpec, site: Site, backend: str) -> JobSpec:
    """The spec, with its mappings copied. Raises SiteError, and ValueError for unsupported features."""
    can, kind, settings = site.capabilities(backend), site.type(backend), site.settings(backend)
    for found in objections(spec, can, backend, kind, settings):
        raise ValueError(f"job spec: {found.message()}")
    for option in spec.options:
        if option not in kind.options:
            hint = did_you_mean(option, sorted(kind.options)) if kind.options else "; it has no options"
            raise ValueError(f"job spec: options: unknown option {option!r} of backend {backend!r}{hint}")
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


def path(name: str, value: Any) -> Path:
    """Check that ``value`` is a path. Raises TypeError."""
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{name}: expected a path, not {value!r:.80}")
    return Path(value)


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
        try:
            return parse_duration(value)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(
            f"{name}: expected seconds as a number (60.0), or a text with a unit ('60s'), not {value!r:.80}"
        )
    if not value >= 0:
        raise ValueError(f"{name}: expected at least 0 seconds, not {value}")
    return value


def whole(name: str, value: Any, least: int, most: int) -> int:
    """Check that ``value`` is an integer from ``least`` to ``most``. Raises TypeError, ValueError."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}: expected a whole number, not {value!r:.80}")
    if not least <= value <= most:
        raise ValueError(f"{name}: expected a whole number from {least} to {most}, not {value}")
    return value
