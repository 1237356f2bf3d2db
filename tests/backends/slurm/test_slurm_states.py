"""Every state and every reason of Slurm has a place: nothing is an end that is none, and no word is
guessed."""

from __future__ import annotations

import pytest

from pytest_clusterjobs.backends.slurm.states import end_hint
from pytest_clusterjobs.backends.slurm.states import HINTS
from pytest_clusterjobs.backends.slurm.states import is_held_after_failure
from pytest_clusterjobs.backends.slurm.states import pending_hint
from pytest_clusterjobs.backends.slurm.states import phase_of
from pytest_clusterjobs.backends.slurm.states import PHASES
from pytest_clusterjobs.backends.slurm.states import Status
from pytest_clusterjobs.backends.slurm.states import status_of
from pytest_clusterjobs.model import Phase
from pytest_clusterjobs.model import Reason

# The pages of squeue and sacct, from Slurm 22.05 to 25.05.
ENDS = {
    "BOOT_FAIL": Reason.NODE_FAILED,
    "CANCELLED": Reason.CANCELLED,
    "COMPLETED": None,
    "DEADLINE": Reason.MAX_RUNTIME_REACHED,
    "FAILED": None,
    "LAUNCH_FAILED": Reason.START_FAILED,
    "NODE_FAIL": Reason.NODE_FAILED,
    "OUT_OF_MEMORY": Reason.OUT_OF_MEMORY,
    "PREEMPTED": Reason.PREEMPTED,
    "RECONFIG_FAIL": Reason.NODE_FAILED,
    "REVOKED": Reason.CANCELLED,
    "TIMEOUT": Reason.MAX_RUNTIME_REACHED,
}
ALIVE = [
    "CONFIGURING",
    "COMPLETING",
    "PENDING",
    "POWER_UP_NODE",
    "REQUEUED",
    "REQUEUE_FED",
    "REQUEUE_HOLD",
    "RESIZING",
    "RESV_DEL_HOLD",
    "RUNNING",
    "SIGNALING",
    "SPECIAL_EXIT",
    "STAGE_OUT",
    "STOPPED",
    "SUSPENDED",
    "UPDATE_DB",
    "EXPEDITING",
]


def hint(
    state: str, reason: str = "", status: str = "0:0", derived: str = "0:0", started: bool = True
) -> Reason | None:
    return end_hint(state, reason, status_of(status), status_of(derived), started=started)


def test_the_table_is_complete() -> None:
    assert PHASES.keys() == {*ENDS, *ALIVE}
    assert HINTS.keys() <= ENDS.keys()


@pytest.mark.parametrize("state", sorted(ENDS))
def test_an_end_has_its_reason(state: str) -> None:
    assert phase_of(state, on_nodes=True) is Phase.ENDED
    assert hint(state) is ENDS[state]


@pytest.mark.parametrize("state", ALIVE)
def test_a_live_state_is_not_an_end(state: str) -> None:
    assert phase_of(state, on_nodes=False) in (Phase.PENDING, Phase.RUNNING)


@pytest.mark.parametrize("state", ["NEW_IN_SLURM_99", "", "?"])
def test_an_unknown_state_is_not_an_end(state: str) -> None:
    assert phase_of(state, on_nodes=True) is Phase.RUNNING
    assert phase_of(state, on_nodes=False) is Phase.PENDING
    assert hint(state) is None


def test_the_state_of_sacct_may_name_a_user() -> None:
    assert phase_of("CANCELLED by 1000", on_nodes=True) is Phase.ENDED
    assert hint("CANCELLED by 1000") is Reason.CANCELLED


@pytest.mark.parametrize(
    ("text", "code", "signal", "exit_code"),
    [
        ("768", 3, 0, 3),
        ("3:0", 3, 0, 3),
        ("9", 0, 9, 137),
        ("0:9", 0, 9, 137),
        ("0", 0, 0, 0),
        ("36608", 143, 0, 143),
    ],
)
def test_codes_as_squeue_and_sacct_give_them(text: str, code: int, signal: int, exit_code: int) -> None:
    status = status_of(text)
    assert status == Status(code, signal)
    assert status is not None and status.exit_code == exit_code


@pytest.mark.parametrize("text", ["", "N/A", "x:y", "3:", "-1"])
def test_an_invalid_code_is_none(text: str) -> None:
    assert status_of(text) is None


