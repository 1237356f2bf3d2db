"""The conftest.py of a project whose session dies where its environment says.

CRASH_AT is ``WHEN-STEP-N``: before, inside or after the Nth call of a step; inside is before the commit
of a step's transaction, or before the answer to a request that was sent. With CRASH_REAPER the reaper
dies first. CRASH_SLOW stretches every step by up to so many seconds. CRASH_TRACE names a file that
tells which steps were under way when the session died.
"""

from __future__ import annotations

import mmap
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any

from pytest_clusterjobs.backends.command_line.commands import CommandRunner
from pytest_clusterjobs.backends.local import channel
from pytest_clusterjobs.backends.local.client import LocalBackend
from pytest_clusterjobs.backends.slurm.client import SlurmBackend
from pytest_clusterjobs.engine import conclusions
from pytest_clusterjobs.engine import host
from pytest_clusterjobs.engine.core import Core
from pytest_clusterjobs.engine.driver import Driver
from pytest_clusterjobs.engine.reaper import Reaper
from pytest_clusterjobs.engine.run import Engine
from pytest_clusterjobs.engine.tracking import Tracking
from pytest_clusterjobs.ledger.database import Database
from pytest_clusterjobs.ledger.ledger import Ledger

STEPS: dict[str, tuple[type, ...]] = {
    "set_meta": (Ledger,),
    "take_over": (Ledger,),
    "register": (Ledger,),
    "commit": (Ledger,),
    "add_reports": (Ledger,),
    "submit": (LocalBackend, SlurmBackend),
    "find": (LocalBackend, SlurmBackend),
    "poll": (LocalBackend, SlurmBackend),
    "logs": (LocalBackend, SlurmBackend),
    "cancel": (LocalBackend, SlurmBackend),
    "handle": (Core,),
    "_publish": (Driver,),
    "act": (Tracking,),
    "close": (Engine,),
    "release": (Reaper,),
}

WHEN, STEP, COUNT = os.environ.get("CRASH_AT", "never-none-0").split("-")
SLOW = float(os.environ.get("CRASH_SLOW", "0"))

here = threading.local()
calls: Counter[str] = Counter()
lock = threading.Lock()
reapers: list[int] = []


def die() -> None:
    if "CRASH_REAPER" in os.environ:
        for pid in reapers:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()


class Trace:
    """How many calls of each step are under way, in memory that outlives the process."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(len(STEPS)))
        with path.open("r+b") as file:
            self._counts = mmap.mmap(file.fileno(), len(STEPS))

    @contextmanager
    def of(self, number: int) -> Iterator[None]:
        with lock:
            self._counts[number] += 1
        yield
        with lock:
            self._counts[number] -= 1


trace = Trace(Path(os.environ["CRASH_TRACE"])) if "CRASH_TRACE" in os.environ else None


def dawdle() -> None:
    if SLOW:
        time.sleep(random.uniform(0, SLOW))


def crashing(number: int, name: str, ordinary: Any) -> Any:
    def step(*args: Any, **kwargs: Any) -> Any:
        with lock:
            calls[name] += 1
            its_turn = name == STEP and calls[name] == int(COUNT)
        dawdle()
        if its_turn and WHEN == "before":
            die()
        outer = getattr(here, "inside", False)
        here.inside = outer or (its_turn and WHEN == "inside")
        try:
            answer = ordinary(*args, **kwargs)
        finally:
            here.inside = outer
        if its_turn and WHEN == "after":
            die()
        dawdle()
        return answer

    @wraps(ordinary)
    def traced(*args: Any, **kwargs: Any) -> Any:
        if trace is None:
            return step(*args, **kwargs)
        with trace.of(number):
            return step(*args, **kwargs)

    return traced


def dying_transaction(ordinary: Any) -> Any:
    @contextmanager
    def transaction(self: Database, kind: str) -> Iterator[Any]:
        with ordinary(self, kind) as db:
            yield db
            if getattr(here, "inside", False):
                die()

    return transaction


class DyingFuture(Future[Any]):
    """An answer that the session does not live to get."""

    def result(self, timeout: float | None = None) -> Any:
        if getattr(here, "inside", False):
            die()
        return super().result(timeout)


def unanswered(ordinary: Any) -> Any:
    """A scheduler's command that did its work, but whose output the session does not live to read."""

    @wraps(ordinary)
    def run(*args: Any, **kwargs: Any) -> Any:
        done = ordinary(*args, **kwargs)
        if getattr(here, "inside", False):
            die()
        return done

    return run


def remembering(ordinary: Any) -> Any:
    def start_reaper(*args: Any) -> Reaper:
        reaper: Reaper = ordinary(*args)
        reapers.append(reaper._process.pid)
        return reaper

    return start_reaper


for number, (name, owners) in enumerate(STEPS.items()):
    for owner in owners:
        setattr(owner, name, crashing(number, name, getattr(owner, name)))
for module, name, replaced in [
    (Database, "_begin", dying_transaction(Database._begin)),
    (channel, "Future", DyingFuture),
    (CommandRunner, "_run", unanswered(CommandRunner._run)),
    (host, "start_reaper", remembering(vars(host)["start_reaper"])),
    (conclusions, "RETRY_PAUSE_SECONDS", 0.05),
]:
    setattr(module, name, replaced)
