from __future__ import annotations

import os
import shutil
from collections.abc import Callable

import pytest

pytest_plugins = ["pytester"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A user's own hook on cells, as an example: no GPU jobs on a machine that has none to give."""
    for item in items:
        cell = getattr(item, "cell", None)
        if cell is not None and cell.backend == "local" and cell.spec.resources.gpus:
            item.add_marker(pytest.mark.skip(reason="this machine has no GPUs to give"))


@pytest.fixture(scope="session")
def require() -> Callable[[str], str]:
    """The path of a program; without it the test is skipped, or fails where CLUSTERJOBS_REQUIRE names it.

    CI sets ``CLUSTERJOBS_REQUIRE=busybox,dash`` to what it has installed: a test that is skipped there
    for the want of one would otherwise pass unnoticed.
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
