"""Several jobs on a real SkyPilot, launched at once and polled together, as in a run."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace

from pytest_clusterjobs.backends.protocol import BackendError
from pytest_clusterjobs.backends.skypilot.client import SkyPilotBackend
from pytest_clusterjobs.devclusters.skypilot import SkyPilotClient
from pytest_clusterjobs.model import Handle
from pytest_clusterjobs.model import Observation
from pytest_clusterjobs.model import Phase
from tests.backends.skypilot.scenarios import Scenario
from tests.backends.skypilot.scenarios import token_of

MINUTES = 25 * 60.0


@dataclass
class Watched:
    """The observations of all jobs."""

    backend: SkyPilotBackend
    handles: dict[str, Handle]
    seen: dict[str, list[Observation]]
    rounds: int
    calls: Counter[str]

    def end(self, name: str) -> Observation:
        return self.seen[token_of(name)][-1]


def watch(
    server: SkyPilotClient,
    backend: SkyPilotBackend,
    scenarios: Mapping[str, Scenario],
    *,
    env: Mapping[str, str],
    at_once: int,
    cancel: Sequence[str],
) -> Watched:
    """Submit and poll as a run does, and carry out the ``harm`` of the scenarios.

    ``cancel`` is the command for it.
    """
    specs = {token_of(name): replace(each.spec(name, {}), env=env) for name, each in scenarios.items()}
    waiting = dict(specs)
    handles: dict[str, Handle] = {}
    seen: dict[str, list[Observation]] = {token: [] for token in specs}
    harms = {token_of(name): scenario.harm for name, scenario in scenarios.items() if scenario.harm}
    deadline = time.monotonic() + MINUTES
    rounds = 0
    while waiting or any(not _has_ended(seen[token]) for token in handles):
        live = {token: handles[token] for token in handles if not _has_ended(seen[token])}
        assert time.monotonic() < deadline, [(token, seen[token][-1:]) for token in live]
        while waiting and len(live) < at_once:
            token, spec = next(iter(waiting.items()))
            del waiting[token]
            live[token] = handles[token] = backend.submit(spec, token)
        try:
            answer = backend.poll(live)
        except BackendError as error:
            print(f"polled again: {error}")
            answer = {}
        rounds += 1
        for token, observation in answer.items():
            handles[token] = observation.handle or handles[token]
            if observation not in seen[token][-1:]:
                seen[token].append(observation)
                print(f"{time.monotonic() - deadline + MINUTES:5.0f} s", specs[token].name, observation)
            if observation.phase is Phase.RUNNING and token in harms:
                _harm(server, harms.pop(token), str(handles[token].job_id), cancel)
        time.sleep(backend.capabilities.min_poll_interval)
    return Watched(backend, handles, seen, rounds, Counter())


def _has_ended(seen: list[Observation]) -> bool:
    return bool(seen) and seen[-1].phase is Phase.ENDED


def _harm(server: SkyPilotClient, harm: str, job_id: str, cancel: Sequence[str]) -> None:
    if harm == "cancel":
        server.run(*cancel, "--yes", job_id)
        return
    for line in server.slurm.run("squeue", "--noheader", "--format=%i %j").splitlines():
        number, _, name = line.partition(" ")
        if f"-{job_id}-" in name:
            server.slurm.run("scancel", number)
