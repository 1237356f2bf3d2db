"""Runs whose ledger lies on a file system that other hosts may share: no shared memory, and nothing else
changes."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_clusterjobs.ledger.ledger import Ledger
from tests.mounts import elsewhere
from tests.plugin.test_leaks import jobs_run
from tests.plugin.test_leaks import of_project
from tests.plugin.test_leaks import SLEEPERS
from tests.plugin.test_leaks import start
from tests.plugin.test_leaks import until

if TYPE_CHECKING:
    from tests.plugin.conftest import Project

MANY = """
recipes: {a: "true", b: "true", c: "true", d: sleep 0.2}
nodes: [1]
axes: {N: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}
conditions: {good: {}, bad: {run: exit 3}}
"""

# In every process of the session: controller, workers, and what they start.
NETWORK = """
from pytest_clusterjobs.ledger import journal_mode
journal_mode.file_system = lambda folder: "nfs4"
"""


def ledger_file(project: Project) -> Path:
    (path,) = project.path.glob(".clusterjobs/runs/*/ledger.sqlite")
    return path


def no_shared_memory(project: Project) -> bool:
    path = ledger_file(project)
    names = {entry.name for entry in path.parent.iterdir()}
    return path.read_bytes()[18] == 1 and not names & {f"{path.name}-shm", f"{path.name}-wal"}


@pytest.mark.parametrize("arguments", [[], ["-n3"]])
def test_controller_and_workers_share_a_rollback_journal(project: Project, arguments: list[str]) -> None:
    project.pytester.makeconftest(NETWORK)
    project.matrix(MANY)
    result = project.pytester.runpytest_subprocess("--cluster-backend=spy", *arguments)
    result.assert_outcomes(passed=40, failed=40)
    assert "locked" not in result.stdout.str() + result.stderr.str()
    assert no_shared_memory(project)
    assert set(project.submitted().values()) == {1}


@pytest.mark.quiet
def test_a_whole_run_on_a_file_system_of_another_kind(project: Project) -> None:
    """FUSE is no NFS, but it is no file system of the kernel's own either: nothing here is pretended."""
    with elsewhere(project.path / ".clusterjobs"):
        project.matrix(MANY)
        result = project.pytester.runpytest_subprocess("--cluster-backend=spy", "-n2")
        result.assert_outcomes(passed=40, failed=40)
        assert no_shared_memory(project)


@pytest.mark.quiet
def test_the_reaper_does_its_work_there_too(project: Project) -> None:
    with elsewhere(project.path / ".clusterjobs"):
        project.matrix(SLEEPERS)
        process = start(project, "-n1")
        until(lambda: jobs_run(project.path), 60)
        process.kill()
        process.communicate()
        until(lambda: not [line for line in of_project(project.path) if "bindfs" not in line], 30)
        assert no_shared_memory(project)
        with closing(Ledger(ledger_file(project))) as ledger:
            assert all(attempt.action is not None for attempt in ledger.attempts(live=True))
