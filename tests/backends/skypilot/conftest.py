from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest


@pytest.fixture(scope="session")
def sky(require: Callable[[str], str]) -> None:
    """SkyPilot is installed, or the test is skipped; where CLUSTERJOBS_REQUIRE names it, it fails."""
    require("sky")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import sky.jobs  # noqa: F401
