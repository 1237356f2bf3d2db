"""A fixture that projects may import into their conftest.py: ``from pytest_clusterjobs.devclusters.aws_batch.fixture import local_batch``."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from ..supervisor import Missing
from .client import BatchClient
from .sharing import shared_batch


@pytest.fixture(scope="session")
def local_batch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BatchClient]:
    """A local AWS Batch that all workers of this session share; make a queue of your own for what is not usual."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "aws"
    try:
        with shared_batch(folder) as batch:
            yield batch
    except Missing as error:
        pytest.skip(str(error))
