"""The SkyPilot task of a job, as a pure function."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ...model import JobSpec
from ...model.token import nonce
from .. import sentinel
from ..environment import job_variables
from ..environment import master_port
from ..shell import section
from ..shell import strip_comments
from .options import merged
from .settings import SkyPilotSettings

BYTES_PER_GIB = 1 << 30

RECOVERY_STRATEGY = "FAILOVER"
"""This strategy tries the job's current cluster first, where the count of its starts is stored."""


def task(
    spec: JobSpec,
    token: str,
    *,
    settings: SkyPilotSettings,
    rootdir: Path,
) -> dict[str, Any]:
    """A task as in SkyPilot's YAML, without the values of secrets; nothing is read, written or queried.

    Paths are below ``rootdir``.
    """
    given = merged(settings.task, spec.options)
    found = {
        **given,
        "name": token,
        "num_nodes": spec.nodes,
        "envs": {**job_variables(spec, token), "CLUSTERJOBS_MASTER_PORT": str(master_port(token))},
        "resources": _resources(spec, given.get("resources", {})),
        "run": _run(spec, token, settings),
    }
    if isinstance(given.get("workdir"), str):
        found["workdir"] = _local(given["workdir"], rootdir)
    if isinstance(given.get("file_mounts"), Mapping):
        found["file_mounts"] = {
            there: _local(here, rootdir) if isinstance(here, str) else here
            for there, here in given["file_mounts"].items()
        }
    return found


def shown(config: Mapping[str, Any]) -> str:
    """A task as readable YAML, with its script as lines."""
    return yaml.dump(dict(config), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)


class _Dumper(yaml.SafeDumper):
    pass


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def _local(path: str, rootdir: Path) -> str:
    """A path relative to rootdir as an absolute path; a path with a scheme is not on this machine."""
    return path if "://" in path else str(rootdir / Path(path).expanduser())


def _resources(spec: JobSpec, given: Mapping[str, Any]) -> dict[str, Any]:
    wanted = spec.resources
    fields: dict[str, Any] = {}
    if wanted.cpus is not None:
        fields["cpus"] = f"{wanted.cpus}+"
    if wanted.memory is not None:
        fields["memory"] = f"{math.ceil(wanted.memory / BYTES_PER_GIB)}+"
    if wanted.gpus:
        fields["accelerators"] = f"{accelerator(given)}:{wanted.gpus}"
    if wanted.gpus == 0:
        fields["accelerators"] = None
    if spec.image is not None:
        fields["image_id"] = spec.image if ":" in spec.image.partition("/")[0] else f"docker:{spec.image}"
    recovery = given.get("job_recovery")
    strategy = {"strategy": recovery} if isinstance(recovery, str) else dict(recovery or {})
    if spec.max_restarts:
        strategy = {"strategy": RECOVERY_STRATEGY, **strategy}
    # Set even if it is 0: the site's fragment must not allow restarts.
    fields["job_recovery"] = {**strategy, "max_restarts_on_errors": spec.max_restarts}
    return {**given, **fields}


def accelerator(resources: Mapping[str, Any]) -> str:
    """The accelerator's name in a fragment's ``resources``, without its number; empty if there is none."""
    named = resources.get("accelerators")
    if isinstance(named, Mapping):
        named = next(iter(named), "")
    return named.partition(":")[0] if isinstance(named, str) else ""


def _run(spec: JobSpec, token: str, settings: SkyPilotSettings) -> str:
    """The sentinel's command line; SkyPilot has bash run it on every node, in the task's ``workdir``."""
    command = sentinel.argv(
        spec,
        token,
        workdir=spec.workdir or "",
        prelude=_prelude(spec, token, settings),
    )
    # The path is absolute, because the job's own PATH is already set and may be wrong. bash passes exported
    # functions on, as SkyPilot's own shell does; with -p it does not use them itself.
    return f"exec /bin/bash -p {shlex.join(command[1:])}"


def _prelude(spec: JobSpec, token: str, settings: SkyPilotSettings) -> str:
    parts = [_part("node"), _part("again" if spec.max_restarts else "once")]
    home = settings.state_dir
    state = f'"$HOME"/{shlex.quote(home[2:])}' if home.startswith("~/") else shlex.quote(home)
    return "\n".join(parts).replace("STATE", state).replace("NONCE", nonce(token))


def _part(name: str) -> str:
    """A piece of ``node.sh``, as it is delivered."""
    return strip_comments(section(Path(__file__).with_name("node.sh"), name))
