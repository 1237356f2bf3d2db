"""The local backend proves itself, as any other backend does."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_clusterjobs.testing import BackendConformance
from pytest_clusterjobs.testing import Harness


class TestLocal(BackendConformance):
    @pytest.fixture
    def harness(self, tmp_path: Path) -> Harness:
        shared = tmp_path / "shared"
        shared.mkdir()
        return Harness(
            backend="pytest_clusterjobs.backends.local:TYPE",
            settings={"slots": 4},
            slots=4,
            refused={"nodes": 5},
            shared=shared,
            same_host=True,
            silence="kill -9 $PPID",
        )
