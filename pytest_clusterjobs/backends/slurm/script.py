"""The batch script of a job, as a pure function, and the command line that submits it."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...model import JobSpec
from ...model.token import nonce
from .. import sentinel
from ..environment import job_variables
from ..environment import master_port
from ..shell import bare
from ..shell import piece
from .options import arguments
from .options import BY_RESOURCE
from .options import is_for_steps
from .places import JobFolder
from .places import pattern
from .settings import SlurmSettings

MARGIN = 60.0
"""Seconds by which Slurm's time limit for a start exceeds the sentinel's."""

MIB = 1 << 20

BASH = Path("/bin/bash")
"""The shell of the batch script, if the submitting machine has it. Other shells drop exported functions."""

_SHAPE = re.compile(
    r"^clusterjobs_dir=.* clusterjobs_max=(?P<max>[0-9]+) clusterjobs_ranks=(?P<ranks>[0-9]+)$", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Submission:
    """Everything that Slurm is given."""

    command: tuple[str, ...]
    """The command line of sbatch."""
    script: str
    """The content of the file that the last argument names."""

    def __str__(self) -> str:
        return f"{shlex.join(self.command)}\n{self.script}"


def submission(
    spec: JobSpec,
    token: str,
    *,
    settings: SlurmSettings,
    folder: JobFolder,
    rootdir: Path,
    inherited: Iterable[str] = (),
) -> Submission:
    """The submission for ``spec``; nothing is written.

    ``inherited`` names the variables that sbatch passes on.
    """
    given = _options(spec, settings)
    steps = [argument for argument in given if is_for_steps(argument)]
    command = [
        "sbatch",
        "--parsable",
        f"--job-name={token}",
        f"--comment={spec.name} {token}",
        f"--chdir={folder.path}",
        f"--output={pattern(folder.output)}",
        "--open-mode=append",
        "--requeue" if spec.max_restarts else "--no-requeue",
        f"--nodes={spec.nodes}",
        "--ntasks-per-node=1",
        f"--time={_minutes(spec)}",
        *_resources(spec, settings),
        *(argument for argument in given if argument not in steps),
        str(folder.script),
    ]
    wraps = sentinel.argv(
        spec,
        token,
        workdir=str(rootdir / (spec.workdir or "")),
        prelude=_prelude(spec, token) if spec.nodes > 1 or steps else "",
        inherited=inherited,
    )
    return Submission(tuple(command), _script(spec, token, folder, wraps, steps))


def shape_of(script: Path) -> tuple[int, int]:
    """The number of ranks and of allowed restarts, from a script that was written before.

    If the script is gone: one rank, which may have been restarted.
    """
    with suppress(OSError), open(script, encoding="utf-8", errors="replace") as file:
        match = _SHAPE.search(file.read(1 << 16))
        if match:
            return int(match["ranks"]), int(match["max"])
    return 1, 1


def quote(text: str) -> str:
    """``text`` as one word of sh, without CR: sbatch rejects a script in which one ends a line."""
    return shlex.quote(text).replace("\r", "'\"$clusterjobs_cr\"'")


# The command line.


def _minutes(spec: JobSpec) -> int:
    """The time limit, which strikes only if the job's own side has kept none of its limits."""
    each = spec.max_runtime + spec.grace_period + MARGIN
    return math.ceil(each * (spec.max_restarts + 1) / 60)


def _resources(spec: JobSpec, settings: SlurmSettings) -> list[str]:
    wanted = spec.resources
    found = []
    if wanted.cpus is not None:
        found.append(f"--cpus-per-task={wanted.cpus}")
    if wanted.memory is not None:
        found.append(f"--mem={-(-wanted.memory // MIB)}M")
    if wanted.gpus is not None:
        found.append(
            f"--gres=gpu:{wanted.gpus}" if settings.gpus_as == "gres" else f"--gpus-per-node={wanted.gpus}"
        )
    return found


def _options(spec: JobSpec, settings: SlurmSettings) -> list[str]:
    """The site's defaults with the job's own options on top."""
    wanted = {"cpus": spec.resources.cpus, "memory": spec.resources.memory, "gpus": spec.resources.gpus}
    replaced = {
        name for resource, names in BY_RESOURCE.items() if wanted[resource] is not None for name in names
    }
    defaults: Mapping[str, Any] = {
        name: value for name, value in settings.options.items() if name not in replaced
    }
    return arguments({**defaults, **spec.options})


# The script. It contains only what the job needs, and it starts as few processes as possible: a thousand jobs
# of a second each are common.


