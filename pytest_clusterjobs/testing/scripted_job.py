"""One job of a scripted cluster: its observation at any moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..model import Handle
from ..model import JobSpec
from ..model import NodeState
from ..model import Observation
from ..model import Phase
from ..model import SentinelReport
from ..model import SentinelWord
from ..model import Times
from .scripts import Script
from .scripts import State


@dataclass(slots=True)
class ScriptedJob:
    """A job of the scripted cluster."""

    token: str
    spec: JobSpec
    script: Script
    number: int
    accepted: float
    """``clock.monotonic()``."""
    cancelled: float | None = None

    def state(self, now: float) -> State:
        """The state at ``now``."""
        return self._timeline(now)[-1][1]

    def ended(self, now: float) -> float | None:
        """When it ended, if its state at ``now`` is an end."""
        timeline = self._timeline(now)
        if timeline[-1][1].phase is not Phase.ENDED:
            return None
        at = timeline[-1][0]
        for when, state in reversed(timeline):
            if state.phase is not Phase.ENDED:
                break
            at = when
        return at

    def live(self, now: float) -> bool:
        """Whether it holds, or will hold, capacity."""
        return self.ended(now) is None

    def observe(self, now: float, epoch: float) -> Observation | None:
        """The result of a poll at ``now``; ``epoch`` converts the clock's seconds to those of the epoch."""
        if now < self.accepted + self.script.visible_after:
            return Observation(Phase.ABSENT)
        timeline = self._timeline(now)
        state = timeline[-1][1]
        if state.phase is None:
            return None
        if state.phase is Phase.ABSENT:
            return Observation(Phase.ABSENT)
        restarts = sum(each.native_reason == "restarted" for _, each in timeline)
        restarts = restarts if state.restarts is None else state.restarts
        return Observation(
            state.phase,
            times=state.times or self._times(timeline, now, epoch),
            native_state=state.native_state,
            native_reason=state.native_reason,
            reason_hint=state.reason_hint,
            exit_code=state.exit_code,
            nodes=self._nodes(state, restarts),
            restarts=restarts,
            suspended=state.suspended,
            log_complete=self.log_complete(now),
            handle=self.handle(now),
        )

    def handle(self, now: float) -> Handle:
        """The handle as known at ``now``."""
        known = now >= self.accepted + self.script.id_after
        return Handle(str(self.number) if known else None, {"token": self.token})

    def log_complete(self, now: float) -> bool:
        """Whether the log can be read to its end at ``now``."""
        end = self.ended(now)
        return end is not None and self.script.log_after is not None and now >= end + self.script.log_after

    def log(self, now: float, node: int) -> str:
        """The readable part of one node's log at ``now``; an incomplete log lacks its last line."""
        end = self.ended(now)
        until = now if end is None else end
        lines = [
            each.text for each in self.script.log if each.node == node and self.accepted + each.after <= until
        ]
        if end is not None and not self.log_complete(now):
            lines = lines[:-1]
        return "".join(lines)

    def _timeline(self, now: float) -> list[tuple[float, State]]:
        passed = [
            (self.accepted + after, state)
            for after, state in self.script.states
            if self.accepted + after <= now
        ]
        timeline = passed or [(self.accepted, State(Phase.PENDING, "PENDING"))]
        struck = self._struck()
        if struck is None or now < struck:
            return timeline
        if any(state.phase is Phase.ENDED for when, state in timeline if when < struck):
            return timeline
        before = [(when, state) for when, state in timeline if when < struck]
        return [*before, (struck, self.script.cancelling.then)]

    def _struck(self) -> float | None:
        after = self.script.cancelling.after
        return None if self.cancelled is None or after is None else self.cancelled + after

    def _times(self, timeline: Sequence[tuple[float, State]], now: float, epoch: float) -> Times:
        started = next((when for when, state in timeline if state.phase is Phase.RUNNING), None)
        end = self.ended(now)
        if started is None and timeline[-1][1].exit_code is not None:
            started = end
        return Times(
            epoch + self.accepted,
            None if started is None else epoch + started,
            None if end is None else epoch + end,
        )

    def _nodes(self, state: State, restarts: int) -> tuple[NodeState, ...]:
        if state.nodes is not None or state.phase is not Phase.ENDED:
            return state.nodes or ()
        return tuple(_node(rank, state, restarts) for rank in range(self.spec.nodes))


def _node(rank: int, state: State, restarts: int) -> NodeState:
    if state.word is None:
        return NodeState(rank, state.exit_code, begun=True)
    own = state.exit_code if state.word is SentinelWord.EXITED else None
    report = SentinelReport(state.word, rank, own, restarts)
    return NodeState(rank, state.exit_code, report=report)
