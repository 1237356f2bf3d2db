"""Replays the recording of a real server as a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pytest_clusterjobs.backends.protocol import BackendContext
from pytest_clusterjobs.backends.protocol import BackendError
from pytest_clusterjobs.backends.skypilot import TYPE
from pytest_clusterjobs.model import Handle
from pytest_clusterjobs.model import Observation
from pytest_clusterjobs.model import Phase
from tests.backends.skypilot.recordings import Replay
from tests.backends.skypilot.recordings import serving
from tests.backends.skypilot.recordings import talk_to
from tests.backends.skypilot.scenarios import RUN
from tests.backends.skypilot.scenarios import Scenario
from tests.backends.skypilot.scenarios import token_of

MAX_ROUNDS = 300


@dataclass(frozen=True)
class Replayed:
    """The observations of all jobs."""

    seen: dict[str, list[Observation]]
    calls: list[str]
    rounds: int


def replayed_of(
    recording: str,
    scenarios: Mapping[str, Scenario],
    settings: Mapping[str, Any],
    folder: Path,
    patch: pytest.MonkeyPatch,
) -> Replayed:
    """Submit the recorded jobs in the same order, and poll until all have ended."""
    replay = Replay(Path(__file__).with_name(recording))
    with serving(replay) as url:
        talk_to(patch, url, {"HOME": str(folder)})
        quick = {"find_settle": 0.0, "teardown": 3600}
        site = TYPE.validate({**quick, **settings})
        backend = TYPE.open(BackendContext("skypilot", RUN, folder, folder, site))
        live: dict[str, Handle] = {
            token_of(name): backend.submit(each.spec(name, {}), token_of(name))
            for name, each in scenarios.items()
        }
        seen: dict[str, list[Observation]] = {token: [] for token in live}
        rounds = 0
        while live and rounds < MAX_ROUNDS:
            rounds += 1
            try:
                answer = backend.poll(live)
            except BackendError:
                continue
            for token, observation in answer.items():
                seen[token].append(observation)
                live[token] = observation.handle or live[token]
                if observation.phase is Phase.ENDED:
                    del live[token]
        assert not live, {token: seen[token][-1:] for token in live}
        return Replayed(seen, replay.calls, rounds)
