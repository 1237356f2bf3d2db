"""The SkyPilot backend: managed jobs, launched through an API server and watched in its queue."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ..protocol import BackendContext
from ..protocol import BackendError
from ..protocol import BackendType
from .options import OPTIONS
from .options import REFUSED
from .settings import capabilities
from .settings import SkyPilotSettings

if TYPE_CHECKING:
    from ...model import JobSpec
    from .client import SkyPilotBackend

NO_SKYPILOT = "the backend skypilot needs SkyPilot: pip install 'pytest-clusterjobs[skypilot]'"


def open_skypilot(context: BackendContext) -> SkyPilotBackend:
    """Open the backend, without a call to the API server. Raises BackendError."""
    if find_spec("sky") is None:
        raise BackendError(NO_SKYPILOT)
    from .client import SkyPilotBackend
    from .project import select_config

    select_config(context.rootdir)
    return SkyPilotBackend(context, context.settings)


def check(spec: JobSpec, settings: SkyPilotSettings) -> Iterable[str]:
    """The features of a spec that this backend does not support."""
    from .checks import problems

    return problems(spec, settings)


TYPE = BackendType(
    name="skypilot",
    open=open_skypilot,
    settings=SkyPilotSettings,
    options=OPTIONS | REFUSED.keys(),
    check=check,
    capabilities=capabilities,
)
