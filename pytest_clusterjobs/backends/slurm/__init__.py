"""The Slurm backend: jobs by sbatch, watched by squeue and sacct, with a folder each that the nodes share."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any
from typing import TYPE_CHECKING

from ..protocol import BackendContext
from ..protocol import BackendType
from ..protocol import Capabilities
from .options import EXTRA
from .options import OPTIONS
from .options import OWN
from .settings import SETTINGS

if TYPE_CHECKING:
    from ...model import JobSpec
    from .client import SlurmBackend


def open_slurm(context: BackendContext) -> SlurmBackend:
    """Open the backend, without a call to Slurm. Raises BackendError."""
    from .client import SlurmBackend
    from .settings import settings_of

    return SlurmBackend(context, settings_of(context.settings))


def stated(settings: Mapping[str, Any]) -> Capabilities:
    """Its capabilities, without a call to Slurm. Raises BackendError."""
    from .settings import capabilities
    from .settings import settings_of

    return capabilities(settings_of(settings))


def check(spec: JobSpec, settings: Mapping[str, Any]) -> Iterable[str]:
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
    settings=SETTINGS,
    options=OPTIONS | OWN.keys() | {EXTRA},
    check=check,
    capabilities=stated,
)
