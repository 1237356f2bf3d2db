"""The SkyPilot backend: managed jobs, launched through an API server and watched in its queue."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any
from typing import TYPE_CHECKING

from ..protocol import BackendContext
from ..protocol import BackendError
from ..protocol import BackendType
from ..protocol import Capabilities
from .options import OPTIONS
from .options import REFUSED
from .settings import SETTINGS

if TYPE_CHECKING:
    from ...model import JobSpec
    from .client import SkyPilotBackend

NO_SKYPILOT = "the backend skypilot needs SkyPilot: pip install 'pytest-clusterjobs[skypilot]'"


def open_skypilot(context: BackendContext) -> SkyPilotBackend:
    """Open the backend, without a call to the API server. Raises BackendError."""
    if find_spec("sky") is None:
        raise BackendError(NO_SKYPILOT)
    from .client import SkyPilotBackend
    from .project import settle
    from .settings import settings_of

    settle(context.rootdir)
    return SkyPilotBackend(context, settings_of(context.settings))


def stated(settings: Mapping[str, Any]) -> Capabilities:
    """Its capabilities, without a call to the API server. Raises BackendError."""
    from .settings import capabilities
    from .settings import settings_of

    return capabilities(settings_of(settings))


def check(spec: JobSpec, settings: Mapping[str, Any]) -> Iterable[str]:
    """The features of a spec that this backend does not support. Raises BackendError for invalid settings."""
    from .checks import problems
    from .settings import settings_of

    return problems(spec, settings_of(settings))


TYPE = BackendType(
    name="skypilot",
    open=open_skypilot,
    settings=SETTINGS,
    options=OPTIONS | REFUSED.keys(),
    check=check,
    capabilities=stated,
)
