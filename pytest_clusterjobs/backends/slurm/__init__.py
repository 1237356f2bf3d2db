"""The Slurm backend: jobs by sbatch, watched by squeue and sacct, with a folder each that the nodes share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..protocol import BackendContext
from ..protocol import BackendType
from .options import EXTRA
from .options import OPTIONS
from .options import OWN
from .settings import capabilities
from .settings import SlurmSettings

if TYPE_CHECKING:
    from ...model import JobSpec
    from .client import SlurmBackend


def open_slurm(context: BackendContext) -> SlurmBackend:
    """Open the backend, without a call to Slurm. Raises BackendError."""
    from .client import SlurmBackend

    return SlurmBackend(context, context.settings)


def check(spec: JobSpec, settings: SlurmSettings) -> Iterable[str]:
    """The features of a spec that this backend does not support."""
    from .options import problems

    if spec.image is not None:
        yield (
            "image: plain Slurm runs no containers; with the plugin pyxis use"
            " options.slurm.container-image, else start the container in run"
        )
    wanted = {"cpus": spec.resources.cpus, "memory": spec.resources.memory, "gpus": spec.resources.gpus}
    yield from problems(spec.options, {name: value for name, value in wanted.items() if value is not None})


TYPE = BackendType(
    name="slurm",
    open=open_slurm,
    settings=SlurmSettings,
    options=OPTIONS | OWN.keys() | {EXTRA},
    check=check,
    capabilities=capabilities,
)
