"""The object that the fixture ``clusterjobs`` gives to a Python test."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from ..api.errors import UnmetExpectation
from ..api.jobs import Jobs
from ..api.run_client import RunClient
from ..model.paths import legible
from .collect_only import WHY_NOTHING_KEY
from .hookimpls import FIXTURE
from .settings import settings_of

LINK_KEY = pytest.StashKey[RunClient]()
JOBS_KEY = pytest.StashKey[Jobs]()


def jobs_of(request: pytest.FixtureRequest) -> Jobs:
    """The ``Jobs`` of the requesting test. Its node id identifies its jobs."""
    config = request.config
    if getattr(config.option, "setuponly", False):
        pytest.skip("--setup-only submits nothing")
    if (why := config.stash.get(WHY_NOTHING_KEY, None)) is not None:
        pytest.skip(why)
    link = config.stash.get(LINK_KEY, None)
    if link is None:
        pytest.fail(
            f"the fixture {FIXTURE!r} must be an argument of the test or of one of its fixtures,"
            " because the run starts before the first test",
            pytrace=False,
        )
    settings = settings_of(config)
    node: pytest.Item = request.node
    path, line, _ = node.location
    jobs = node.stash[JOBS_KEY] = Jobs(
        link,
        settings.run_config.site,
        owner=legible(node.nodeid),
        path=legible(path),
        line=(line or 0) + 1,
        backend=settings.backend or "local",
    )
    return jobs


class Expectations:
    """Fails a test if the expectation of one of its jobs is unmet."""

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, None, None]:
        """Check the jobs of a test that has passed so far against their expectations."""
        yield
        jobs = item.stash.get(JOBS_KEY, None)
        if jobs is not None:
            failure = None
            try:
                jobs.check()
            except UnmetExpectation as error:
                failure = str(error)
            if failure is not None:  # not in the except block: pytest would print the text of both exceptions
                pytest.fail(failure, pytrace=False)
