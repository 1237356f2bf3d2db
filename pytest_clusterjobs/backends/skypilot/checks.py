"""Mistakes in a job that are found before it is submitted, here or when SkyPilot parses its task."""

from __future__ import annotations

import json
from collections.abc import Iterator
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ...model import JobSpec
from ...model.token import STAND_IN
from ..protocol import BackendError
from .options import IN_CLUSTER
from .options import merged
from .options import OPTIONS
from .options import problems as option_problems
from .settings import SkyPilotSettings
from .task import accelerator
from .task import task

PARSE_TIMEOUT_SECONDS = 60.0
"""Seconds in which SkyPilot must parse a task."""


def problems(spec: JobSpec, settings: SkyPilotSettings) -> Iterator[str]:
    """The features of this spec that SkyPilot would reject or does not support, one line each."""
    wrong = [
        *_of_fragment(settings.task, settings, "task in the site settings"),
        *_of_fragment(spec.options, settings),
    ]
    yield from wrong
    for name in sorted({*spec.env, *spec.secrets}):
        if name.startswith("SKYPILOT_"):
            yield f"env: {name}: SkyPilot reserves names that begin with SKYPILOT_"
    if wrong:
        return
    resources = merged(settings.task, spec.options).get("resources", {})
    if spec.resources.gpus and not accelerator(resources):
        yield (
            "resources.gpus: SkyPilot needs the type of the GPUs: set options.skypilot.resources.accelerators"
            " to a name such as H100, without a number"
        )
        return
    if find_spec("sky") is not None:
        config = task(spec, STAND_IN, settings=settings, rootdir=Path.cwd())
        # SkyPilot does not check the command, the cell's name and its variables. Without them most cells have
        # the same task, which is checked once.
        config.update(run="true", envs={})
        if error := _parse_error(json.dumps(config, sort_keys=True, default=str)):
            yield f"options.skypilot: {error}"


def _of_fragment(
    fragment: Mapping[str, Any], settings: SkyPilotSettings, where: str = "options.skypilot"
) -> Iterator[str]:
    yield from option_problems(fragment, where)
    if settings.cluster is not None:
        for name in sorted(fragment.keys() & OPTIONS - IN_CLUSTER):
            instead = ": use setup of the matrix" if name == "setup" else ""
            yield f"{where}: {name} has no effect on a job of a running cluster{instead}"


@cache
def _parse_error(config: str) -> str:
    from .modes import ManagedJobs
    from .sdk import Sky

    try:
        Sky(ManagedJobs(), response_timeout=PARSE_TIMEOUT_SECONDS).check(json.loads(config))
    except BackendError as error:
        return str(error)
    return ""
