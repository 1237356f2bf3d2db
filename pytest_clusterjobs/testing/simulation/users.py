"""The users' own code in a history: hooks that veto, change a spec, find a mismatch, or end the session."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace

from ...engine.extensions import NoExtensions
from ...engine.extensions import Remark
from ...engine.extensions import Vetoed
from ...model import Cell
from ...model import JobSpec
from ...model import Mismatch
from ...model import Outcome
from ...model.records import Field
from ...model.records import Result
from ...model.records import Ruling
from .cells import FILE
from .recorder import Recorder
from .rng import Rng


@dataclass(slots=True)
class HookFaults:
    """How often the hooks of a history do something. Shares of cells."""

    vetoes: float = 0.0
    changes: float = 0.0
    mismatches: float = 0.0
    rulings: float = 0.0
    exits: float = 0.0
    reads_logs: float = 0.0


class SessionEnded(Exception):
    """The user's code ends the session (``pytest.exit``)."""


class SimulatedHooks(NoExtensions):
    """Hooks that decide by cell and attempt, so that a replayed history has the same."""

    def __init__(self, rng: Rng, faults: HookFaults, recorder: Recorder) -> None:
        self._rng = rng
        self._faults = faults
        self._recorder = recorder

    @property
    def changes_specs(self) -> bool:
        """Whether ``prepare`` may do something."""
        return bool(self._faults.vetoes or self._faults.changes)

    def _draw(self, cell: Cell, what: str) -> Rng:
        return self._rng.split(f"{cell.id} {what}")

    def prepare(self, cell: Cell, attempt: int) -> JobSpec:
        """Veto some attempts, and change the spec of others without an effect on the truth."""
        rng, key = self._draw(cell, f"prepare {attempt}"), f"{FILE}::{cell.id}"
        if rng.chance(self._faults.vetoes):
            self._recorder.fact("hook_refused", key)
            ruling = Ruling("skip", "not now") if rng.chance(0.5) else None
            raise Vetoed("a hook does not want it", ruling)
        if rng.chance(self._faults.changes):
            return replace(cell.spec, env={**cell.spec.env, "CHANGED": "1"})
        return cell.spec

    def check(self, cell: Cell, outcome: Outcome, log: Callable[[int], str]) -> Iterable[Remark]:
        """Find a mismatch, or decide how the item ends."""
        rng, key = self._draw(cell, "check"), f"{FILE}::{cell.id}"
        if rng.chance(self._faults.reads_logs):
            log(0)
        if rng.chance(self._faults.mismatches):
            self._recorder.fact("hook_failed", key)
            # Every call about this cell gets the same answer.
            self._recorder.fact("hook_mismatch", key)
            return [Mismatch("hook", "", "the model has not converged")]
        if rng.chance(self._faults.rulings):
            return [Ruling(rng.pick(("skip", "xfail")), "known")]
        return ()

    def fields(self, cell: Cell, result: Result) -> tuple[Mapping[str, Field], Sequence[Remark]]:
        """Add a field."""
        return {"steps": 7}, ()

    def ended(self, cell: Cell, result: Result) -> Sequence[Remark]:
        """End the session, seldom."""
        if self._draw(cell, "ended").chance(self._faults.exits):
            self.ending = SessionEnded("a hook has called pytest.exit")
            self._recorder.fact("session_stopped", f"{FILE}::{cell.id}")
            return [Ruling("exit", "enough")]
        return ()
