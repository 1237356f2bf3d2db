"""Calls to backends. A bug in a backend counts as an API error: it is reported, and the call is retried."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from typing import cast
from typing import TypeVar

from ..backends.protocol import Backend
from ..backends.protocol import BackendError
from ..backends.protocol import BUGS
from ..model import Handle
from ..model import Observation
from ..model.batches import batched

A = TypeVar("A")
R = TypeVar("R")


def answer(ask: Callable[[A], R], about: A) -> R:
    """The backend's answer. Raises BackendError, also for any other exception."""
    try:
        return ask(about)
    except BackendError:
        raise
    except BUGS as error:
        raise BackendError(f"the backend raised {error!r}") from error


def polled(backend: Backend, handles: Mapping[str, Handle]) -> Mapping[str, Observation]:
    """The backend's observations of these jobs. Raises BackendError."""
    seen: object = answer(backend.poll, handles)
    if isinstance(seen, Mapping) and all(isinstance(each, Observation) for each in seen.values()):
        return cast(Mapping[str, Observation], seen)
    raise BackendError(f"the backend's poll answered {seen!r:.80}, not observations by token")


def poll_all(backend: Backend, handles: Mapping[str, Handle], seen: dict[str, Observation]) -> None:
    """Poll any number of jobs, as many at once as the cluster allows, and add the observations to ``seen``.

    Raises BackendError; ``seen`` then has what was polled before.
    """
    for batch in batched(list(handles.items()), backend.capabilities.ids_per_poll):
        seen.update(polled(backend, dict(batch)))
