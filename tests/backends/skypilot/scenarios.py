"""Jobs and how they end, on a real SkyPilot in ``tests/system/skypilot`` and from recorded responses here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from typing import Any

from pytest_clusterjobs.judge import outcome
from pytest_clusterjobs.model import Classification
from pytest_clusterjobs.model import JobSpec
from pytest_clusterjobs.model import Observation
from pytest_clusterjobs.model import Outcome
from pytest_clusterjobs.model import Reason
from pytest_clusterjobs.model import Resources
from pytest_clusterjobs.model.token import Token

RUN = "20260101t000000-abcdef"
"""The run of the recording."""


@dataclass(frozen=True)
class Scenario:
    """A job, and its end."""

    run: str
    reason: Reason
    exit_code: int | None = None
    restarts: int = 0
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of its JobSpec."""
    harm: str = ""
    """What happens to it while it runs: ``cancel`` or ``preempt``."""

    def spec(self, name: str, options: Mapping[str, Any]) -> JobSpec:
        """Its spec; ``options`` apply to all jobs."""
        given = {"max_runtime": 300.0, "grace_period": 1.0, **self.fields}
        given["options"] = {**options, **given.get("options", {})}
        return JobSpec(self.run, name=name, **given)


LIMITED = {"max_runtime": 3.0}
SCENARIOS: Mapping[str, Scenario] = {
    "completes": Scenario("echo hello; echo one >&2", Reason.JOB_COMPLETED, 0),
    "fails": Scenario("exit 7", Reason.JOB_FAILED, 7),
    "dies": Scenario("kill -9 $$", Reason.KILLED_BY_SIGNAL, 137),
    "too-long": Scenario("sleep 600", Reason.MAX_RUNTIME_REACHED, fields=LIMITED),
    "silent": Scenario(
        'touch "$CLUSTERJOBS_HEARTBEAT_FILE"; sleep 600',
        Reason.HEARTBEAT_TIMEOUT,
        fields={"heartbeat_timeout": 3.0},
    ),
    "both-complete": Scenario(
        'echo "rank $CLUSTERJOBS_NODE_RANK of $CLUSTERJOBS_NUM_NODES"',
        Reason.JOB_COMPLETED,
        0,
        fields={"nodes": 2},
    ),
    "rank-1-fails": Scenario(
        '[ "$CLUSTERJOBS_NODE_RANK" = 0 ] || exit 7; sleep 600', Reason.JOB_FAILED, 7, fields={"nodes": 2}
    ),
    "setup-fails": Scenario("true", Reason.START_FAILED, fields={"setup": "exit 5"}),
    "skypilots-setup-fails": Scenario("true", Reason.START_FAILED, fields={"options": {"setup": "exit 5"}}),
    "infeasible": Scenario("true", Reason.REJECTED, fields={"resources": Resources(cpus=4096)}),
    "restarts": Scenario(
        'echo "start $CLUSTERJOBS_RESTARTS"; [ "$CLUSTERJOBS_RESTARTS" = 1 ] || exit 9',
        Reason.JOB_COMPLETED,
        0,
        1,
        {"max_restarts": 1},
    ),
    "too-long-twice": Scenario(
        # The run sees the limit when SkyPilot is about to restart the job, and cancels it.
        "sleep 600",
        Reason.MAX_RUNTIME_REACHED,
        fields={**LIMITED, "max_restarts": 1},
    ),
    "cancelled": Scenario("sleep 600", Reason.CANCELLED, harm="cancel"),
    "preempted": Scenario(
        'mkdir "$SHARED/began" 2>/dev/null && sleep 600; echo again',
        Reason.JOB_COMPLETED,
        0,
        1,
        harm="preempt",
    ),
}


IN_CLUSTER = (
    *("completes", "fails", "dies", "too-long", "silent"),
    *("both-complete", "rank-1-fails", "setup-fails", "cancelled"),
)
"""The scenarios that are possible on one cluster, where no job restarts."""

CLUSTER: Mapping[str, Any] = {
    "mode": "cluster",
    "cluster": {"name": "common", "nodes": 2, "resources": {"cpus": "8"}, "idle_minutes": 1},
}
"""The settings of their recording."""


def token_of(name: str, run: str = RUN) -> str:
    """The token of a scenario's job."""
    return str(Token.of(run, name, 1))


def judged(spec: JobSpec, seen: Observation) -> Outcome:
    """The outcome of a job without its logs."""
    return outcome(spec, seen, action=None, classification=Classification(), log=None)
