"""Which jobs cannot be submitted, as far as is known before the first submission."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence

from ..backends.limits import excesses
from ..backends.protocol import Backend
from ..backends.protocol import BUGS
from ..backends.protocol import Capabilities
from ..backends.protocol import Checking
from ..model import JobSpec
from ..model.records import Registration
from .secrets import refusal as refusal_of_secrets


def screen(
    entries: Sequence[Registration], backends: Mapping[str, Backend], max_nodes: int | None
) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Why this run does not submit cells, and why their clusters would reject others, by key."""
    refused = {}
    for entry in entries:
        why = _refusal(entry.cell.spec, entry.cell.backend, backends[entry.cell.backend], max_nodes)
        if why is not None:
            refused[entry.key] = why
    rejected: dict[str, str] = {}
    for name, backend in backends.items():
        asked = [entry for entry in entries if entry.cell.backend == name and entry.key not in refused]
        rejected |= _known_rejections(backend, asked)
    return refused, rejected


def _refusal(spec: JobSpec, name: str, backend: Backend, max_nodes: int | None) -> str | None:
    can = backend.capabilities
    return excess(spec, name, can, max_nodes) or refusal_of_secrets(spec, known_elsewhere=can.knows_secrets)


def excess(spec: JobSpec, name: str, can: Capabilities, max_nodes: int | None) -> str | None:
    """The limit of the backend NAME, or of the run, that a job exceeds; None if it exceeds none."""
    for found in excesses(spec, can, name):
        return found.message()
    if max_nodes is not None and spec.nodes > max_nodes:
        return f"needs {spec.nodes} nodes, --cluster-max-nodes allows {max_nodes}"
    return None


def _known_rejections(backend: Backend, entries: Sequence[Registration]) -> Mapping[str, str]:
    """The reasons for which a cluster would reject jobs, as far as it reports them before submission."""
    if not entries or not isinstance(backend, Checking):
        return {}
    try:
        answers = backend.check_selection([entry.cell.spec for entry in entries])
        reasons = dict(zip((entry.key for entry in entries), map(str, answers), strict=True))
    except BUGS:
        # What cannot be reported now is reported at submission. A bug in a backend must not lose a job
        # either.
        return {}
    return {key: why for key, why in reasons.items() if why}
