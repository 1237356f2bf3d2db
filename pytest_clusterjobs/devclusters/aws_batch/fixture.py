"""The fixture ``local_batch``, which a conftest.py may import."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from ..supervisor import Missing
from .client import BatchClient
from .local_batch import LocalBatch


@pytest.fixture(scope="session")
def local_batch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BatchClient]:
    """A local AWS Batch that all workers of this session share.

    Create a queue of your own to change its rules.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "aws"
    try:
        with LocalBatch.shared(folder) as batch:
            yield batch
    except Missing as error:
        pytest.skip(str(error))
