"""Writes to a ledger, each in a transaction of its own, as earlier sessions would have made them."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_clusterjobs.ledger.batch import Batch
from pytest_clusterjobs.ledger.ledger import Ledger
from pytest_clusterjobs.model import Handle
from pytest_clusterjobs.model import Observation
from pytest_clusterjobs.model import Outcome
from pytest_clusterjobs.model import OwnAction
from pytest_clusterjobs.model.records import Attempt
from pytest_clusterjobs.model.records import Result


def record(ledger: Ledger, *, submitted: Iterable[Attempt] = (), intended: Iterable[Attempt] = ()) -> None:
    """Record attempts that were submitted, and others that are about to be."""
    ledger.commit(Batch(submitted=list(submitted), intended={each.token: each for each in intended}), 0.0)


def delete_intents(ledger: Ledger, tokens: Iterable[str]) -> None:
    """Delete intents that were not acted on."""
    ledger.commit(Batch(deleted=list(tokens)), 0.0)


def record_action(
    ledger: Ledger, action: OwnAction, tokens: Iterable[str], *, session: int | None = None
) -> None:
    """Record the action that is about to be taken on jobs."""
    ledger.commit(Batch(actions=[(token, action) for token in tokens]), 0.0, session)


def observe(
    ledger: Ledger,
    at: float,
    *,
    changed: Iterable[tuple[str, Observation, Handle | None]] = (),
    ended: Iterable[tuple[str, Outcome]] = (),
    results: Iterable[Result] = (),
) -> None:
    """Record what a poll has shown."""
    ledger.commit(Batch(changed=list(changed), ended=list(ended), results=list(results)), at)
