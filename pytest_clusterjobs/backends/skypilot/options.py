"""``options.skypilot``: a fragment of a SkyPilot task, by SkyPilot's own names."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

OPTIONS = frozenset(
    {
        "workdir",
        "setup",
        "resources",
        "file_mounts",
        "volumes",
        "volume_mounts",
        "managed_secrets",
        "config",
        "event_callback",
        "inputs",
        "outputs",
        "api_server_access",
    }
)
"""The fields that may be set; SkyPilot itself validates their contents."""

IN_CLUSTER = frozenset({"workdir", "resources"})
"""The fields that a job of a cluster may set: SkyPilot ignores the others if the cluster is up."""

REFUSED: Mapping[str, str] = {
    "name": "it is the job's token, which identifies the job later",
    "run": "use run",
    "num_nodes": "use nodes",
    "envs": "use env",
    "secrets": "use secrets",
    "service": "a cell is a job, not a service",
    "pool": "a cell is a job, not a pool of workers",
}
"""Fields that the backend sets itself, and what to use instead."""


def problems(options: Mapping[str, Any], where: str = "options.skypilot") -> Iterator[str]:
    """Mistakes in a fragment that are found before SkyPilot sees it, one line each."""
    for name in options:
        if name in REFUSED:
            yield f"{where}: {name} is set by the backend: {REFUSED[name]}"
    mounts = options.get("file_mounts")
    for there, source in mounts.items() if isinstance(mounts, Mapping) else ():
        if isinstance(source, Mapping) and str(source.get("mode", "")).upper() == "MOUNT_CACHED":
            # SkyPilot waits for the upload in the shell, which the sentinel replaces.
            yield f"{where}: file_mounts: {there}: MOUNT_CACHED may lose the last writes of a job: use MOUNT"
    resources = options.get("resources", {})
    if not isinstance(resources, Mapping):
        yield f"{where}: resources must be a mapping, not {resources!r:.60}"
        return
    recovery = resources.get("job_recovery")
    for name in ("max_restarts_on_errors", "recover_on_exit_codes"):
        if isinstance(recovery, Mapping) and name in recovery:
            yield f"{where}: resources.job_recovery.{name} is set by the backend: use max_restarts"


def merged(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """A fragment on top of another: mappings merge deeply, everything else is replaced."""
    result = dict(lower)
    for name, value in upper.items():
        below = result.get(name)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        result[name] = merged(below, value) if both else value  # type: ignore[arg-type]
    return result
