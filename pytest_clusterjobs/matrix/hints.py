"""Keys of other tools, and what to write here instead."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence
from difflib import get_close_matches

from pydantic import BaseModel

from ..model.text import did_you_mean
from ..model.text import quoted
from .model import Document
from .model import ExpectModel
from .model import Fragment
from .model import LogModel
from .model import MetricModel
from .model import Override
from .model import ResourcesModel

_STOP_EARLY = "stop early with pytest -x or --maxfail=N"
_LIMIT_JOBS = "limit how many jobs run at once with --cluster-max-jobs or --cluster-max-nodes"
_AXES = "axes are written at the top level: recipes, nodes, conditions, and axes for more"
_LIMIT = "use max_runtime (the job) or marks: [{timeout: SECONDS}] (the test)"
_RETRY = "use infra_retries (new attempts after infrastructure failures) or max_restarts (inside an attempt)"
_ORDER = "cells do not depend on each other; put what must run first into setup"
_RUN = "the command is `run`"
_RESOURCES = "it belongs under resources: {gpus, cpus, memory}"
_OPTIONS = "options of one backend belong under options: {BACKEND: {...}}"
_MARKS = "it is a mark: marks: [...]"
_EXPECT = "it belongs under expect"
_ONLY = "use only or exclude"
_SITE = "it belongs at the top level, or use --cluster-backend NAME"

HINTS = {
    "fail_fast": _STOP_EARLY,
    "maxfail": _STOP_EARLY,
    "max_parallel": _LIMIT_JOBS,
    "parallel": _LIMIT_JOBS,
    "parallelism": _LIMIT_JOBS,
    "concurrency": _LIMIT_JOBS,
    "max_jobs": _LIMIT_JOBS,
    "matrix": _AXES,
    "strategy": _AXES,
    "parametrize": _AXES,
    "parameters": _AXES,
    "params": _AXES,
    "variables": "use env, or axes to run each value",
    "timeout": _LIMIT,
    "timeout_minutes": _LIMIT,
    "timeout_seconds": _LIMIT,
    "time_limit": _LIMIT,
    "walltime": _LIMIT,
    "time": _LIMIT,
    "retries": _RETRY,
    "retry": _RETRY,
    "max_retries": _RETRY,
    "reruns": _RETRY,
    "needs": _ORDER,
    "depends_on": _ORDER,
    "dependencies": _ORDER,
    "command": _RUN,
    "cmd": _RUN,
    "script": _RUN,
    "steps": _RUN,
    "executable": _RUN,
    "environment": "use env",
    "gpus": _RESOURCES,
    "cpus": _RESOURCES,
    "memory": _RESOURCES,
    "mem": _RESOURCES,
    "partition": _OPTIONS,
    "queue": _OPTIONS,
    "account": _OPTIONS,
    "slurm": _OPTIONS,
    "num_nodes": "node counts are the axis `nodes` at the top level",
    "nodes": "node counts are the axis `nodes` at the top level",
    "skip": _MARKS,
    "skipif": _MARKS,
    "xfail": _MARKS,
    "tags": _MARKS,
    "markers": _MARKS,
    "allow_failure": "use marks: [{xfail: REASON}]",
    "continue_on_error": "use marks: [{xfail: REASON}]",
    "exit_code": _EXPECT,
    "reason": _EXPECT,
    "expected": _EXPECT,
    "if": _ONLY,
    "when": _ONLY,
    "backend": _SITE,
    "image_name": "use image",
    "cwd": "use workdir",
    "working_directory": "use workdir",
    "extends": "use defaults, or a YAML anchor under a top-level x- key",
    "jobs": "use recipes",
    "tests": "use recipes",
    "name": "the name is the key under recipes",
}


_EXAMPLES = {
    "axes": "SEED: [1, 2]",
    "classify": "[{exit_code: 42, reason: start_failed}]",
    "env": "{NAME: value}",
    "options": "{slurm: {partition: big}}",
    "reasons": "{diverged: product}",
    "resources": "{gpus: 4, memory: 64GiB}",
    "translate": "{cluster_stop: cancelled}",
}


def example(path: Sequence[object]) -> str:
    """End of a message about the shape of the value at ``path``: an example with the right shape."""
    shown = _EXAMPLES.get(str(path[-1])) if path else None
    return f", such as {shown}" if shown else ""


def allowed_place(key: str, model: type[BaseModel], above: Sequence[str]) -> str:
    """Where a key that a model does not have is allowed; empty if nowhere."""
    if key in Fragment.model_fields and issubclass(model, Document):
        return f"{key} belongs in a recipe or a condition, or under defaults for all"
    if key in Fragment.model_fields:
        return f"{key} belongs next to {next((each for each in reversed(above) if not each.isdigit()), '')}"
    if key in Document.model_fields:
        return f"{key} belongs at the top level"
    return next((place for inner, place in _ALLOWED_PLACES if key in inner.model_fields), "")


_ALLOWED_PLACES: tuple[tuple[type[BaseModel], str], ...] = (
    (Override, "it belongs in an entry of overrides"),
    (ExpectModel, "it belongs under expect"),
    (ResourcesModel, "it belongs under resources"),
    (LogModel, "it belongs under expect: {log: {...}}"),
    (MetricModel, "it belongs under expect: {metrics: {NAME: {...}}}"),
)


def unknown_key(key: str, known: Iterable[str], *, allowed_place: str = "") -> str:
    """The message for a key that is not allowed here; ``allowed_place`` is the place where it is."""
    known_keys = list(known)
    normalized = key.lower().replace("-", "_")
    if normalized in HINTS and normalized not in known_keys:
        return f"unknown key {quoted(key)}: {HINTS[normalized]}"
    if allowed_place:
        return f"unknown key {quoted(key)}: {allowed_place}"
    hint = did_you_mean(key, known_keys)
    close = get_close_matches(normalized[:100], HINTS, n=1, cutoff=0.8)
    if close and "did you mean" not in hint:
        hint = f": {HINTS[close[0]]}"
    return f"unknown key {quoted(key)}{hint}"
