"""What the processes of one history share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path

from ...engine import messages as m
from ...engine.core import Core
from ...engine.liveness import STALE_AFTER_SECONDS
from ...engine.secrets import Secrets
from .cells import SimulatedCell
from .disk import Disk
from .driver import describe
from .driver import SimulatedDriver
from .executor import Delays
from .facts import Violation
from .network import NetworkFaults
from .oracle import Oracle
from .process import Process
from .recorder import RecordedCluster
from .recorder import Recorder
from .rng import Rng
from .world import World

RUN_ID = "20260101t000000-000000"
BACKEND = "sim"
_NO_FOLDER = Path("/simulated")
_secrets: list[Secrets] = []


def no_secrets() -> Secrets:
    """The secrets of a run without any; one object for the worker, because it reads a folder."""
    if not _secrets:
        _secrets.append(Secrets(_NO_FOLDER))
    return _secrets[0]


@dataclass(slots=True)
class Trace:
    """The events and commands of a history: their number, and a digest of all."""

    events: int = 0
    is_shown: bool = False
    """Whether they are also noted in the timeline."""
    _turns: list[tuple[float, str, str, str, Sequence[object]]] = field(default_factory=list)

    def watch(self, core: Core, process: Process) -> None:
        """Note each turn of a core."""
        handle, world, name, turns = core.handle, process.world, process.name, self._turns

        def watched(event: m.AnyEvent, now: m.Now) -> object:
            commands = handle(event, now)
            self.events += 1
            turns.append((world.now, name, type(event).__name__, getattr(event, "token", ""), commands))
            if self.is_shown and (commands or not isinstance(event, m.Tick)):
                world.note(name, f"> {describe(event)}")
                for command in commands:
                    world.note(name, f"    {describe(command)}")
            return commands

        core.handle = watched  # type: ignore[method-assign,assignment]

    def digest(self, world: World) -> str:
        """A digest of the timeline, the events and the commands."""
        lines = [
            f"{at!r} {name} {event} {token} {[type(each).__name__ for each in commands]}"
            for at, name, event, token, commands in self._turns
        ]
        found = hashlib.sha256("\n".join(lines).encode())
        if not self.is_shown:
            found.update("\n".join([f"{at!r} {kind} {text}" for at, kind, text in world.timeline]).encode())
        return found.hexdigest()


@dataclass(slots=True)
class Scene:
    """The world of a history, and what happens in it."""

    world: World
    rng: Rng
    cells: list[SimulatedCell]
    cluster: RecordedCluster
    network: NetworkFaults
    disk: Disk
    oracle: Oracle
    recorder: Recorder
    trace: Trace
    delays: Callable[[str], Delays]
    processes: list[Process] = field(default_factory=list)
    working: int = 0
    """How many processes have something left to do, and how many are planned."""
    last_session: int = 0
    """The number in the ledger of the last session that has begun."""
    owner: Process | None = None
    """The process of that session, until it ends."""
    broken: list[Violation] = field(default_factory=list)
    """What the harness itself finds wrong."""
    drivers: dict[str, SimulatedDriver] = field(default_factory=dict)
    """Of the processes that are at work, by name."""

    def process(self, name: str) -> Process:
        """A new process."""
        found = Process(self.world, f"{name} {len(self.processes) + 1}", len(self.processes) + 1)
        self.processes.append(found)
        return found

    def is_free(self, owner: dict[str, object] | None) -> bool:
        """Whether the process that a ledger names as the owner is gone, or shows no sign of life."""
        if owner is None:
            return True
        process = self.processes[int(str(owner["pid"])) - 1]
        is_stale = process.stopped and self.world.now - process.stopped_at > STALE_AFTER_SECONDS
        return is_stale or not process.alive

    def owned_by(self, process: Process) -> None:
        """A session has begun on the run."""
        before = self.owner
        if before is not None and not self.is_free({"pid": before.number}):
            self.fail("a", f"{process.name} has begun while {before.name} was at work")
        self.owner = process
        self.oracle.on_session(self.world.now)

    def fail(self, rule: str, text: str) -> None:
        """Report a violation."""
        self.broken.append(Violation(rule, text))
