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
    """The cluster that all jobs share; names are those of ``[tool.clusterjobs.backends.NAME.cluster]``."""

    name: str
    nodes: int = 1
    """The number of its nodes; no job may have more."""
    resources: Mapping[str, Any] = field(default_factory=dict)
    """Its resources, on top of those of ``task``; a job uses a part of them."""
    idle_minutes: int = 10
    """Minutes without work after which a cluster is taken down, if this backend brought it up."""


@dataclass(frozen=True, slots=True)
class SkyPilotSettings:
    """The settings of a site. Names are those of ``[tool.clusterjobs.backends.NAME]``."""

    task: Mapping[str, Any] = field(default_factory=dict)
    """The base of every task: a fragment of a SkyPilot task, such as its ``resources``."""
    mode: str = "managed"
    """``managed``, or ``cluster``: all jobs run on one cluster."""
    cluster: OneCluster | None = None
    """That cluster."""
    state_dir: str = "~/.clusterjobs"
    """A folder on the nodes for the count of starts and the heartbeat. In a folder that outlives a cluster (a
    mounted bucket, NFS), the count survives a restart on another cluster."""
    poll_interval: float = 5.0
    """The least seconds between two polls of a job.

    SkyPilot looks at its jobs every 15 s, and a queue costs it 2 s.
    """
    find_settle: float = 30.0
    """Seconds until a launch whose answer was lost is among the requests or jobs, if it has arrived."""
    teardown: float = 120.0
    """Seconds that an ended job's cluster may take to go down; after that the job counts as ended anyway."""
    answer_timeout: float = 120.0
    """Seconds in which the API server must answer."""


SETTINGS = frozenset(each.name for each in fields(SkyPilotSettings))

_NAME = re.compile(r"[a-z]([a-z0-9.-]*[a-z0-9])?")
_SECONDS = {"poll_interval", "find_settle", "teardown", "answer_timeout"}


def settings_of(raw: Mapping[str, Any]) -> SkyPilotSettings:
    """Read the settings. Raises BackendError with a one-line message that names the mistake."""
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
        # The server accepts a launch request at once; carrying it out takes seconds.
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
    """What a setting must be, if its value is wrong."""
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
