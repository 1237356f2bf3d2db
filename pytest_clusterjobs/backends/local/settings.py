"""The site settings of a local backend."""

from __future__ import annotations

import os
from typing import Annotated

from pydantic import Field

from ..protocol import Capabilities
from ..settings import MustBe
from ..settings import SiteSettings


def default_slots() -> int:
    """The number of node slots if the settings give none."""
    return max(16, os.cpu_count() or 1)


class LocalSettings(SiteSettings):
    """The settings of a site."""

    slots: Annotated[int, Field(ge=1), MustBe("a whole number of at least 1")] = Field(
        default_factory=default_slots
    )
    """How many nodes of jobs run at the same time."""


def capabilities(settings: LocalSettings) -> Capabilities:
    """The capabilities with these settings; a job needs a slot for each node."""
    return Capabilities(
        ids_per_poll=10_000,
        submit_threads=4,
        min_poll_interval=0.2,
        max_nodes=settings.slots,
        remedies={"max_nodes": "raise slots in its site settings"},
    )
