"""Programs that are broken in one way each: the shipped matrix detects each of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

MATRICES = Path(__file__).parents[2] / "matrices"
CONDITIONS = {"normal_completion", "rank_fails", "restart_recovers"}


@pytest.mark.parametrize(
    ("program", "right", "wrong", "failing"),
    [
        pytest.param("nav.py", "DISCOUNT = 0.9", "DISCOUNT = 0.9", set(), id="as it is"),
        pytest.param(
            "job.py",
            "os.utime(self._heartbeat)",
            "os.remove(self._heartbeat)",
            {"normal_completion"},
            id="no beats",
        ),
        pytest.param("job.py", "if not self.restarts or", "if True or", {"restart_recovers"}, id="no resume"),
        pytest.param(
            "loop.py",
            "os._exit(chosen.exit_code)",
            "os._exit(0)",
            {"rank_fails"},
            id="failure swallowed",
        ),
        pytest.param(
            "nav.py",
            "return self._group.allreduce([max(changes)], max)[0]",
            "return max(changes) * math.nan",
            {"normal_completion", "restart_recovers"},
            id="loss is nan",
        ),
    ],
)
def test_a_broken_program_fails_the_cells_that_test_it(
    pytester: pytest.Pytester, program: str, right: str, wrong: str, failing: set[str]
) -> None:
    shutil.copytree(MATRICES, pytester.path / "matrices")
    source = pytester.path / "matrices" / "programs" / program
    text = source.read_text()
    assert right in text
    source.write_text(text.replace(right, wrong))
    cells = [f"matrices/exit_conditions.yaml::nav-2n-{condition}" for condition in sorted(CONDITIONS)]

    result = pytester.runpytest_subprocess(*cells)

    result.assert_outcomes(passed=len(CONDITIONS - failing), failed=len(failing))
    for condition in failing:
        result.stdout.fnmatch_lines(f"FAILED matrices/exit_conditions.yaml::nav-2n-{condition}*")
