"""What the fixture ``clusterjobs`` gives a Python test."""

from __future__ import annotations

import pytest

from ..for_show import WHY_NOTHING_KEY
from ..settings import settings_of
from . import FIXTURE
from .jobs import Jobs
from .links import Link

LINK_KEY = pytest.StashKey[Link]()


def jobs_of(request: pytest.FixtureRequest) -> Jobs:
    """What the requesting test submits jobs with; they are told apart by its node id."""
    config = request.config
    if getattr(config.option, "setuponly", False):
        pytest.skip("--setup-only submits nothing")
    if (why := config.stash.get(WHY_NOTHING_KEY, None)) is not None:
        pytest.skip(why)
    link = config.stash.get(LINK_KEY, None)
    if link is None:
        pytest.fail(
            f"the fixture {FIXTURE!r} has to be among the arguments of a test or of its fixtures,"
            " so that pytest knows before it runs anything",
            pytrace=False,
        )
    settings = settings_of(config)
    node: pytest.Item = request.node
    path, line, _ = node.location
    return Jobs(
        link,
        settings.site,
        owner=node.nodeid,
        path=path,
        line=(line or 0) + 1,
        backend=settings.backend or "local",
    )
