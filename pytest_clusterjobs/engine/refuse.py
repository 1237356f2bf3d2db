"""Jobs that never run: refused by the cluster or by this run, or withdrawn before their submission."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence

from ..backends.limits import excesses
from ..backends.protocol import Backend
from ..backends.protocol import BUGS
from ..backends.protocol import Checking
from ..model import ActionKind
from ..model import Observation
from ..model import OwnAction
from ..model import Phase
from ..model import Reason
from ..model import Times
from .job import ActiveAttempt
from .judging import finish
from .secrets import refusal as refusal_of_secrets
from .state import EngineState


def refusal(core: EngineState, job: ActiveAttempt, backend: Backend) -> str | None:
    """Why this run does not submit a job because of what it asks for; ``None`` if it does."""
    for found in excesses(job.spec, backend.capabilities, job.registration.cell.backend):
        return found.message()
    limit = core.config.max_nodes
    if limit is not None and job.spec.nodes > limit:
        return f"needs {job.spec.nodes} nodes, --cluster-max-nodes allows {limit}"
    return refusal_of_secrets(job.spec, known_elsewhere=backend.capabilities.knows_secrets)


def possible(
    core: EngineState, backends: Mapping[str, Backend], jobs: Sequence[ActiveAttempt]
) -> Sequence[ActiveAttempt]:
    """The jobs that can be submitted as far as is known. The others get their results immediately.

    If a hook may change the specs, each job is checked just before its submission instead.
    """
    if core.config.extensions.changes_specs:
        return jobs
    own_refusals = {
        job: why
        for job in jobs
        if (why := refusal(core, job, backends[job.registration.cell.backend])) is not None
    }
    rejections: dict[ActiveAttempt, str] = {}
    for name, backend in backends.items():
        rejections |= _known_rejections(
            backend, [j for j in jobs if j not in own_refusals and j.registration.cell.backend == name]
        )
    _intend(core, [*own_refusals, *rejections])
    reject(core, own_refusals, by_this_run=True)
    reject(core, rejections)
    return [job for job in jobs if job not in own_refusals and job not in rejections]


def _known_rejections(backend: Backend, jobs: Sequence[ActiveAttempt]) -> dict[ActiveAttempt, str]:
    """The reasons for which a cluster would reject jobs, as far as it reports them before submission."""
    if not jobs or not isinstance(backend, Checking):
        return {}
    try:
        answers = backend.check_selection([job.spec for job in jobs])
        reasons = dict(zip(jobs, map(str, answers), strict=True))
    except BUGS:
        # What cannot be reported now is reported at submission. A bug in a backend must not lose a job
        # either.
        return {}
    return {job: why for job, why in reasons.items() if why}


def _intend(core: EngineState, jobs: Collection[ActiveAttempt]) -> None:
    now = core.clock.time()
    for job in jobs:
        job.intended = job.submitted = now
    if jobs:
        core.ledger.record(intended=[job.attempt() for job in jobs])


def reject(core: EngineState, refused: Mapping[ActiveAttempt, str], *, by_this_run: bool = False) -> None:
    """End jobs that were not accepted and whose intents are in the ledger."""
    if not refused:
        return
    now = core.clock.time()
    refused = {job: job.hide(why) for job, why in refused.items()}
    actions = (
        {why: OwnAction(ActionKind.REFUSED, why, now) for why in refused.values()} if by_this_run else {}
    )
    results = {}
    acted: dict[OwnAction, list[str]] = {}
    for job, why in refused.items():
        job.action = actions.get(why, job.action)
        seen = Observation(Phase.ENDED, Times(now, None, now), "REJECTED", why, Reason.REJECTED)
        if job.action is not None:
            seen = Observation(Phase.ABSENT)
            acted.setdefault(job.action, []).append(job.token)
        results[job] = finish(job, seen, None, core.config.extensions)
    core.ledger.record(submitted=[job.attempt() for job in results])
    for action, tokens in acted.items():
        core.ledger.record_action(action, tokens)
    ended = [(job.token, result.outcome) for job, result in results.items()]
    core.ledger.observe(now, ended=ended, results=list(results.values()))
    with core.changed:
        for job, result in results.items():
            core.in_flight.discard(job)
            core.complete(result)


def withdraw(core: EngineState, ends: Mapping[ActiveAttempt, OwnAction]) -> None:
    """End jobs that were waiting for their submission."""
    if not ends:
        return
    results = {}
    for job, action in ends.items():
        job.action = action
        results[job] = finish(
            job, Observation(Phase.ABSENT), None, core.config.extensions, notify=job.is_prepared
        )
    # A job with an earlier unsuccessful submission has an intent.
    core.ledger.delete_intents(job.token for job in ends)
    core.ledger.observe(core.clock.time(), results=list(results.values()))
    with core.changed:
        for job, result in results.items():
            core.in_flight.discard(job)
            core.complete(result)
