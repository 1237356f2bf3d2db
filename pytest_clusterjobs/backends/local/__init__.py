"""The local backend: jobs as processes of this machine, owned by a detached runner. Nothing to install."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from typing import TYPE_CHECKING

from ..protocol import BackendContext
from ..protocol import BackendError
from ..protocol import BackendType
from ..protocol import Capabilities

if TYPE_CHECKING:
    from .client import LocalBackend


def slots_of(settings: Mapping[str, Any]) -> int:
    """The number of node slots. Raises BackendError if the setting is not a whole number above 0."""
    from .client import default_slots

    slots = settings.get("slots", None)
    if slots is None:
        return default_slots()
    if isinstance(slots, bool) or not isinstance(slots, int) or slots < 1:
        raise BackendError(f"slots must be a whole number of at least 1, not {slots!r:.60}")
    return slots


def open_local(context: BackendContext) -> LocalBackend:
    """Open the backend; the runner starts with the first submission. Raises BackendError."""
    from .client import LocalBackend

    return LocalBackend(context, slots_of(context.settings))


def capabilities(settings: Mapping[str, Any]) -> Capabilities:
    """What a backend with these settings can do: a job needs a slot for each node. Raises BackendError."""
    return Capabilities(
        ids_per_poll=10_000,
        submit_threads=4,
        min_poll_interval=0.2,
        max_nodes=slots_of(settings),
        remedies={"max_nodes": "raise slots in its site settings"},
    )


TYPE = BackendType(name="local", open=open_local, settings=frozenset({"slots"}), capabilities=capabilities)
