"""Runs are known by ids that sort by time."""

from __future__ import annotations

import time
from pathlib import Path

from pytest_clusterjobs.ledger.run_folder import find_run
from pytest_clusterjobs.ledger.run_folder import new_run_id


def test_runs_of_the_same_second_are_sorted(tmp_path: Path) -> None:
    """Which one is the latest must not be a matter of chance."""
    names = []
    for _ in range(40):
        names.append(new_run_id())
        (tmp_path / names[-1]).mkdir()
        (tmp_path / names[-1] / "ledger.sqlite").touch()
        time.sleep(0.01)
    assert names == sorted(names)
    assert find_run(tmp_path).name == names[-1]
