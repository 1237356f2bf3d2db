"""Processes of the tests on real systems: wait for their effects, find them, start pytest."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from pytest_clusterjobs.devclusters import Missing


@contextmanager
def skipped_without(require: Callable[[str], str]) -> Iterator[None]:
    """Skip if a program of a cluster is missing, or fail if CLUSTERJOBS_REQUIRE names it."""
    try:
        yield
    except Missing as missing:
        require(missing.program)
        pytest.skip(str(missing))


def until(condition: Callable[[], bool], seconds: float = 60.0, pause: float = 0.05) -> None:
    """Wait until ``condition()`` holds; fails after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"the condition is still false after {seconds:g} s"
        time.sleep(pause)


def processes(folder: Path, *words: str) -> list[int]:
    """The processes that have the folder's path and these words in their arguments or environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            text = (path / "cmdline").read_bytes() + b"\0" + (path / "environ").read_bytes()
        except OSError:
            continue
        if int(path.name) != os.getpid() and all(word.encode() in text for word in (str(folder), *words)):
            found.append(int(path.name))
    return found


def start_pytest(folder: Path, environment: Mapping[str, str], *arguments: str) -> subprocess.Popen[str]:
    """Start pytest in ``folder``, with these variables in addition to those of this process."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        env={**inherited, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