def test_out_of_memory_is_never_inferred_from_137() -> None:
    assert hint("FAILED", "NonZeroExitCode", "256", "253") is Reason.OUT_OF_MEMORY, "0:125 of a step"
    assert hint("FAILED", "NonZeroExitCode", "1:0", "0:125") is Reason.OUT_OF_MEMORY
    assert hint("FAILED", "NonZeroExitCode", "137:0", "137:0") is None
    assert hint("FAILED", "JobLaunchFailure", "0:9") is None


def test_a_script_that_could_not_be_started() -> None:
    assert hint("FAILED", "JobLaunchFailure", "0:53") is Reason.START_FAILED
    assert hint("FAILED", "JobLaunchFailure", "53") is Reason.START_FAILED


def test_ends_of_jobs_that_never_started() -> None:
    assert hint("DEADLINE", "DeadLine", "1:0", started=False) is Reason.QUEUE_TIMEOUT
    assert hint("FAILED", "BadConstraints", "1:0", started=False) is Reason.REJECTED
    assert hint("FAILED", "NonZeroExitCode", "1:0", started=True) is None
    assert hint("CANCELLED", "DependencyNeverSatisfied", started=False) is Reason.DEPENDENCY_FAILED


@pytest.mark.parametrize(
    "reason",
    [
        "AccountNotAllowed",
        "BadConstraints",
        "InvalidAccount",
        "InvalidQOS",
        "MaxMemPerLimit",
        "PartitionConfig",
        "PartitionNodeLimit",
        "PartitionTimeLimit",
        "QOSNotAllowed",
        "ReservationDeleted",
        "QOSMaxWallDurationPerJobLimit",
        "QOSMaxNodePerJobLimit",
        "QOSMaxCpuPerJobLimit",
        "QOSMaxMemoryPerJob",
        "QOSMaxGRESPerNode",
        "QOSMinGRES",
        "QOSMinCpuNotSatisfied",
        "AssocMaxCpuPerJobLimit",
        "AssocMaxWallDurationPerJobLimit",
        "AssocMaxMemPerJob",
    ],
)
def test_a_job_that_can_never_start_is_rejected(reason: str) -> None:
    assert pending_hint(reason) is Reason.REJECTED


@pytest.mark.parametrize(
    "reason",
    [
        *[
            "None",
            "Priority",
            "Resources",
            "BeginTime",
            "Dependency",
            "JobHeldUser",
            "JobHeldAdmin",
            "JobArrayTaskLimit",
            "Licenses",
        ],
        *[
            "PartitionDown",
            "PartitionInactive",
            "Reservation",
            "QOSMaxJobsPerUserLimit",
            "AssocMaxJobsLimit",
            "QOSGrpCpuLimit",
        ],
        *[
            "QOSMaxCpuPerUserLimit",
            "AssocGrpCPUMinutesLimit",
            "AssocGrpMemLimit",
            "NodeDown",
            "Prolog",
            "ReqNodeNotAvail",
        ],
        "ReqNodeNotAvail, UnavailableNodes:node[7-8]",
        "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions",
        "launch failed requeued held",
        "",
    ],
)
def test_a_reason_that_may_pass_is_not_a_hint(reason: str) -> None:
    assert pending_hint(reason) is None


def test_a_dependency_that_failed() -> None:
    assert pending_hint("DependencyNeverSatisfied") is Reason.DEPENDENCY_FAILED


@pytest.mark.parametrize(
    ("state", "reason", "restarts", "held"),
    [
        ("PENDING", "launch failed requeued held", 1, True),
        ("PENDING", "launch_failed_requeued_held", 0, True),
        ("PENDING", "JobHeldAdmin", 1, True),
        ("PENDING", "JobHeldAdmin", 0, False),
        ("PENDING", "JobHeldUser", 0, False),
        ("PENDING", "JobHeldUser", 1, False),
        ("PENDING", "job requeued in held state", 1, False),
        ("PENDING", "BeginTime", 1, False),
        ("RUNNING", "launch failed requeued held", 1, False),
        ("FAILED", "JobLaunchFailure", 0, False),
    ],
)
def test_a_hold_by_slurm_differs_from_a_hold_by_the_user(
    state: str, reason: str, restarts: int, held: bool
) -> None:
    assert is_held_after_failure(state, reason, restarts) is held