def _script(spec: JobSpec, token: str, folder: JobFolder, wraps: Sequence[str], steps: Sequence[str]) -> str:
    several = spec.nodes > 1 or bool(steps)
    parts = [
        f"#!{BASH} -p" if BASH.exists() else "#!/bin/sh",
        f"# {spec.name}: {token}, written by pytest-clusterjobs. The options of sbatch are on its command line.",
        "clusterjobs_cr=$(printf '\\r')"
        if any("\r" in word for word in [*wraps, *spec.env.values()])
        else "",
        f"clusterjobs_dir={quote(str(folder.path))} clusterjobs_max={spec.max_restarts} clusterjobs_ranks={spec.nodes}",
        _head(spec).replace("NONCE", nonce(token)),
        _part("again").replace("NONCE", nonce(token)) if spec.max_restarts else "again() { false; }",
        *_secrets(spec),
        _part("step" if several else "direct").replace("NONCE", nonce(token)),
        "" if several else _home(spec, token),
        "launch() {",
        _by_srun(spec, token, folder, wraps, steps) if several else _direct(spec, token, wraps),
        "}",
        _part("loop"),
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _direct(spec: JobSpec, token: str, wraps: Sequence[str]) -> str:
    """One node: the sentinel is the batch script's child, so a kill for memory counts as the job's own."""
    variables = _assignments(
        spec,
        token,
        CLUSTERJOBS_NODE_RANK="0",
        CLUSTERJOBS_MASTER_ADDR="127.0.0.1",
        CLUSTERJOBS_HEARTBEAT_FILE="$clusterjobs_home/beat",
    )
    log = '"$clusterjobs_dir/log.$clusterjobs_n.0"'
    return f"{variables} exec \\\n$clusterjobs_via $clusterjobs_sh {_words(wraps[1:])} >>{log} 2>&1"


def _by_srun(spec: JobSpec, token: str, folder: JobFolder, wraps: Sequence[str], steps: Sequence[str]) -> str:
    """Several nodes: srun starts one sentinel on each, and stops the others when one fails."""
    srun = [
        f"--nodes={spec.nodes}",
        f"--ntasks={spec.nodes}",
        "--ntasks-per-node=1",
        "--kill-on-bad-exit=1",
        "--wait=0",
        "--export=ALL",
        *([f"--cpus-per-task={spec.resources.cpus}"] if spec.resources.cpus is not None else []),
        quote(f"--output={pattern(folder.path)}/log.") + "$clusterjobs_n.%t",
        quote(f"--error={pattern(folder.output)}"),
        "--open-mode=append",
        *map(quote, steps),
    ]
    variables = _assignments(spec, token, CLUSTERJOBS_MASTER_ADDR="$clusterjobs_address")
    # A container need not have the nodes' shell.
    shell = "/bin/sh" if steps else "$clusterjobs_sh"
    return f'{variables} exec \\\n"$clusterjobs_srun" {" ".join(srun)} \\\n{shell} {_words(wraps[1:])}'


def _words(words: Sequence[str]) -> str:
    return " ".join(map(quote, words))


def _assignments(spec: JobSpec, token: str, **here: str) -> str:
    """The command's environment, as assignments before a command."""
    here = {
        "CLUSTERJOBS_RESTARTS": "$clusterjobs_n",
        "CLUSTERJOBS_HOSTFILE": "$clusterjobs_dir/hosts",
        **here,
    }
    fixed = {**job_variables(spec, token), "CLUSTERJOBS_MASTER_PORT": str(master_port(token))}
    words = [f"{name}={text}" for name, text in here.items()]
    words += [f"{name}={quote(value)}" for name, value in fixed.items() if name not in here]
    return " ".join(words)


def _head(spec: JobSpec) -> str:
    """The beginning of every script; without secrets there is nothing to unset, and no process for it."""
    head = _part("head")
    return (
        head
        if spec.secrets
        else head.replace('forget() { rm -f "$clusterjobs_dir/secrets"; }', "forget() { :; }")
    )


def _secrets(spec: JobSpec) -> list[str]:
    """Read the secrets; the file stays only if Slurm itself may restart the script."""
    if not spec.secrets:
        return []
    read = '. "$clusterjobs_dir/secrets"'
    return [read] if spec.max_restarts else [read, "forget"]


def _home(spec: JobSpec, token: str) -> str:
    """The heartbeat file's folder: on the node if it is checked all the time, otherwise the job's folder."""
    if spec.heartbeat_timeout is None:
        return "clusterjobs_home=$clusterjobs_dir"
    return _part("home").replace("NONCE", nonce(token))


def _prelude(spec: JobSpec, token: str) -> str:
    return bare(_part("node")).replace("MAX", str(spec.max_restarts)).replace("NONCE", nonce(token))


def _part(name: str) -> str:
    return piece(Path(__file__).with_name("job.sh"), name)
