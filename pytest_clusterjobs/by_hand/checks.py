"""Checking what Python code submits, at the call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from dataclasses import replace
from typing import Any

from ..backends.limits import objections
from ..backends.registry import Site
from ..jobs import JobSpec
from ..matrix.errors import did_you_mean

_FIELDS = [each.name for each in fields(JobSpec)]


def spec_of(spec: JobSpec | str, given: Mapping[str, Any], others: tuple[str, ...]) -> JobSpec:
    """The spec with further fields. Raises TypeError, BadSpec; ``others`` are keywords that the caller takes besides."""
    for name in given:
        if name not in _FIELDS:
            hint = did_you_mean(name, [*_FIELDS[1:], *others])
            raise TypeError(f"unknown keyword {name!r}{hint}")
    if not isinstance(spec, JobSpec):
        return JobSpec(spec, **given)
    return replace(spec, **given) if given else spec


def checked(spec: JobSpec, site: Site, backend: str) -> JobSpec:
    """The spec, with mappings of its own. Raises ValueError for what the backend cannot do, UnknownBackend."""
    can, kind, settings = site.capabilities(backend), site.type(backend), site.settings(backend)
    for found in objections(spec, can, backend, kind, settings):
        raise ValueError(f"job spec: {found.told()}")
    # The caller may go on to change what it gave.
    return replace(spec, env=dict(spec.env), options=dict(spec.options))


def whole(name: str, value: Any, most: int) -> int:
    """A whole number from 0 on. Raises TypeError, ValueError."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}: a whole number is needed, not {value!r:.80}")
    if not 0 <= value <= most:
        raise ValueError(f"{name}: from 0 to {most}, not {value}")
    return value
