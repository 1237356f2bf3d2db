"""The engine on a scripted cluster, with a clock that jumps whenever all threads wait for it."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytest_clusterjobs.backends.protocol import Capabilities
from pytest_clusterjobs.backends.registry import Site
from pytest_clusterjobs.engine.config import RunConfig
from pytest_clusterjobs.engine.run import Engine
from pytest_clusterjobs.ledger.ledger import Ledger
from pytest_clusterjobs.model import Cell
from pytest_clusterjobs.model import Expectation
from pytest_clusterjobs.model import JobSpec
from pytest_clusterjobs.model.records import Registration
from pytest_clusterjobs.model.records import Result
from pytest_clusterjobs.testing.clock import ManualClock
from pytest_clusterjobs.testing.scripted import ScriptedBackend
from pytest_clusterjobs.testing.scripts import Script

RUN = "20260101t000000-abcdef"


def entry(
    name: str,
    *,
    expect: Expectation | None = None,
    infra_retries: int = 0,
    test_timeout: float | None = None,
    reruns: int = 0,
    **spec: Any,
) -> Registration:
    """A cell called ``name`` for the scripted cluster; further fields are the job spec's."""
    cell = Cell(
        id=name,
        line=1,
        axes={"recipe": name, "nodes": str(spec.get("nodes", 1)), "condition": "c"},
        backend="scripted",
        spec=JobSpec("true", name=name, **spec),
        expect=expect or Expectation(),
        infra_retries=infra_retries,
    )
    return Registration(f"m.yaml::{name}", "m.yaml", cell, test_timeout, reruns)


class EngineRig:
    """An engine, its ledger and its cluster; weeks pass in milliseconds."""

    def __init__(
        self,
        path: Path,
        scripts: Mapping[str, Script | Sequence[Script]],
        *,
        capabilities: Capabilities | None = None,
        **config: Any,
    ) -> None:
        """``config``: further fields of the run's configuration."""
        self.clock = ManualClock()
        self.ledger = Ledger(path)
        self.backend = ScriptedBackend(self.clock, scripts, capabilities=capabilities)
        self.config = RunConfig(path.parent, Site(), clock=self.clock, **config)
        self.engine = Engine(self.config, RUN, self.ledger, lambda name: self.backend)

    @property
    def results(self) -> dict[str, Result]:
        """The results that the engine has published, by key."""
        known = [entry.key for _, entry in self.ledger.registrations()]
        return {key: result for key in known if (result := self.engine.result(key)) is not None}

    def until_live(self, jobs: int) -> None:
        """Let time pass, within ``clock.auto()``, until the cluster has ``jobs`` live jobs."""
        while len(self.backend.live()) < jobs:
            self.engine.next_result(1.0)

    def finish(self, *entries: Registration, limit: float = 7 * 86400.0) -> dict[str, Result]:
        """Run the cells to their ends; returns results by cell id, in the order of their ends."""
        results: dict[str, Result] = {}
        with self.clock.auto(limit):
            self.engine.add(entries)
            while len(results) < len(entries):
                result = self.engine.next_result(86400.0)
                if result is not None:
                    results[result.key.rpartition("::")[2]] = result
            self.engine.close(60.0)
        return results


@contextmanager
def engine_rig(
    path: Path, scripts: Mapping[str, Script | Sequence[Script]], **options: Any
) -> Iterator[EngineRig]:
    """An EngineRig whose ledger at ``path`` is closed at the end."""
    rig = EngineRig(path, scripts, **options)
    try:
        yield rig
    finally:
        rig.ledger.close()
