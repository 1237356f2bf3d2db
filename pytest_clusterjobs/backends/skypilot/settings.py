"""The site settings of a SkyPilot backend."""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from dataclasses import fields
from typing import Any

from ..protocol import BackendError
from ..protocol import Capabilities


@dataclass(frozen=True, slots=True)
class OneCluster:
    """The cluster that all jobs have in common; names are those of ``[tool.clusterjobs.backends.NAME.cluster]``."""

    name: str
    nodes: int = 1
    """How many it has: no job may have more."""
    resources: Mapping[str, Any] = field(default_factory=dict)
    """What it is brought up with, on top of those of ``task``, of which a job takes its part."""
    idle_minutes: int = 10
    """Minutes after which it is taken down when nothing runs on it, if it was brought up from here."""


@dataclass(frozen=True, slots=True)
class SkyPilotSettings:
    """What a site has decided. Names are those of ``[tool.clusterjobs.backends.NAME]``."""

    task: Mapping[str, Any] = field(default_factory=dict)
    """What every task begins with: a fragment of a SkyPilot task, such as its ``resources``."""
    mode: str = "managed"
    """``managed``, or ``cluster``: all jobs run on one cluster."""
    cluster: OneCluster | None = None
    """That cluster."""
    state_dir: str = "~/.clusterjobs"
    """A folder on the nodes for the count of starts and the heartbeat. On a folder that outlives a cluster (a mounted
    bucket, NFS), jobs know of their restarts even when they begin again on another one."""
    poll_interval: float = 5.0
    """Seconds between two polls of a job, at least: SkyPilot looks at its jobs every 15 s, and a queue costs it 2 s."""
    find_settle: float = 30.0
    """Seconds after which a launch whose answer was lost is among the requests or the jobs, if it has arrived."""
    teardown: float = 120.0
    """Seconds after a job's end for which its cluster may still be going down before the job is called ended all the same."""
    answer_timeout: float = 120.0
    """Seconds within which the API server has to have answered."""


SETTINGS = frozenset(each.name for each in fields(SkyPilotSettings))

_NAME = re.compile(r"[a-z]([a-z0-9.-]*[a-z0-9])?")
_SECONDS = {"poll_interval", "find_settle", "teardown", "answer_timeout"}


def settings_of(raw: Mapping[str, Any]) -> SkyPilotSettings:
    """Read the settings. Raises BackendError with one line that says what is wrong."""
    _refuse(raw, _fault)
    settings = SkyPilotSettings(
        **{**raw, "cluster": _cluster_of(raw["cluster"]) if "cluster" in raw else None}
    )
    if (settings.mode == "cluster") != (settings.cluster is not None):
        raise BackendError("mode = 'cluster' and cluster = {name = NAME} go together")
    return settings


def capabilities(settings: SkyPilotSettings) -> Capabilities:
    """What a backend with these settings can do."""
    one = settings.cluster
    return Capabilities(
        ids_per_poll=100_000,
        # A launch is a request that the server takes at once; what it does of it takes it seconds.
        submit_threads=1,
        min_poll_interval=settings.poll_interval,
        find_settle=settings.find_settle,
        log_settle=settings.teardown,
        restarts=one is None,
        max_nodes=None if one is None else one.nodes,
        remedies={} if one is None else _remedies(one),
    )


def _remedies(one: OneCluster) -> Mapping[str, str]:
    return {
        "max_nodes": f"raise nodes of the cluster {one.name} in the site settings",
        "restarts": "use mode = 'managed', jobs of one cluster are started once",
    }


def _cluster_of(raw: Mapping[str, Any]) -> OneCluster:
    _refuse(raw, _cluster_fault, "cluster.")
    if "name" not in raw:
        raise BackendError("cluster has no name: cluster = {name = NAME}")
    return OneCluster(**raw)


def _refuse(raw: Mapping[str, Any], fault: Callable[[str, Any], str], where: str = "") -> None:
    for name, value in raw.items():
        if wanted := fault(name, value):
            raise BackendError(f"{where}{name} must be {wanted}, not {value!r:.60}")


def _fault(name: str, value: Any) -> str:
    """What a setting should be, if it is something else."""
    if name in _SECONDS:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return "" if number and 0 <= value <= 3600 else "seconds, 0 to 3600"
    if name == "mode":
        return "" if value in ("managed", "cluster") else "managed or cluster"
    if name == "cluster":
        return "" if isinstance(value, Mapping) else "a table, such as {name = 'dev', nodes = 2}"
    if name == "task":
        return "" if isinstance(value, Mapping) else "a table, a fragment of a SkyPilot task"
    fine = isinstance(value, str) and value.isprintable() and value.startswith(("/", "~/"))
    return "" if fine else "an absolute path, or one that begins with ~/"


def _cluster_fault(name: str, value: Any) -> str:
    if name == "name":
        named = isinstance(value, str) and _NAME.fullmatch(value)
        return "" if named else "a cluster's name: small letters, digits, - and ."
    if name == "resources":
        return "" if isinstance(value, Mapping) else "a table, as in a SkyPilot task"
    if name in ("nodes", "idle_minutes"):
        whole = isinstance(value, int) and not isinstance(value, bool)
        return "" if whole and 1 <= value <= 1440 else "a whole number, 1 to 1440"
    return f"one of {', '.join(each.name for each in fields(OneCluster))}: there is no such key"
