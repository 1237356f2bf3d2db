from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_clusterjobs.testing.slurm import SlurmClient
from pytest_clusterjobs.testing.slurm import SlurmCluster

pytestmark = pytest.mark.system


@pytest.mark.parametrize("nodes", [1, 4])
def test_jobs_run_and_their_exit_codes_arrive(slurm: SlurmClient, nodes: int) -> None:
    good = slurm.submit("srun true", f"--nodes={nodes}")
    bad = slurm.submit("exit 3", f"--nodes={nodes}")
    assert slurm.wait_for(good, "COMPLETED", "FAILED")["ExitCode"] == "0:0"
    seen = slurm.wait_for(bad, "COMPLETED", "FAILED")
    assert (seen["JobState"], seen["ExitCode"], seen["NumNodes"]) == ("FAILED", "3:0", str(nodes))


def test_accounting_may_be_off(fresh_slurm: Callable[..., SlurmCluster]) -> None:
    cluster = fresh_slurm()
    cluster.wait_for(cluster.submit("true"), "COMPLETED")
