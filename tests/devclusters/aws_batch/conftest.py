from __future__ import annotations

import os
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_clusterjobs.devclusters import local_batch as local_batch
from pytest_clusterjobs.devclusters.aws_batch import BatchClient
from tests.devclusters.aws_batch.batch_user import BatchUser
from tests.devclusters.aws_batch.batch_user import clients

CALLER = os.environ.get("PYTEST_XDIST_WORKER", "alone") + "kit"


@pytest.fixture(scope="session")
def made(local_batch: BatchClient) -> dict[str, Any]:
    return clients(local_batch, CALLER)


@pytest.fixture
def user(local_batch: BatchClient, made: dict[str, Any]) -> Iterator[BatchUser]:
    """A user of the shared local AWS Batch. Faults with its caller affect only this user."""
    yield BatchUser(local_batch, CALLER, made)
    local_batch.clear_faults(caller=CALLER)


@pytest.fixture
def queue(local_batch: BatchClient, request: pytest.FixtureRequest) -> Callable[..., str]:
    """Create a queue for the test, or change its rules."""
    name = f"{CALLER}-{request.node.name.split('[')[0]}"[:100]

    def make(**rules: Any) -> str:
        return local_batch.create_queue(name, **rules)

    return make
