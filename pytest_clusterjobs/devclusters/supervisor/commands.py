"""Run a cluster's commands, and wait for their effects."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence

from .errors import CommandFailed
from .errors import TimedOut

WAIT_POLL_SECONDS = 0.02


def run_command(argv: Sequence[str], *, path: str, env: Mapping[str, str], timeout: float) -> str:
    """Run ``argv`` and return its output; ``path`` is the executable of ``argv[0]``.

    Raises CommandFailed, and TimedOut after ``timeout`` seconds.
    """
    try:
        done = subprocess.run(
            [path, *argv[1:]],
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise TimedOut(f"{' '.join(argv)} took longer than {timeout:.0f} s") from error
    if done.returncode:
        raise CommandFailed(argv, done.returncode, done.stderr or done.stdout)
    return done.stdout


def wait_until(condition: Callable[[], bool], what: str, timeout: float) -> None:
    """Wait until ``condition()`` holds.

    Raises TimedOut, with ``what`` in its message, after ``timeout`` seconds.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimedOut(f"waited {timeout:.0f} s for {what}")
        time.sleep(WAIT_POLL_SECONDS)
