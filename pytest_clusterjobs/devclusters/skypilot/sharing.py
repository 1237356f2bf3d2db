"""One local SkyPilot for several processes."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

from ..supervisor import shared
from .client import READY
from .client import SkyPilotClient
from .server import SkyPilotServer


def shared_server(folder: Path, **options: Any) -> AbstractContextManager[SkyPilotClient]:
    """The one of all processes that name the same ``folder``: the first starts it, it ends with the last of them.

    ``options`` are those of SkyPilotServer. Raises what SkyPilotServer raises.
    """
    return shared(folder, READY, SkyPilotClient.at, partial(SkyPilotServer, **options))
