"""Mistakes in a job that are found before anything is submitted; boto3 itself does not check these limits."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...model import JobSpec
from ...model.token import STAND_IN
from ..protocol import Unset
from .options import problems as option_problems
from .request import definition_of
from .request import MAX_OVERRIDES_BYTES
from .request import MAX_REQUEST_BYTES
from .request import overrides
from .request import request
from .request import RESERVED_OVERRIDES_BYTES
from .request import size
from .settings import AwsBatchSettings

MAX_TAGS = 50
"""The most tags of one job."""

MIN_MEMORY_BYTES = 4 << 20

_TAG = re.compile(r"[\w .:/=+@-]*")


def problems(spec: JobSpec, settings: AwsBatchSettings) -> Iterator[str | Unset]:
    """The features of this spec that AWS Batch would reject or does not support, and missing site settings.

    Each message is one line.
    """
    wrong: list[str | Unset] = [*_unset(spec, settings), *option_problems(spec.options, nodes=spec.nodes)]
    yield from wrong
    if spec.nodes == 1 and settings.container and spec.image is None and not definition_of(spec, settings):
        yield "image: required, because the site settings have no job_definition"
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
    if memory is not None and memory < MIN_MEMORY_BYTES:
        yield "resources.memory: AWS Batch requires at least 4MiB"
    for name in spec.env:
        if name.startswith("AWS_BATCH"):
            yield f"env: {name}: AWS reserves names that begin with AWS_BATCH"


def _secrets(spec: JobSpec, settings: AwsBatchSettings) -> Iterator[str]:
    for name in spec.secrets:
        if name not in settings.secrets:
            yield (
                f"secrets: {name} has no ARN under secrets in the site settings; a value in the request"
                " would be visible to all users with the right to DescribeJobs"
            )
        if name in spec.env:
            yield f"secrets: {name} is also under env: remove one of the two"


def _sizes(spec: JobSpec, settings: AwsBatchSettings) -> Iterator[str]:
    arguments = request(spec, STAND_IN, settings=settings)
    limit = MAX_OVERRIDES_BYTES - RESERVED_OVERRIDES_BYTES
    needed = size(overrides(arguments))
    if needed > limit:
        yield (
            f"command (run, args, setup and the sentinel) and env take {needed} bytes, AWS Batch allows {limit}"
            f" (of {MAX_OVERRIDES_BYTES}, its own variables take the rest): move long scripts into the image,"
            " or download them in setup"
        )
    elif size(arguments) > MAX_REQUEST_BYTES:
        yield (
            f"the request takes {size(arguments)} bytes, AWS Batch allows {MAX_REQUEST_BYTES}:"
            " use fewer tags or parameters"
        )
    tags = arguments["tags"]
    if len(tags) > MAX_TAGS:
        yield f"tags: there are {len(tags)}, AWS Batch allows {MAX_TAGS} (3 of them are set by this backend)"
    for name, value in tags.items():
        if not (0 < len(name) <= 128 and len(value) <= 256 and _TAG.fullmatch(name + value)):
            yield (
                f"tags: {name!r:.60} is not a valid tag: use letters, digits, spaces and _.:/=+-@,"
                " at most 128 characters for a name and 256 for a value"
            )
