from __future__ import annotations

import os
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pytest_clusterjobs.devclusters.skypilot import SkyPilotClient
from pytest_clusterjobs.devclusters.skypilot import SkyPilotServer
from tests.system.processes import skipped_without

ENABLING_VARIABLE = "CLUSTERJOBS_SKYPILOT"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip these tests unless they are requested, because a server takes a minute and some gigabytes."""
    if not os.environ.get(ENABLING_VARIABLE):
        for item in items:
            if item.get_closest_marker("skypilot") is not None:
                item.add_marker(
                    pytest.mark.skip(reason=f"takes minutes; set {ENABLING_VARIABLE}=1 to run it")
                )


@pytest.fixture(scope="session")
def skypilot_options(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Options of all servers: packages of earlier sessions, and the tests' folders on the nodes."""
    cache = pytestconfig.cache
    assert cache is not None
    return {
        "cache": Path(cache.mkdir("skypilot-packages")),
        "visible": [tmp_path_factory.getbasetemp().parent],
    }


@pytest.fixture(scope="session")
def server(
    require: Callable[[str], str],
    tmp_path_factory: pytest.TempPathFactory,
    skypilot_options: dict[str, Any],
) -> Iterator[SkyPilotClient]:
    """A SkyPilot on 2 nodes that all workers of this session share: tests must not damage it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "sky"
    with ExitStack() as stack:
        with skipped_without(require):
            server = stack.enter_context(SkyPilotServer.shared(folder, **skypilot_options))
        yield server


@pytest.fixture
def fresh_server(
    require: Callable[[str], str], skypilot_options: dict[str, Any]
) -> Iterator[Callable[..., SkyPilotServer]]:
    """Start a server for one test, which may damage it; options are SkyPilotServer's (1 node)."""
    with ExitStack() as stack:

        def start(**options: Any) -> SkyPilotServer:
            with skipped_without(require):
                server = SkyPilotServer(**{"nodes": 1, **skypilot_options, **options})
            return stack.enter_context(server)

        yield start
