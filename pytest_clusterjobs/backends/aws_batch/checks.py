"""Mistakes in a job that can be found before anything is submitted. boto3 itself checks no range of these."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...model import JobSpec
from ...model.token import STAND_IN
from ..protocol import Unset
from .options import problems as option_problems
from .request import definition_of
from .request import MAX_OVERRIDES
from .request import MAX_REQUEST
from .request import overrides
from .request import request
from .request import RESERVED
from .request import size
from .settings import AwsBatchSettings

MAX_TAGS = 50
MIN_MEMORY = 4 << 20
"""Bytes."""

_TAG = re.compile(r"[\w .:/=+@-]*")


def problems(spec: JobSpec, settings: AwsBatchSettings) -> Iterator[str | Unset]:
    """The features of this spec that AWS Batch would reject or does not support, and missing site settings.

    Each message is one line.
    """
    wrong: list[str | Unset] = [*_unset(spec, settings), *option_problems(spec.options, nodes=spec.nodes)]
    yield from wrong
    if spec.nodes == 1 and settings.container and spec.image is None and not definition_of(spec, settings):
        yield "image: is needed, the site settings have no job_definition"
    yield from _ranges(spec)
    yield from _secrets(spec, settings)
    if not wrong:
        yield from _sizes(spec, settings)


def _unset(spec: JobSpec, settings: AwsBatchSettings) -> Iterator[Unset]:
    """The values that neither the site settings nor the options of the job give."""
    if not settings.queue and "jobQueue" not in spec.options:
        yield Unset("queue", "or jobQueue under options.aws-batch")
    if not definition_of(spec, settings) and "jobDefinition" not in spec.options:
        if spec.nodes > 1:
            yield Unset(
                "multinode_job_definition", "for several nodes, or jobDefinition under options.aws-batch"
            )
        elif not settings.container:
            yield Unset("job_definition", "for one node, or jobDefinition under options.aws-batch")


def _ranges(spec: JobSpec) -> Iterator[str]:
    memory = spec.resources.memory
    if memory is not None and memory < MIN_MEMORY:
        yield "resources.memory: AWS Batch wants at least 4MiB"
    for name in spec.env:
        if name.startswith("AWS_BATCH"):
            yield f"env: {name}: names that begin with AWS_BATCH are AWS's own"


def _secrets(spec: JobSpec, settings: AwsBatchSettings) -> Iterator[str]:
    for name in spec.secrets:
        if name not in settings.secrets:
            yield (
                f"secrets: {name} has no ARN under secrets in the site settings; a value in the request"
                " could be read by everybody who may describe jobs"
            )
        if name in spec.env:
            yield f"secrets: {name} stands under env as well"


def _sizes(spec: JobSpec, settings: AwsBatchSettings) -> Iterator[str]:
    arguments = request(spec, STAND_IN, settings=settings)
    room = MAX_OVERRIDES - RESERVED
    needed = size(overrides(arguments))
    if needed > room:
        yield (
            f"command (run, args, setup, and the sentinel) and env take {needed} bytes of the {room} that AWS Batch's limit"
            f" ({MAX_OVERRIDES}) leaves: put what is long into the image, or fetch it in setup"
        )
    elif size(arguments) > MAX_REQUEST:
        yield f"the request takes {size(arguments)} bytes, AWS Batch takes {MAX_REQUEST}: fewer tags or parameters"
    tags = arguments["tags"]
    if len(tags) > MAX_TAGS:
        yield f"tags: there are {len(tags)}, a job has {MAX_TAGS} at most (3 of them are ours)"
    for name, value in tags.items():
        if not (0 < len(name) <= 128 and len(value) <= 256 and _TAG.fullmatch(name + value)):
            yield f"tags: {name!r:.60}: letters, digits, spaces and _.:/=+-@ only, 128 and 256 characters"
