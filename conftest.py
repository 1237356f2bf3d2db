from __future__ import annotations

import os
import shutil
from collections.abc import Callable

import pytest

pytest_plugins = ["pytester"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """An example of a hook on cells: jobs that need GPUs are skipped on the local backend."""
    for item in items:
        cell = getattr(item, "cell", None)
        if cell is not None and cell.backend == "local" and cell.spec.resources.gpus:
            item.add_marker(pytest.mark.skip(reason="the local backend does not provide GPUs"))


@pytest.fixture(scope="session")
def require() -> Callable[[str], str]:
    """Return a function that returns a program's path. It skips the test if the program is not installed.

    It fails the test instead if ``CLUSTERJOBS_REQUIRE`` names the program. CI sets it to the programs that
    it has installed (``busybox,dash``), so that no test is skipped there unnoticed.
    """
    required = os.environ.get("CLUSTERJOBS_REQUIRE", "").split(",")

    def path_of(program: str) -> str:
        path = shutil.which(program)
        if path is None and program in required:
            pytest.fail(f"{program} is not on PATH, although CLUSTERJOBS_REQUIRE names it")
        if path is None:
            pytest.skip(f"{program} is not installed")
        return path

    return path_of
