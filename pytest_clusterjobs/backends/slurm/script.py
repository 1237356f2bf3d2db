"""The command line of sbatch and the batch script of a job, as a pure function."""

from __future__ import annotations

import math
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...model import JobSpec
from ...model.token import nonce
from .. import sentinel
from ..command_line import BatchEnvironment
from ..command_line import JobFolder
from ..command_line import Submission
from ..command_line.script import assignments
from ..command_line.script import batch_script
from ..command_line.script import Launch
from ..command_line.script import one_node_launch
from ..command_line.script import quote
from ..command_line.script import quote_all
from ..protocol import BackendError
from ..shell import section
from ..shell import strip_comments
from .options import arguments
from .options import BY_RESOURCE
from .options import is_for_steps
from .settings import SlurmSettings

TIME_LIMIT_MARGIN_SECONDS = 60.0
"""By how much Slurm's time limit for a start exceeds the sentinel's."""

MIB_BYTES = 1 << 20

BATCH = BatchEnvironment(
    scheduler="Slurm",
    job_id="SLURM_JOB_ID",
    node="$SLURMD_NODENAME",
    hosts='echo "$SLURM_JOB_NODELIST"',
    unset=("SLURM_JWT",),
)


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
        f"--output={file_pattern(folder.output)}",
        "--open-mode=append",
        "--requeue" if spec.max_restarts else "--no-requeue",
        f"--nodes={spec.nodes}",
        "--ntasks-per-node=1",
        f"--time={_time_limit_minutes(spec)}",
        *_resources(spec, settings),
        *(argument for argument in given if argument not in steps),
        str(folder.script),
    ]
    has_steps = spec.nodes > 1 or bool(steps)
    wrapped = sentinel.argv(
        spec,
        token,
        workdir=str(rootdir / (spec.workdir or "")),
        prelude=_prelude(spec, token) if has_steps else "",
        inherited=inherited,
    )
    launch = (
        _srun_launch(spec, token, folder, wrapped, steps)
        if has_steps
        else one_node_launch(spec, token, wrapped, BATCH)
    )
    return Submission(tuple(command), batch_script(spec, token, folder, BATCH, wrapped, launch))


def checked_folder(folder: Path) -> Path:
    """The folder, if Slurm's file name patterns can express it. Raises BackendError."""
    text = str(folder)
    if "\\" in text or not text.isprintable():
        raise BackendError(f"Slurm cannot write to a folder with such a name: {text!r}")
    return folder


def file_pattern(path: Path | str) -> str:
    """A path for Slurm's options, where ``%`` begins a replacement."""
    return str(path).replace("%", "%%")


# The command line.


def _time_limit_minutes(spec: JobSpec) -> int:
    """The time limit, in minutes; it takes effect only if the sentinel has not enforced its own limits."""
    seconds = spec.max_runtime + spec.grace_period + TIME_LIMIT_MARGIN_SECONDS
    return math.ceil(seconds * (spec.max_restarts + 1) / 60)


def _resources(spec: JobSpec, settings: SlurmSettings) -> list[str]:
    wanted = spec.resources
    found = []
    if wanted.cpus is not None:
        found.append(f"--cpus-per-task={wanted.cpus}")
    if wanted.memory is not None:
        found.append(f"--mem={-(-wanted.memory // MIB_BYTES)}M")
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


# The script.


def _srun_launch(
    spec: JobSpec, token: str, folder: JobFolder, wrapped: Sequence[str], steps: Sequence[str]
) -> Launch:
    """Several nodes: srun starts one sentinel on each, and stops the others when one fails."""
    srun = [
        f"--nodes={spec.nodes}",
        f"--ntasks={spec.nodes}",
        "--ntasks-per-node=1",
        "--kill-on-bad-exit=1",
        "--wait=0",
        "--export=ALL",
        *([f"--cpus-per-task={spec.resources.cpus}"] if spec.resources.cpus is not None else []),
        quote(f"--output={file_pattern(folder.path)}/log.") + "$clusterjobs_n.%t",
        quote(f"--error={file_pattern(folder.output)}"),
        "--open-mode=append",
        *map(quote, steps),
    ]
    variables = assignments(spec, token, CLUSTERJOBS_MASTER_ADDR="$clusterjobs_address")
    # A container need not have the nodes' shell.
    shell = "/bin/sh" if steps else "$clusterjobs_sh"
    command = (
        f'{variables} exec \\\n"$clusterjobs_srun" {" ".join(srun)} \\\n{shell} {quote_all(wrapped[1:])}'
    )
    return Launch(_section("step").replace("NONCE", nonce(token)), command)


def _prelude(spec: JobSpec, token: str) -> str:
    return (
        strip_comments(_section("node")).replace("MAX", str(spec.max_restarts)).replace("NONCE", nonce(token))
    )


def _section(name: str) -> str:
    return section(Path(__file__).with_name("job.sh"), name)
