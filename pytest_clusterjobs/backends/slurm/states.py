"""Every state and pending reason of Slurm, as phases and reasons."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ...model import Phase
from ...model import Reason

PHASES: Mapping[str, Phase] = {
    # Waiting, for the first time or again.
    "PENDING": Phase.PENDING,
    "CONFIGURING": Phase.PENDING,
    "POWER_UP_NODE": Phase.PENDING,
    "REQUEUED": Phase.PENDING,
    "REQUEUE_FED": Phase.PENDING,
    "REQUEUE_HOLD": Phase.PENDING,
    "RESV_DEL_HOLD": Phase.PENDING,
    "SPECIAL_EXIT": Phase.PENDING,
    "EXPEDITING": Phase.PENDING,
    # On its nodes, or about to leave them.
    "RUNNING": Phase.RUNNING,
    "COMPLETING": Phase.RUNNING,
    "RESIZING": Phase.RUNNING,
    "SIGNALING": Phase.RUNNING,
    "STAGE_OUT": Phase.RUNNING,
    "STOPPED": Phase.RUNNING,
    "SUSPENDED": Phase.RUNNING,
    "UPDATE_DB": Phase.RUNNING,
    # Over.
    "BOOT_FAIL": Phase.ENDED,
    "CANCELLED": Phase.ENDED,
    "COMPLETED": Phase.ENDED,
    "DEADLINE": Phase.ENDED,
    "FAILED": Phase.ENDED,
    "LAUNCH_FAILED": Phase.ENDED,
    "NODE_FAIL": Phase.ENDED,
    "OUT_OF_MEMORY": Phase.ENDED,
    "PREEMPTED": Phase.ENDED,
    "RECONFIG_FAIL": Phase.ENDED,
    "REVOKED": Phase.ENDED,
    "TIMEOUT": Phase.ENDED,
}
"""The phase of each state."""

HINTS: Mapping[str, Reason] = {
    "BOOT_FAIL": Reason.NODE_FAILED,
    "CANCELLED": Reason.CANCELLED,
    "LAUNCH_FAILED": Reason.START_FAILED,
    "NODE_FAIL": Reason.NODE_FAILED,
    "OUT_OF_MEMORY": Reason.OUT_OF_MEMORY,
    "PREEMPTED": Reason.PREEMPTED,
    "RECONFIG_FAIL": Reason.NODE_FAILED,
    "REVOKED": Reason.CANCELLED,
    "TIMEOUT": Reason.MAX_RUNTIME_REACHED,
}
"""Hard facts among the ends. ``COMPLETED`` and ``FAILED`` are not: they only describe the batch script."""

_NEVER_STARTS = re.compile(
    r"AccountNotAllowed|BadConstraints|InvalidAccount|InvalidQOS|MaxMemPerLimit|PartitionConfig|PartitionNodeLimit"
    r"|PartitionTimeLimit|QOSNotAllowed|ReservationDeleted|ReservationInvalid"
    r"|(?:Assoc|QOS)Max\w+Per(?:Job|Node)(?:Limit)?|QOSMin\w+"
)
_SUSPENDED = frozenset({"SUSPENDED", "STOPPED"})
_LAUNCH_FAILED = 53
"""Slurm's "signal" for a batch script that could not be started, for example without an output file."""
_OUT_OF_MEMORY = 125


@dataclass(frozen=True, slots=True)
class Status:
    """How a process ended, in Slurm's notation: its code, or the signal that ended it."""

    code: int = 0
    signal: int = 0

    @property
    def exit_code(self) -> int:
        """The code that a shell would report: 128+n for signal n."""
        return 128 + self.signal if self.signal else self.code

    @property
    def is_out_of_memory(self) -> bool:
        """Whether it was killed for memory, for which Slurm uses a number that no signal has."""
        return self.signal == _OUT_OF_MEMORY

    @property
    def is_launch_failed(self) -> bool:
        """Whether the batch script was never started."""
        return self.signal == _LAUNCH_FAILED


def status_of(text: str) -> Status | None:
    """Read ``CODE:SIGNAL``, or the number that wait(2) gives, as in squeue; ``None`` if it is neither."""
    code, colon, signal = text.partition(":")
    if not code.isdecimal() or (colon and not signal.isdecimal()):
        return None
    if colon:
        return Status(int(code), int(signal))
    return Status(int(code) >> 8 & 0xFF, int(code) & 0x7F)


def phase_of(state: str, *, on_nodes: bool) -> Phase:
    """The phase of a state. An unknown state is not an end; ``on_nodes``: whether the job has nodes."""
    return PHASES.get(_first_word(state), Phase.RUNNING if on_nodes else Phase.PENDING)


def pending_hint(reason: str) -> Reason | None:
    """The hint in a pending job's reason that the job can never start."""
    name = _first_word(reason)
    if name == "DependencyNeverSatisfied":
        return Reason.DEPENDENCY_FAILED
    return Reason.REJECTED if _NEVER_STARTS.fullmatch(name) else None


def is_suspended(state: str) -> bool:
    """Whether a job has nodes, and is suspended on them for now."""
    return _first_word(state) in _SUSPENDED


def is_held_after_failure(state: str, reason: str, restarts: int) -> bool:
    """Whether Slurm itself holds a job because it could not be started; a hold by the user does not count.

    Slurm requeues the job when it holds it, and may drop the reason.
    """
    if PHASES.get(_first_word(state)) is not Phase.PENDING:
        return False
    text = reason.replace("_", " ").lower()
    return text.startswith("launch failed") or (restarts > 0 and text.startswith("jobheldadmin"))


def end_hint(
    state: str, reason: str, status: Status | None, derived: Status | None, *, started: bool
) -> Reason | None:
    """The hard fact in Slurm's report of an end; ``None`` if only the command's own end decides."""
    name = _first_word(state)
    if any(each is not None and each.is_out_of_memory for each in (status, derived)):
        return Reason.OUT_OF_MEMORY
    if name == "CANCELLED" and _first_word(reason) == "DependencyNeverSatisfied":
        return Reason.DEPENDENCY_FAILED
    if name == "DEADLINE":
        return Reason.MAX_RUNTIME_REACHED if started else Reason.QUEUE_TIMEOUT
    if name == "FAILED" and status is not None and status.is_launch_failed:
        return Reason.START_FAILED
    if name == "FAILED" and not started and pending_hint(reason) is not None:
        return pending_hint(reason)
    return HINTS.get(name)


def _first_word(text: str) -> str:
    """The first word: ``CANCELLED by 1000`` and ``ReqNodeNotAvail, UnavailableNodes:n1`` have more."""
    return text.partition(" ")[0].rstrip("+,")
