"""The options of sbatch that a matrix or a site may set, and those that this backend sets itself."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

EXTRA = "extra_options"
"""A key whose mapping has options that are not listed here: of a site's plugins, or a newer Slurm."""

_SBATCH = """
    account acctg-freq batch bb bbf begin cluster-constraint constraint container container-id contiguous
    core-spec cores-per-socket cpu-freq cpus-per-gpu cpus-per-task deadline delay-boot dependency distribution
    exclude exclusive export extra extra-node-info get-user-env gpu-bind gpu-freq gpus gpus-per-node
    gpus-per-socket gpus-per-task gres gres-flags hint hold kill-on-invalid-dep licenses mail-type mail-user
    mcs-label mem mem-bind mem-per-cpu mem-per-gpu mincpus network nice nodefile nodelist oom-kill-step
    overcommit oversubscribe partition power prefer priority profile propagate qos reboot reservation
    resv-ports segment signal sockets-per-node spread-job stepmgr switches thread-spec threads-per-core time-min tmp
    tres-bind tres-per-task use-min-nodes wait-all-nodes wckey
"""

_PYXIS = """
    container-entrypoint container-entrypoint-log container-env container-image container-mount-home
    container-mounts container-name container-readonly container-remap-root container-save container-workdir
    container-writable no-container-entrypoint no-container-mount-home no-container-remap-root
"""

OPTIONS = frozenset([*_SBATCH.split(), *_PYXIS.split()])
"""Long options of sbatch, from 22.05 to 25.05, and those of the container plugin pyxis."""

_NOT_ONE_JOB = "a cell is one job: use an axis"
_TASKS = "use nodes; one task a node starts the command"
_REQUEUE = "use max_restarts"
_OUTPUT = "each node's output is kept as its log"

OWN: Mapping[str, str] = {
    "array": _NOT_ONE_JOB,
    "chdir": "use workdir",
    "clusters": "set SLURM_CONF to the cluster's slurm.conf",
    "comment": "it names the cell and the token",
    "error": _OUTPUT,
    "input": "a job's standard input is empty",
    "job-name": "it is the job's token, by which it is found again",
    "no-kill": "a lost node ends the job; use max_restarts",
    "no-requeue": _REQUEUE,
    "nodes": "use nodes, outside of options",
    "ntasks": _TASKS,
    "ntasks-per-core": _TASKS,
    "ntasks-per-gpu": _TASKS,
    "ntasks-per-node": _TASKS,
    "ntasks-per-socket": _TASKS,
    "open-mode": _OUTPUT,
    "output": _OUTPUT,
    "parsable": "the job's id is read from the answer",
    "requeue": _REQUEUE,
    "time": "use max_runtime",
    "uid": "a job runs as its submitter",
    "gid": "a job runs as its submitter",
    "wait": "use pytest without --cluster-launch",
    "wrap": "use run",
}
"""Options that are rejected, and what to use instead."""

BY_RESOURCE: Mapping[str, tuple[str, ...]] = {
    "cpus": ("cpus-per-task",),
    "memory": ("mem", "mem-per-cpu", "mem-per-gpu"),
    "gpus": ("gpus", "gpus-per-node", "gpus-per-task"),
}
"""Options that request the same as ``resources``."""


def problems(options: Mapping[str, Any], resources: Mapping[str, Any]) -> Iterator[str]:
    """Mistakes in the options of a job, one line each. ``resources`` are those that the job requests."""
    for name, value in options.items():
        for option, fault in faults(name, value):
            yield f"options.slurm: {option} {fault}"
    for resource, names in BY_RESOURCE.items():
        for name in names:
            if resource in resources and name in options:
                yield f"options.slurm: {name} and resources.{resource} request the same: remove one of them"


def faults(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Mistakes in one option, or in those of ``extra_options``, each with the option's name."""
    if name == EXTRA and not isinstance(value, Mapping):
        yield name, f"must be a mapping of options and their values, not {value!r:.60}"
    for option, given in flat({name: value}).items():
        if option in OWN:
            yield option, f"is set by the backend: {OWN[option]}"
        elif fault := _fault(given):
            yield option, fault


def flat(options: Mapping[str, Any]) -> dict[str, Any]:
    """All options by name, including those of ``extra_options``."""
    extra = options.get(EXTRA)
    named = {name: value for name, value in options.items() if name != EXTRA}
    return {**named, **extra} if isinstance(extra, Mapping) else named


def arguments(options: Mapping[str, Any]) -> list[str]:
    """The options as arguments of sbatch: ``true`` is a flag, ``false`` nothing, a list joined by commas."""
    found = []
    for name, value in flat(options).items():
        if value is True:
            found.append(f"--{name}")
        elif value is not False:
            items = value if isinstance(value, list | tuple) else [value]
            found.append(f"--{name}={','.join(map(str, items))}")
    return found


def is_for_steps(argument: str) -> bool:
    """Whether an argument concerns the command's container, and is therefore passed to srun."""
    return argument.lstrip("-").removeprefix("no-").startswith("container")


def _fault(value: Any) -> str:
    items = value if isinstance(value, list | tuple) else [value]
    for item in items:
        if not isinstance(item, str | int | float):
            return f"must be text, a number, true, false or a list of these, not {item!r:.60}"
        if isinstance(item, str) and not item.isprintable():
            return f"has a control character: {item!r:.60}"
    return ""
