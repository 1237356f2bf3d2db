"""The shipped matrix of exit conditions, unchanged: every cell ends on AWS Batch as on every other
backend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.system.aws.project import Project

# The matrix gives a program two seconds to start.
pytestmark = pytest.mark.quiet

ROOT = Path(__file__).parents[3]


@pytest.fixture
def shipped(project: Project, site: dict[str, Any], batch: Any, worker: str, tmp_path: Path) -> Project:
    """The shipped matrices, and job definitions with a folder for checkpoints that outlives a container."""
    checkpoints = tmp_path / "checkpoints"
    checkpoints.mkdir()
    container = {
        "image": "local",
        "command": ["true"],
        "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "2048"}],
        "environment": [{"name": "CHECKPOINT_DIR", "value": str(checkpoints)}],
    }
    nodes = {
        "numNodes": 2,
        "mainNode": 0,
        "nodeRangeProperties": [{"targetNodes": "0:", "container": container}],
    }
    batch.register_job_definition(
        jobDefinitionName=f"one-{worker}", type="container", containerProperties=container
    )
    batch.register_job_definition(jobDefinitionName=f"many-{worker}", type="multinode", nodeProperties=nodes)
    own = {
        "job_definition": f"one-{worker}",
        "multinode_job_definition": f"many-{worker}",
        "workdir": str(project.path),
    }
    project.site(**{**site, **own})
    (project.path / "matrices").symlink_to(ROOT / "matrices")
    return project


def passed(project: Project, cells: int, *arguments: str) -> None:
    # A small machine starts no more processes within the heartbeat timeout of the matrix, two seconds.
    output = project.run("matrices/exit_conditions.yaml", "--cluster-max-nodes=12", *arguments)
    assert f"{cells} passed" in output, output
    found = project.report()["cells"]
    assert len(found) == cells
    assert {cell["verdict"] for cell in found} == {"passed"}


def test_the_exit_conditions_end_as_expected(shipped: Project) -> None:
    passed(shipped, 40)


def test_the_exit_conditions_end_as_expected_under_xdist(shipped: Project) -> None:
    passed(shipped, 20, "-n3", "-k", "nav")
