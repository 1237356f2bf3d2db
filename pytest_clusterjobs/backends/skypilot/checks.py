"""What can be known to be wrong with a job before anything is submitted: by us, and by SkyPilot's own reading of its task."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from ...jobs import JobSpec
from ...jobs.token import STAND_IN
from ..protocol import BackendError
from .options import merged
from .options import problems as option_problems
from .settings import Settings
from .task import accelerator
from .task import task


def problems(spec: JobSpec, settings: Settings) -> Iterator[str]:
    """What of this spec SkyPilot would refuse, or could not do, one line each."""
    wrong = [*option_problems(settings.task, "task in the site settings"), *option_problems(spec.options)]
    yield from wrong
    for name in sorted({*spec.env, *spec.secrets}):
        if name.startswith("SKYPILOT_"):
            yield f"env: {name}: names that begin with SKYPILOT_ are SkyPilot's own"
    if wrong:
        return
    resources = merged(settings.task, spec.options).get("resources", {})
    if spec.resources.gpus and not accelerator(resources):
        yield (
            "resources.gpus: SkyPilot wants to know which: set options.skypilot.resources.accelerators"
            " to a name such as H100, how many is taken from here"
        )
        return
    if find_spec("sky") is not None:
        config = task(spec, STAND_IN, settings=settings, rootdir=Path.cwd())
        # The command, the cell's name and its variables are no matter of opinion: most cells are one task to SkyPilot.
        config.update(run="true", envs={})
        if refusal := _refusal(json.dumps(config, sort_keys=True, default=str)):
            yield f"options.skypilot: {refusal}"


@cache
def _refusal(config: str) -> str:
    from .sdk import Sky

    try:
        Sky(answer_timeout=60.0).check(json.loads(config))
    except BackendError as error:
        return str(error)
    return ""
