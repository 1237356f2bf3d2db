"""Checking a job spec that no matrix has checked."""

from __future__ import annotations

from dataclasses import fields

from pydantic import TypeAdapter
from pydantic import ValidationError

from ..backends.limits import objections
from ..backends.registry import Site
from ..jobs import CELL_ID
from ..jobs import JobSpec

_SPEC: TypeAdapter[JobSpec] = TypeAdapter(JobSpec)


def checked(spec: JobSpec, site: Site, backend: str) -> JobSpec:
    """The spec with every field of its type. Raises ValueError in one line, UnknownBackend."""
    try:
        spec = _SPEC.validate_python({field.name: getattr(spec, field.name) for field in fields(spec)})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"job spec: {where}: {first['msg']}, not {first['input']!r:.80}") from None
    _check_ranges(spec)
    can, kind, settings = site.capabilities(backend), site.type(backend), site.settings(backend)
    for found in objections(spec, can, backend, kind, settings):
        raise ValueError(f"job spec: {found.told()}")
    return spec


def _check_ranges(spec: JobSpec) -> None:
    if not CELL_ID.fullmatch(spec.name):
        raise ValueError(f"job spec: name: {spec.name!r:.80} is not within [A-Za-z0-9._+-]")
    if not spec.run.strip():
        raise ValueError("job spec: run: there is nothing to run")
    if spec.nodes < 1:
        raise ValueError(f"job spec: nodes: at least 1, not {spec.nodes}")
    for name in ("heartbeat_timeout", "max_runtime", "queue_timeout"):
        value = getattr(spec, name)
        if value is not None and not value > 0:
            raise ValueError(f"job spec: {name}: more than 0 seconds, not {value:g}")
    for name in ("grace_period", "max_restarts"):
        if getattr(spec, name) < 0:
            raise ValueError(f"job spec: {name}: at least 0, not {getattr(spec, name):g}")
