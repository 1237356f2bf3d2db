"""The local backend's type, the object of its entry point."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..protocol import BackendContext
from ..protocol import BackendType
from .settings import capabilities
from .settings import LocalSettings

if TYPE_CHECKING:
    from .client import LocalBackend


def open_local(context: BackendContext) -> LocalBackend:
    """Open the backend; the runner starts with the first submission."""
    from .client import LocalBackend

    return LocalBackend(context, context.settings)


TYPE = BackendType(name="local", open=open_local, settings=LocalSettings, capabilities=capabilities)
